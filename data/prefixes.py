"""The objective of a model that reads a whole prefix: what comes after it."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from data.corpora import Corpus
from data.cut_windows import cut_windows
from data.examples import Examples, each_once
from data.lines import count_given
from data.tokenizer import Tokenizer


class Prefixes(Examples):
    """The progressive prefixes of sentences, each with the token that follows it.

    `[2, 3, 4]` becomes `[2] -> 3` and `[2, 3] -> 4`. A sentence longer than `context_length` tokens
    is cut into windows of that many first. Written out, a window of T + 1 tokens would take T rows
    of T. So only the windows are kept, and each batch is written out when its turn comes.

    In a batch only the last token of a prefix has a target and a weight of 1. Each epoch of
    training holds every prefix once, in an order of its own (`data.examples.each_once`).

    Args:
        sentences: token ids, one list a sentence. A sentence of one token gives nothing.
        context_length: longest window, in tokens, at least 2.
        given: how many tokens of each sentence are given: of these nothing is to be predicted.
            Default None: none but the first.

    Attributes:
        windows: int32, (windows, T + 1), padded on the right with id 0.
        rows: int32, (prefixes,), in which window each prefix lies.
        lengths: int32, (prefixes,), of how many tokens it is.

    Example:

    >>> prefixes = Prefixes([[2, 3, 4], [5, 6]], context_length=4)
    >>> prefixes.windows.tolist(), prefixes.rows.tolist(), prefixes.lengths.tolist()
    ([[2, 3, 4], [5, 6, 0]], [0, 0, 1], [1, 2, 1])
    >>> prefixes.targets.tolist()
    [3, 4, 6]
    """

    unit = "prefixes"
    writes_on = False

    def __init__(
        self,
        sentences: Iterable[list[int]],
        context_length: int,
        given: Iterable[int] | None = None,
    ):
        cut = list(_cut(sentences, context_length, given))
        self.context_length = context_length
        self.windows = np.zeros((len(cut), max((len(w) for w, _ in cut), default=1)), "int32")
        for row, (window, _) in zip(self.windows, cut, strict=True):
            row[: len(window)] = window
        lengths = [length for window, first in cut for length in range(first, len(window))]
        self.lengths = np.array(lengths, "int32")
        prefixes_of_each = [len(window) - first for window, first in cut]
        self.rows = np.repeat(np.arange(len(cut), dtype="int32"), prefixes_of_each)

    @classmethod
    def read(cls, corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> "Prefixes":
        """The prefixes of each line of a text; where lines have answers, those that ask for one."""
        sentences = corpus.sentences
        given = count_given(sentences, tokenizer) if corpus.by_line else None
        return cls(tokenizer.encode_batch(sentences), context_length, given)

    @property
    def count(self) -> int:
        """How many prefixes there are."""
        return len(self.rows)

    @property
    def targets(self) -> np.ndarray:
        """The token that follows each prefix, int32, (prefixes,)."""
        return self.windows[self.rows, self.lengths]

    def tokens_per_batch(self, batch_size: int) -> int:
        return batch_size

    def sequences(self) -> list[list[int]]:
        return [window[window > 0].tolist() for window in self.windows[:2000]]

    def token_rows(self) -> list[np.ndarray]:
        """The windows; of what is given in one, the last token alone."""
        _, firsts = np.unique(self.rows, return_index=True)
        return [
            window[first - 1 :][window[first - 1 :] > 0]
            for window, first in zip(self.windows, self.lengths[firsts], strict=True)
        ]

    def predicted_pieces(self, corpus: Corpus, tokenizer: Tokenizer) -> Iterator[str]:
        sentences = corpus.sentences
        given = count_given(sentences, tokenizer) if corpus.by_line else None
        pieces = map(tokenizer.split, sentences)
        for window, first in _cut(pieces, self.context_length, given):
            yield from window[first:]

    def prompts(self, corpus: Corpus, tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
        if not corpus.by_line:
            return super().prompts(corpus, tokenizer)
        numbers = np.unique(np.linspace(0, self.count - 1, 8).round().astype(int))
        return [self._cut_in_two(number) for number in numbers]

    def probe(self, corpus: Corpus, tokenizer: Tokenizer) -> list[int]:
        if not corpus.by_line:
            return super().probe(corpus, tokenizer)
        return self._cut_in_two(0)[0]

    def _cut_in_two(self, number):
        """A prefix, and the token that follows."""
        row, length = self.windows[self.rows[number]].tolist(), self.lengths[number]
        return row[:length], row[length : length + 1]

    def surroundings(self, number: int) -> tuple[list[int], list[int]]:
        window, length = self.windows[self.rows[number]].tolist(), self.lengths[number]
        return window[:length], [id_ for id_ in window[length + 1 :] if id_]

    def best_possible(self) -> dict[str, float]:
        """The best figures that any model can reach on these prefixes.

        A prefix that is followed by several different tokens can't be predicted with certainty: the
        best that a model can do is to give each follower the share of times that it follows. The
        loss is then the conditional entropy of the target given the prefix; the accuracy is that of
        always choosing the most frequent follower.

        Returns:
            "loss" in nats, "accuracy" between 0 and 1, and "perplexity".

        Example:

        >>> figures = Prefixes([[2, 3], [2, 4]], context_length=2).best_possible()
        >>> round(figures["loss"], 4), figures["accuracy"]  # log 2, and one right of two
        (0.6931, 0.5)
        """
        followers = defaultdict(Counter)
        for row, length in zip(self.rows, self.lengths, strict=True):
            window = self.windows[row]
            followers[window[:length].tobytes()][window[length]] += 1
        loss = right = 0.0
        for counter in followers.values():
            counts = np.array(list(counter.values()))
            loss -= np.sum(counts * np.log(counts / counts.sum()))
            right += counts.max()
        loss, accuracy = float(loss / self.count), float(right / self.count)
        return {"loss": loss, "accuracy": accuracy, "perplexity": float(np.exp(loss))}

    def _random_batch(self, batch_size, seed):
        return each_once(self._batch_in_order(), self.count, batch_size, seed)

    def _batch_in_order(self):
        """A function from numbers of prefixes, (B,), to a batch; too large a number: padding."""
        import tensorflow as tf

        all_windows = tf.constant(self.windows)
        all_rows = tf.constant(np.pad(self.rows, (0, 1)))
        all_lengths = tf.constant(np.pad(self.lengths, (0, 1)))

        def write_out(numbers):
            numbers = tf.minimum(numbers, self.count)
            windows = tf.gather(all_windows, tf.gather(all_rows, numbers))  # (B, T + 1)
            lengths = tf.gather(all_lengths, numbers)[:, None]  # (B, 1)
            positions = tf.range(windows.shape[1] - 1)  # (T,)
            is_last = positions == lengths - 1  # (B, T)
            token_ids = tf.where(positions < lengths, windows[:, :-1], 0)
            targets = tf.where(is_last, windows[:, 1:], 0)
            return token_ids, targets, tf.cast(is_last, tf.float32)

        return write_out


def _cut(sentences, length, given):
    """Windows of two tokens or more, each with the length of its first prefix that counts."""
    given = itertools.repeat(0) if given is None else given
    for sentence, count in zip(sentences, given, strict=False):
        for number, window in enumerate(cut_windows([sentence], length)):
            first = max(count - number * length, 1)
            if first < len(window):
                yield window, first
