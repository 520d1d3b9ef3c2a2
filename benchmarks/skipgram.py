"""Skip-gram with negative sampling beside gensim's, same corpus, same run; and the memory of an exact entropy.

    python benchmarks/skipgram.py --threads 2            # WikiText-2 as shipped, N = 5,000
    python benchmarks/skipgram.py --tiny                 # seconds: only to see that it runs
    KEXUE_DATA=… python benchmarks/skipgram.py --large   # with Brown and the movie reviews, N = 20,000

Both libraries see the same tokens, window 5, 5 noise words, subsampling 1e-3, the same number of epochs, and are
judged by the same number: the negative-sampling loss a pair over the whole corpus with the noise summed exactly.
"Words a second" are corpus words times epochs over training time (vocabulary building not counted).

Before trusting it: the two do not take the same steps (gensim: one pair at a time, Hogwild threads; here: batches,
Adagrad), so the only fair reading is time at equal or better loss, over several learning rates each.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np
import torch
from gensim.models import Word2Vec
from record import add_options, record

from kexue.data import load
from kexue.embedding import corpus, skipgram
from kexue.press.results.benchmarks import Value

MEMORY = """
import resource, sys, torch
from kexue.embedding import codebook
size = int(sys.argv[1])
source = torch.Generator().manual_seed(0)
u, v = (codebook.sphere_codebook(size, 64, generator=source) for _ in range(2))
codebook.softmax_entropy(u[:100], v[:100])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
codebook.softmax_entropy(u, v)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


class Row(NamedTuple):
    """One training: who, with which learning rate, how long, how good."""

    library: str
    rate: float
    seconds: float
    loss: float


def read_lines(large: bool) -> list[str]:
    """The corpus, one sentence or paragraph a line, lower case."""
    text = load("text/wikitext-2-small")
    lines: list[str] = (text["valid"] + "\n" + text["test"]).lower().split("\n")
    if large:
        brown = "\n".join(load("text/brown").values()).lower()
        lines += [" ".join(token.rpartition("/")[0] for token in line.split()) for line in brown.split("\n")]
        lines += "\n".join(load("text/movie-reviews").values()).lower().split("\n")
    return lines


def main() -> None:
    """Train, judge, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dimension", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--memory-words", type=int, default=30_000)
    add_options(parser)
    options = parser.parse_args()
    if options.tiny:
        options.threads, options.dimension, options.epochs, options.memory_words = 1, 4, 1, 200
    torch.set_num_threads(options.threads)
    size = 20_000 if options.large else 100 if options.tiny else 5_000
    lines = read_lines(options.large)[: 200 if options.tiny else None]
    words = corpus.build_vocabulary(lines, size)
    tokens = corpus.encode(lines, words)
    counts = corpus.cooccurrences(tokens, len(words), 5, decay=True)
    noise = skipgram.noise_distribution(np.bincount(tokens.ids, minlength=len(words)) / len(tokens.ids))
    total = options.epochs * len(tokens.ids)
    print(f"{len(tokens.ids):,} words, N = {len(words):,}, n = {options.dimension}, {options.epochs} epochs,")
    print(f"{options.threads} threads, torch {torch.__version__}\n")

    rows = []
    for rate in (0.3, 0.5, 0.8):
        source, start = torch.Generator().manual_seed(0), time.perf_counter()
        model = skipgram.train_skipgram(
            tokens, len(words), options.dimension, generator=source, epochs=options.epochs, learning_rate=rate
        )
        seconds = time.perf_counter() - start
        rows.append(Row("kexue", rate, seconds, skipgram.negative_sampling_loss(model, counts, noise)))
    sentences: list[list[str]] = [[] for _ in lines]
    for word, line in zip(tokens.ids.tolist(), tokens.lines.tolist(), strict=True):
        sentences[line].append(str(word))
    sentences = [sentence for sentence in sentences if sentence]
    for rate in (0.025, 0.05, 0.1):
        peer = Word2Vec(
            vector_size=options.dimension,
            window=5,
            sg=1,
            negative=5,
            sample=1e-3,
            min_count=1,
            alpha=rate,
            workers=options.threads,
            seed=1,
        )
        peer.build_vocab(sentences)
        start = time.perf_counter()
        peer.train(sentences, total_examples=len(sentences), epochs=options.epochs)
        seconds = time.perf_counter() - start
        order = [peer.wv.key_to_index[str(i)] for i in range(len(words))]
        model = skipgram.Embedding(torch.tensor(peer.wv.vectors[order]), torch.tensor(peer.syn1neg[order]))
        rows.append(Row("gensim", rate, seconds, skipgram.negative_sampling_loss(model, counts, noise)))

    print(f"{'':8}{'rate':>8}{'seconds':>10}{'words/s':>12}{'loss':>9}")
    for row in rows:
        print(f"{row.library:8}{row.rate:8}{row.seconds:10.2f}{total / row.seconds:12,.0f}{row.loss:9.4f}")
    ours, theirs = ([row for row in rows if row.library == name] for name in ("kexue", "gensim"))
    for row in theirs:
        as_good = [mine for mine in ours if mine.loss <= row.loss]
        speed = f"{row.seconds / min(mine.seconds for mine in as_good):.2f}×" if as_good else "not reached"
        print(f"speed at gensim's loss of {row.loss:.4f} (rate {row.rate}): {speed}")

    size = options.memory_words
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(size)], capture_output=True, text=True, check=True
    )
    print(
        f"\nexact entropy of {size:,}² logits ({4 * size**2 / 1e9:.1f} GB as a matrix): "
        f"{int(done.stdout) * 1024 / 1e6:.0f} MB more than before"
    )
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.2f} GB")
    if options.record:
        kept: list[dict[str, Value]] = [
            {"library": row.library, "rate": row.rate, "s": round(row.seconds, 2), "loss": round(row.loss, 4)}
            for row in rows
        ]
        print(f"recorded in {record('skipgram', kept)}")


if __name__ == "__main__":
    main()
