"""Language models, decoders, and the question whether decoding ever stops.

Read in this order:

* ``protocol`` — what a language model is here: ``init`` a state, ``step`` it.
* ``rules`` — decoders as maps from a model's next-token law ``p`` to the law ``q`` that is really drawn from.
* ``decode``, ``beam`` — the batched loops; finished rows leave the batch, recurrent states never grow.
* ``envelopes``, ``heads`` — self-terminating and non-monotonic self-terminating output layers, and the post-hoc one.
* ``network``, ``recurrent``, ``transformer``, ``ngram``, ``huggingface`` — models; ``training``, ``fused``, ``corpus`` — how they are fitted.
* ``bounds``, ``exact``, ``loops``, ``counterexamples`` — what can be proved or computed without sampling.
* ``estimators``, ``likelihood``, ``repetition`` — what has to be measured.
* ``memory`` — what a run holds in tensors.
* ``processors`` — the remedies as logits processors for an existing transformers model.

Source: kexue.fm/archives/7500 and Welleck et al., EMNLP 2020 (arXiv 2002.02492); Choi et al., ICLR 2023 (NMST).
"""
