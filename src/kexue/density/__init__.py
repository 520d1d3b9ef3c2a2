"""Estimating densities: importance-weighted bounds, annealed importance sampling, VAEs, NVAE.

Read in this order:

* ``proposals`` — what z is drawn from; a model is any function ``log_joint(z)`` of log p(x, z) at a fixed x.
* ``bounds`` — what log-weights become: ELBO, importance-weighted bound, jackknife, effective sample size.
* ``gradients`` — objectives whose gradient is an estimator: ELBO, IWAE, sticking the landing, doubly reparameterised.
* ``evaluate`` — ``log_marginal``: as many samples as wanted in constant memory, with diagnostics; ``tails`` — Pareto k̂.
* ``linear_gaussian``, ``quadrature``, ``finite`` — models whose p(x) is known.
* ``gaussian``, ``gaps`` — closed forms, and the exact gap of any bound at any number of samples.
* ``hmc``, ``annealed`` — annealed importance sampling and the bidirectional sandwich.
* ``vae``, ``training`` — small VAEs; ``mixtures`` — exact maximum likelihood with one latent number.

Source: kexue.fm/archives/8791 and Burda, Grosse, Salakhutdinov, ICLR 2016 (arXiv 1509.00519).
"""
