"""The objective of a causal model: every next token of a text."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from data.corpora import Corpus
from data.cut_windows import cut_windows
from data.examples import Examples, permuted
from data.lines import Lines
from data.token_cache import cached_token_ids
from data.tokenizer import Tokenizer


class Windows(Examples):
    """A text as one row of tokens, read through windows; each token in one predicts the next.

    In a batch every token has a target and a weight of 1. Windows are shuffled pass after pass, and
    do not overlap within a pass; where the first one starts changes with each pass, so that each
    token comes to stand everywhere in a window. In evaluation they do not overlap either: each
    token but the first is predicted once.

    Args:
        token_ids: the whole text, at least two tokens; it may be a memory map.
        context_length: how many tokens a window holds at most, at least 1.

    Attributes:
        token_ids: integers, (tokens,).
        length: how many tokens a window holds, T; fewer than `context_length` where the text is
            shorter.

    Example:

    >>> Windows([5, 6, 7, 8], context_length=2).targets.tolist()
    [6, 7, 8]
    """

    unit = "tokens"
    writes_on = True

    def __init__(self, token_ids: Sequence[int], context_length: int):
        self.token_ids = np.asarray(token_ids)  # not a copy: a memory map stays on disk
        self.context_length = context_length
        self.length = min(context_length, len(self.token_ids) - 1)

    @classmethod
    def read(cls, corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> "Windows | Lines":
        """All of a text, whatever its lines; its ids stay on disk.

        Where each line is an example by itself, the windows are its `Lines`.
        """
        if corpus.by_line:
            return Lines.read(corpus, tokenizer, context_length)
        return cls(cached_token_ids(corpus, tokenizer), context_length)

    @property
    def count(self) -> int:
        """How many tokens there are to predict: all but the first."""
        return max(len(self.token_ids) - 1, 0)

    @property
    def targets(self) -> np.ndarray:
        """The tokens to predict, (count,)."""
        return self.token_ids[1:]

    @property
    def longest_context(self) -> int:
        """A window and the token after it must fit into the text."""
        return self.count

    def tokens_per_batch(self, batch_size: int) -> int:
        return batch_size * self.length

    def sequences(self) -> list[list[int]]:
        beginning = self.token_ids[:10_000].tolist()
        return cut_windows([beginning], max(self.context_length, 2))

    def token_rows(self) -> list[np.ndarray]:
        """One row: the context runs on where one window ends and the next begins."""
        return [self.token_ids]

    def predicted_pieces(self, corpus: Corpus, tokenizer: Tokenizer) -> Iterator[str]:
        pieces = (piece for part in corpus.pieces() for piece in tokenizer.split(part))
        return itertools.islice(pieces, 1, None)

    def surroundings(self, number: int) -> tuple[list[int], list[int]]:
        begin = number // self.length * self.length
        parts = self.token_ids[begin : number + 1], self.token_ids[number + 2 :][: self.length]
        return tuple(part.tolist() for part in parts)

    def _random_batch(self, batch_size, seed):
        import tensorflow as tf

        per_pass = max((self.count - self.length + 1) // self.length, 1)
        offsets = self.count - per_pass * self.length + 1
        write_out = self._writer()

        def start(place):
            number, place_in_pass = place // per_pass, place % per_pass
            offset = permuted(number % offsets, seed, number // offsets, offsets)
            return offset + self.length * permuted(place_in_pass, seed, number, per_pass)

        return lambda places: write_out(tf.map_fn(start, places))

    def _batch_in_order(self):
        write_out = self._writer()
        return lambda places: write_out(places * self.length)

    def _writer(self):
        """A function from where windows start, (B,), to a batch; past the end there is padding."""
        import tensorflow as tf

        def read(starts):
            positions = starts[:, None] + np.arange(self.length + 1)  # (B, T + 1)
            ids = self.token_ids[np.minimum(positions, self.count)]
            return np.where(positions <= self.count, ids, 0).astype("int32")

        def write_out(starts):
            # NumPy reads these windows, no others: a constant would hold the whole text in memory.
            ids = tf.numpy_function(read, [starts], tf.int32, stateful=False)
            ids = tf.ensure_shape(ids, (starts.shape[0], self.length + 1))
            positions = starts[:, None] + tf.range(1, self.length + 1, dtype=tf.int64)  # (B, T)
            return ids[:, :-1], ids[:, 1:], tf.cast(positions <= self.count, tf.float32)

        return write_out
