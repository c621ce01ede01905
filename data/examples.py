"""What every objective has in common: examples of a text, and batches of them."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from data.corpora import Corpus
from data.samples import known_lines, sample_probe, sample_prompts
from data.tokenizer import Tokenizer


class Examples:
    """What a model learns of a text, or is evaluated on: a subclass for each objective.

    All that depends on the objective is asked here. A further one is one more file and a name in
    `data.objectives`: it gives the attributes and the methods that have no body here.

    Attributes:
        unit: what is counted, as it is called in print.
        writes_on: whether a model that learned this can continue a text.
        context_length: longest piece of text that a model reads, in tokens.
        count: how many tokens are predicted in all.
        targets: these tokens, (count,).
        longest_context: the longest context that there is text enough for.
    """

    unit: str
    writes_on: bool
    context_length: int
    count: int
    targets: np.ndarray
    longest_context: float = math.inf

    @classmethod
    def read(cls, corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> "Examples":
        """The examples of a text, in its order."""

    def tokens_per_batch(self, batch_size: int) -> int:
        """How many tokens a full batch teaches."""

    def sequences(self) -> list[list[int]]:
        """Some of the text as it is learned, token ids row by row; at least one row of two."""

    def token_rows(self) -> list[np.ndarray]:
        """All of the text in rows of token ids.

        The tokens of a row but its first are predicted; `targets` are these, row after row.
        """

    def predicted_pieces(self, corpus: Corpus, tokenizer: Tokenizer) -> Iterator[str]:
        """The pieces of the text that `targets` stand for, in their order."""

    def surroundings(self, number: int) -> tuple[list[int], list[int]]:
        """What one of the `targets` stands between: the tokens it is predicted from, in order, and
        some of those that follow it."""

    def _random_batch(self, batch_size: int, seed: int) -> Callable:
        """A function from a batch's places in the endless order, (B,) int64, to the batch."""

    def _batch_in_order(self) -> Callable:
        """A function from a batch's places in the text, (B,) int64, to the batch."""

    def best_possible(self) -> dict[str, float] | None:
        """The best figures that any model can reach on these examples; None if not known."""

    def prompts(self, corpus: Corpus, tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
        """Some beginnings of the text's lines, and what follows them: see `sample_prompts`."""
        return sample_prompts(self._lines(corpus, tokenizer), self.context_length)

    def probe(self, corpus: Corpus, tokenizer: Tokenizer) -> list[int]:
        """A beginning of a line, to look at attention with: see `sample_probe`."""
        return sample_probe(self._lines(corpus, tokenizer), self.context_length)

    def steps_per_epoch(self, batch_size: int) -> int:
        """The number of batches that hold as much as the whole text."""
        return -(-self.count // self.tokens_per_batch(batch_size))

    def training_batches(self, batch_size: int, seed: int, first_step: int = 0):
        """An endless `tf.data.Dataset` of random batches.

        The batch of a step is a function of `(seed, step)` alone, so that a run can be taken up at
        any step.

        Args:
            batch_size: rows in a batch.
            seed: a non-negative integer.
            first_step: the step of the first batch. Default 0.

        Returns:
            Batches of (token_ids, targets, weights): int32, int32 and float32, each
            (batch_size, T). What does not count has weight 0.
        """
        steps = (first_step, np.iinfo("int64").max)
        return batches(self._random_batch(batch_size, seed), batch_size, *steps)

    def evaluation_batches(self, batch_size: int):
        """A `tf.data.Dataset` of everything once, in order, in batches as `training_batches`'s.

        The last batch is filled up with padding of weight 0.
        """
        return batches(self._batch_in_order(), batch_size, 0, self.steps_per_epoch(batch_size))

    def _lines(self, corpus, tokenizer):
        return known_lines(corpus, tokenizer, self.context_length) or self.sequences()


def permuted(number, seed: int, cycle, count: int):
    """Where a number of 0 to count - 1 comes in the permutation that `seed` and `cycle` make."""
    import tensorflow as tf  # where it is needed: everything else works without

    seeds = tf.stack([tf.cast(seed, tf.int64), cycle])
    return tf.random.experimental.index_shuffle(number, seed=seeds, max_index=count - 1)


def each_once(write_out: Callable, count: int, batch_size: int, seed: int) -> Callable:
    """A function from a batch's places in the endless order to the batch, epoch after epoch.

    Each epoch holds every example once: epoch e shuffles them by a permutation that (seed, e)
    makes, and its last batch is filled up with padding, since batches of one shape are compiled
    once.

    Args:
        write_out: a function from numbers of examples, (B,), to a batch; `count` means padding.
        count: how many examples there are.
        batch_size: how many of them a batch holds.
        seed: a non-negative integer.
    """
    import tensorflow as tf

    places_per_epoch = -(-count // batch_size) * batch_size

    def batch(places):
        epoch, places = places[0] // places_per_epoch, places % places_per_epoch
        numbers = permuted(tf.minimum(places, count - 1), seed, epoch, count)
        return write_out(tf.where(places < count, numbers, count))

    return batch


def batches(batch_at: Callable, batch_size: int, first_step: int, end: int):
    """A `tf.data.Dataset` of the batches that a function makes of their places."""
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert  # there is nothing to: no `if`, no loop
    def batch(step):
        return batch_at(step * batch_size + tf.range(batch_size, dtype=tf.int64))

    # There is nothing to tune here, and the thread that does it sleeps for 10 ms, 20, 40, up to a
    # minute: who leaves an iterator may wait until it wakes, as long as the training took.
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.range(first_step, end).map(batch).prefetch(2).with_options(options)
