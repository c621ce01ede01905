"""The objective of a causal model on a text whose lines are examples by themselves."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from data.corpora import Corpus
from data.examples import Examples, each_once
from data.tokenizer import Tokenizer

MARK = "="  # of a line, what comes after it is to be predicted


class Lines(Examples):
    """Lines as rows of their own, in which each token predicts the next.

    What is given of a line, as a question is, is read and not predicted: there the weights are 0.
    A line longer than `context_length` tokens and the one to predict is cut into such windows, one
    after the other. Windows in which nothing is predicted are left out. Each epoch of training
    holds every window once, in an order of its own (`data.examples.each_once`).

    Args:
        lines: token ids, one list a line.
        context_length: how many tokens a row holds at most, at least 1.
        given: how many tokens of each line are given. Default None: none but the first.

    Attributes:
        windows: int32, (rows, T + 1), padded on the right with id 0.
        counts: booleans, (rows, T), whether the token after each one is to be predicted.

    Example:

    >>> lines = Lines([[5, 6, 7, 8], [5, 7, 9]], context_length=4, given=[2, 1])
    >>> lines.windows.tolist(), lines.counts.astype(int).tolist()
    ([[5, 6, 7, 8], [5, 7, 9, 0]], [[0, 1, 1], [1, 1, 0]])
    >>> lines.targets.tolist()
    [7, 8, 7, 9]
    """

    unit = "tokens"
    writes_on = True

    def __init__(
        self,
        lines: Iterable[Sequence[int]],
        context_length: int,
        given: Iterable[int] | None = None,
    ):
        cut = list(_cut(lines, context_length, given))
        self.context_length = context_length
        longest = max((len(window) for window, _ in cut), default=2)
        self.windows = np.zeros((len(cut), longest), "int32")
        self.counts = np.zeros((len(cut), longest - 1), bool)
        for row, mask, (window, first) in zip(self.windows, self.counts, cut, strict=True):
            row[: len(window)] = window
            mask[first - 1 : len(window) - 1] = True

    @classmethod
    def read(cls, corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> "Lines":
        """The lines of a text; where one has a `=`, what stands before it is given, and it."""
        lines = corpus.sentences
        return cls(tokenizer.encode_batch(lines), context_length, count_given(lines, tokenizer))

    @property
    def count(self) -> int:
        """How many tokens are to be predicted."""
        return int(self.counts.sum())

    @property
    def targets(self) -> np.ndarray:
        """These tokens, line by line, int32, (count,)."""
        return self.windows[:, 1:][self.counts]

    def tokens_per_batch(self, batch_size: int) -> int:
        return round(batch_size * self.count / max(len(self.windows), 1))

    def steps_per_epoch(self, batch_size: int) -> int:
        return -(-len(self.windows) // batch_size)

    def sequences(self) -> list[list[int]]:
        return [window[window > 0].tolist() for window in self.windows[:2000]]

    def token_rows(self) -> list[np.ndarray]:
        """The windows; of what is given in one, the last token alone."""
        return [
            window[np.append(False, mask) | np.append(mask, False)]
            for window, mask in zip(self.windows, self.counts, strict=True)
        ]

    def predicted_pieces(self, corpus: Corpus, tokenizer: Tokenizer) -> Iterator[str]:
        lines = corpus.sentences
        pieces = map(tokenizer.split, lines)
        for window, first in _cut(pieces, self.context_length, count_given(lines, tokenizer)):
            yield from window[first:]

    def prompts(self, corpus: Corpus, tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
        """Eight rows, spread over all, each up to the middle of what is predicted in it."""
        numbers = np.unique(np.linspace(0, len(self.windows) - 1, 8).round().astype(int))
        return [self._cut_in_two(number) for number in numbers]

    def probe(self, corpus: Corpus, tokenizer: Tokenizer) -> list[int]:
        """The beginning of the first row, up to the middle of what is predicted in it."""
        return self._cut_in_two(0)[0]

    def _cut_in_two(self, number):
        """A row up to the middle of what is predicted in it, and the token that follows."""
        places = np.flatnonzero(self.counts[number])
        middle = int(places[len(places) // 2]) + 1
        row = self.windows[number].tolist()
        return row[:middle], row[middle : middle + 1]

    def _random_batch(self, batch_size, seed):
        return each_once(self._batch_in_order(), len(self.windows), batch_size, seed)

    def _batch_in_order(self):
        """A function from numbers of rows, (B,), to a batch; too large a number: padding."""
        import tensorflow as tf

        all_windows = tf.constant(np.pad(self.windows, ((0, 1), (0, 0))))
        all_counts = tf.constant(np.pad(self.counts, ((0, 1), (0, 0))))

        def write_out(numbers):
            numbers = tf.minimum(numbers, len(self.windows))
            windows = tf.gather(all_windows, numbers)  # (B, T + 1)
            counts = tf.gather(all_counts, numbers)  # (B, T)
            targets = tf.where(counts, windows[:, 1:], 0)
            return windows[:, :-1], targets, tf.cast(counts, tf.float32)

        return write_out


def count_given(lines: Sequence[str], tokenizer: Tokenizer) -> list[int]:
    """How many tokens of each line are given: those up to its first `=`, and that one.

    Example:

    >>> from data.tokenizer import WordTokenizer
    >>> count_given(["2 1 = 1 2", "1 2"], WordTokenizer(["1", "2", "="]))
    [3, 0]
    """
    given = [line[: line.find(MARK) + 1] for line in lines]
    return [len(token_ids) for token_ids in tokenizer.encode_batch(given)]


def _cut(lines, length, given):
    """Windows of `length` tokens and one, each with the place of the first one to predict."""
    given = itertools.repeat(0) if given is None else given
    for line, count in zip(lines, given, strict=False):
        for start in range(0, len(line) - 1, length):
            window = line[start : start + length + 1]
            first = max(count - start, 1)
            if first < len(window):
                yield window, first
