"""NVAE: a deep hierarchical variational autoencoder, small enough to read.

Read in this order:

* ``normal`` — the residual posterior and its closed-form KL; the released code's clamp as an option.
* ``normalisation``, ``cells`` — batch norm with swish and recomputation, residual cells, squeeze and excitation.
* ``hierarchy``, ``flows``, ``model`` — groups over scales, flows inside a group, both towers.
* ``spectral``, ``schedule``, ``training`` — penalties, KL warm-up and balancing, steps that can be resumed.
* ``sampling`` — the bound, temperatures, re-estimated statistics, pruned latents.

Source: kexue.fm/archives/7574; Vahdat & Kautz, NeurIPS 2020, arXiv 2007.03898.
"""
