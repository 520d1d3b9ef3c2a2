"""From WikiText's words to padded batches of token numbers."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

_HEADING = re.compile(r"^ *=.*= *$")
_SENTENCE_END = re.compile(r"(?<= [.!?]) (?=[A-Z\"<])")
UNKNOWN, BEGIN, END = "<unk>", "<bos>", "<eos>"


def paragraphs(text: str) -> list[list[str]]:
    """The text's lines as lists of words, without headings and empty lines.

    Args:
        text: WikiText: words separated by spaces, one paragraph a line, headings between ``=`` signs.

    Returns:
        One list of words for each paragraph.
    """
    return [line.split() for line in text.splitlines() if line.strip() and not _HEADING.match(line)]


def sentences(text: str, shortest: int = 10, longest: int = 137) -> list[list[str]]:
    """The text's sentences: split behind ``. ! ?`` in front of a capital letter or a quotation mark.

    Args:
        text: WikiText.
        shortest: drop sentences of fewer words.
        longest: drop sentences of more words.

    Returns:
        One list of words for each sentence.

    Source: the sizes of Welleck et al.'s data as described in its published replication (10-word contexts, at most
    137 words); their splitter is not published, this one is ours.
    """
    cut = (
        sentence.split()
        for line in text.splitlines()
        if line.strip() and not _HEADING.match(line)
        for sentence in _SENTENCE_END.split(line.strip())
    )
    return [words for words in cut if shortest <= len(words) <= longest]


@dataclass(frozen=True)
class Vocabulary:
    """Words by falling frequency, then ``<bos>`` and, last, ``<eos>``; everything else is ``<unk>``."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]], size: int) -> "Vocabulary":
        """The ``size - 3`` most frequent words (first come first on ties) and the three specials.

        Args:
            texts: lists of words.
            size: tokens in all.

        Raises:
            ValueError: when ``size`` leaves no room for a word.
        """
        if size < 4:
            raise ValueError(f"size is {size}, want at least 4: a word, {UNKNOWN}, {BEGIN} and {END}")
        counts = Counter(word for text in texts for word in text if word != UNKNOWN)
        return cls((UNKNOWN, *(word for word, _ in counts.most_common(size - 3)), BEGIN, END))

    @property
    def bos(self) -> int:
        """The index of ``<bos>``."""
        return len(self.words) - 2

    @property
    def eos(self) -> int:
        """The index of ``<eos>``: the last one."""
        return len(self.words) - 1

    def encode(self, texts: Iterable[Sequence[str]]) -> list[list[int]]:
        """``<bos> w_1 … w_T <eos>`` as numbers, for each text."""
        index = {word: number for number, word in enumerate(self.words)}
        return [[self.bos, *(index.get(word, 0) for word in text), self.eos] for text in texts]

    def decode(self, tokens: Iterable[int]) -> str:
        """Numbers back to words, separated by spaces."""
        return " ".join(self.words[int(token)] for token in tokens)


def padded(
    sequences: Sequence[Sequence[int]], filler: int = 0
) -> tuple[Int[Tensor, "batch time"], Int[Tensor, " batch"]]:
    """One rectangle of tokens, filled up on the right, and the true lengths.

    Args:
        sequences: token lists.
        filler: what stands behind the end; masked out by whoever reads it.

    Returns:
        Tokens, shape (batch, longest), and lengths, shape (batch,).

    Raises:
        ValueError: without any sequence.
    """
    if not sequences:
        raise ValueError("sequences is empty, want at least one")
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    tokens = torch.full((len(sequences), int(lengths.max())), filler)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.tensor(sequence)
    return tokens, lengths


def contexts(sequences: Sequence[Sequence[int]], words: int) -> Int[Tensor, "batch context"]:
    """The first ``words`` words of every sequence, behind its ``<bos>``.

    Args:
        sequences: encoded texts, each at least ``words + 1`` tokens before its ``<eos>``.
        words: k.

    Returns:
        shape (batch, k + 1).

    Raises:
        ValueError: when a sequence is too short.
    """
    if any(len(sequence) < words + 2 for sequence in sequences):
        raise ValueError(f"sequences holds one of fewer than {words} words, want at least {words} in each")
    return torch.tensor([list(sequence[: words + 1]) for sequence in sequences])
