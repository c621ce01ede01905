"""The objective of an encoder-decoder: a target after its source."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data.batch_shapes import choose_bounds
from data.corpora import Corpus
from data.examples import Examples, permuted
from data.token_cache import cached_token_ids
from data.tokenizer import Tokenizer

MOST_SHAPES = 4
SHAPE_TOKENS = 25_000  # a shape is compiled, which takes as long as learning from so many tokens


class Side(NamedTuple):
    """The sources of a corpus of pairs, or its targets, or both, for what reads texts in pieces.

    Attributes:
        corpus: the pairs.
        sides: which of them: 0 for sources, 1 for targets.

    Example:

    >>> from data.corpora import load_corpus
    >>> next(Side(load_corpus("reverse"), (1,)).pieces())  # doctest: +SKIP
    'dcba'
    """

    corpus: Corpus
    sides: tuple[int, ...]

    @property
    def key(self) -> str:
        """Says which texts these are: equal for equal ones alone."""
        return f"{self.corpus.key} {self.sides}"

    @property
    def length(self) -> int:
        """How many characters there are, about."""
        return self.corpus.length * len(self.sides) // 2

    def pieces(self) -> Iterator[str]:
        """The texts, one by one."""
        for pair in self.corpus.pairs():
            for side in self.sides:
                yield pair[side]


class Pairs(Examples):
    """Sources, each with a target that is to be written after it.

    The target is fed from the left, `[BEGIN]` first, and every token of it predicts the next, the
    last one `[END]`: "teacher forcing". What the decoder reads is always what is right, whatever
    it would have written itself.

    Batches hold pairs of similar lengths, in at most four shapes, which are chosen so that padding
    is least; there are fewer shapes where a further one would save little. In each epoch of
    training every pair comes once: (seed, epoch) shuffle the pairs of a shape and the batches of
    all.

    A pair that is longer than the context is left out.

    Args:
        sources: the ids of all sources in one row, each ending with `end_ids[0]`.
        targets: the ids of all targets in one row, each ending with `end_ids[1]`.
        context_length: how many tokens a source and a target may have, the end among them.
        begin_id: what a target begins with.
        end_ids: what sources and what targets end with.

    Attributes:
        lengths: int32, (pairs, 2), how many tokens source and target have, the ends among them;
            in the order of evaluation.
        shapes: for each shape, how many pairs it has, and how long its sources and targets are.
        left_out: how many pairs are too long.
        padding: which share of an epoch's tokens is padding.

    Example:

    >>> pairs = Pairs([5, 6, 1, 7, 1], [8, 2, 9, 9, 2], 4, begin_id=3, end_ids=(1, 2))
    >>> pairs.lengths.tolist(), pairs.targets.tolist()
    ([[3, 2], [2, 3]], [8, 2, 9, 9, 2])
    """

    unit = "pairs"
    writes_on = False

    def __init__(
        self,
        sources: Sequence[int],
        targets: Sequence[int],
        context_length: int,
        begin_id: int,
        end_ids: tuple[int, int],
    ):
        self.context_length = context_length
        self.begin_id, self.end_ids = begin_id, end_ids
        self._ids = np.asarray(sources), np.asarray(targets)  # not copies: they stay on disk
        ends = [np.flatnonzero(ids == end) + 1 for ids, end in zip(self._ids, end_ids, strict=True)]
        starts = np.stack([np.append(0, ends_[:-1])[: len(ends_)] for ends_ in ends], axis=1)
        lengths = np.stack(ends, axis=1) - starts  # (pairs, 2)
        fits = (lengths <= context_length).all(axis=1)
        self.left_out = int(np.sum(~fits))
        bounds = choose_bounds(lengths[fits], MOST_SHAPES, SHAPE_TOKENS)
        # By shape, and as they come in the text within one.
        shape_of_each = np.searchsorted(bounds, lengths.max(axis=1))
        order = np.argsort(np.where(fits, shape_of_each, len(bounds)), kind="stable")
        self.order = order.astype("int32")  # which pair of the text each one is
        self._starts, self._lengths = starts[order], lengths[order].astype("int32")
        self.lengths = self._lengths[: np.sum(fits)]  # those that are too long come last
        counts = np.bincount(shape_of_each[fits], minlength=len(bounds))
        parts = np.split(self.lengths, np.cumsum(counts)[:-1])
        self.shapes = [
            (int(count), *part.max(axis=0).tolist())
            for count, part in zip(counts, parts, strict=True)
            if count
        ]

    @classmethod
    def read(
        cls,
        corpus: Corpus,
        tokenizer: Tokenizer,
        context_length: int,
        source_tokenizer: Tokenizer | None = None,
    ) -> "Pairs":
        """All pairs of a corpus; their ids stay on disk.

        Args:
            corpus: the pairs.
            tokenizer: that of targets, with `[BEGIN]` and `[END]`.
            context_length: see `Pairs`.
            source_tokenizer: that of sources, with `[END]`. Default None: the same.
        """
        tokenizers = source_tokenizer or tokenizer, tokenizer
        end_ids = tuple(tokenizer.special_id("[END]") for tokenizer in tokenizers)
        ids = [
            cached_token_ids(Side(corpus, (side,)), tokenizers[side], end_ids[side])
            for side in (0, 1)
        ]
        return cls(*ids, context_length, tokenizer.special_id("[BEGIN]"), end_ids)

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self.lengths)

    @property
    def count(self) -> int:
        """How many tokens of targets are predicted, the ends among them."""
        return int(self.lengths[:, 1].sum())

    @property
    def targets(self) -> np.ndarray:
        """These tokens, pair by pair, (count,)."""
        rows = [self.pair(number)[1] for number in range(self.pairs)]
        return np.concatenate([np.array([], "int32"), *rows])

    @property
    def padding(self) -> float:
        rooms = sum(count * (source + target) for count, source, target in self.shapes)
        return 1 - float(self.lengths.sum()) / max(rooms, 1)

    def pair(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The ids of a source and of its target, both with their ends."""
        return tuple(
            ids[start : start + length]
            for ids, start, length in zip(
                self._ids, self._starts[number], self._lengths[number], strict=True
            )
        )

    def answers(self, with_left_out: bool = False) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
        """For each different source its right targets, ids without the ends, in their order.

        Args:
            with_left_out: whether pairs are among them that are too long. Default False.
        """
        answers = defaultdict(list)
        for number in np.argsort(self.order if with_left_out else self.order[: self.pairs]):
            source, target = self.pair(number)
            answers[tuple(source[:-1].tolist())].append(tuple(target[:-1].tolist()))
        return dict(answers)

    def tokens_per_batch(self, batch_size: int) -> int:
        return round(batch_size * self.count / max(self.pairs, 1))

    def steps_per_epoch(self, batch_size: int) -> int:
        return sum(-(-count // batch_size) for count, _, _ in self.shapes)

    def sequences(self) -> list[list[int]]:
        return [[self.begin_id, *self.pair(n)[1].tolist()] for n in range(min(self.pairs, 2000))]

    def token_rows(self) -> list[np.ndarray]:
        """The targets, each after its `[BEGIN]`."""
        return [np.append(self.begin_id, self.pair(number)[1]) for number in range(self.pairs)]

    def predicted_pieces(self, corpus: Corpus, tokenizer: Tokenizer) -> Iterator[str]:
        """The pieces of the targets; an end is an empty one."""
        targets = [target for _, target in corpus.pairs()]
        for number in self.order[: self.pairs]:
            yield from tokenizer.split(targets[number])
            yield ""

    def surroundings(self, number: int) -> tuple[list[int], list[int]]:
        pair, place = self._place(number)
        target = self.pair(pair)[1].tolist()
        return target[:place], target[place + 1 :]

    def source_of(self, number: int) -> list[int]:
        """The source of one of the `targets`."""
        return self.pair(self._place(number)[0])[0].tolist()

    def _place(self, number):
        """Which pair one of the `targets` is in, and where there."""
        ends = np.cumsum(self.lengths[:, 1])
        pair = int(np.searchsorted(ends, number, side="right"))
        return pair, number - int(ends[pair] - self.lengths[pair, 1])

    def questions(self, most: int = 500) -> tuple[list[list[int]], list[list[list[int]]]]:
        """Some sources, spread over all, and for each its right targets, ids without the ends."""
        answers = list(self.answers().items())
        chosen = np.linspace(0, len(answers) - 1, min(most, len(answers))).round().astype(int)
        sources, rights = zip(*(answers[number] for number in chosen), strict=True)
        return [list(source) for source in sources], [list(map(list, some)) for some in rights]

    def samples(self) -> list[tuple[list[int], list[list[int]]]]:
        """Eight of these."""
        return list(zip(*self.questions(8), strict=True))

    def training_batches(self, batch_size: int, seed: int, first_step: int = 0):
        """An endless `tf.data.Dataset` of random batches, a function of `(seed, step)` each.

        Args:
            batch_size, seed, first_step: those of `Examples.training_batches`.

        Returns:
            Batches of (inputs, targets, weights): a dictionary of `source_ids`, int32,
            (batch_size, S), and `target_ids`, int32, (batch_size, T); int32 and float32,
            (batch_size, T). What does not count has weight 0.
        """
        return super().training_batches(batch_size, seed, first_step)

    def _random_batch(self, batch_size, seed):
        steps = self.steps_per_epoch(batch_size)
        write_out = self._writer(batch_size)

        def batch(places):
            epoch, place = places[0] // batch_size // steps, places[0] // batch_size % steps
            return write_out(
                permuted(place, seed, epoch, steps),
                lambda number, count: permuted(number, seed, epoch + 2**32, count),
            )

        return batch

    def _batch_in_order(self):
        def batch(places):
            size = places.shape[0]
            return self._writer(size)(places[0] // size, lambda number, count: number)

        return batch

    def _writer(self, batch_size):
        """A function from the number of a batch, and an order of a shape's pairs, to the batch."""
        import tensorflow as tf

        counts, *sizes = np.array(self.shapes, "int64").reshape(-1, 3).T
        first_batches = np.cumsum([0, *(-(-counts // batch_size))])
        first_pairs = np.cumsum([0, *counts])

        def read(pairs, source_length, target_length):
            return [
                self._rows(side, pairs, length)
                for side, length in enumerate((source_length, target_length))
            ]

        def write_out(number, order):
            shape = tf.searchsorted(first_batches, [number], side="right")[0] - 1
            count, source_length, target_length = (
                tf.gather(values, shape) for values in (counts, *sizes)
            )
            places = (number - tf.gather(first_batches, shape)) * batch_size
            places += tf.range(batch_size, dtype=tf.int64)  # (B,), among the pairs of the shape
            numbers = tf.map_fn(lambda place: order(place, count), tf.minimum(places, count - 1))
            pairs = tf.where(places < count, tf.gather(first_pairs, shape) + numbers, -1)
            source_ids, targets = tf.numpy_function(
                read, [pairs, source_length, target_length], [tf.int32] * 2, stateful=False
            )
            source_ids = tf.ensure_shape(source_ids, (batch_size, None))
            targets = tf.ensure_shape(targets, (batch_size, None))
            is_real = targets > 0  # (B, T)
            before = tf.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=self.begin_id)
            inputs = {"source_ids": source_ids, "target_ids": tf.where(is_real, before, 0)}
            return inputs, targets, tf.cast(is_real, tf.float32)

        return write_out

    def _rows(self, side, pairs, length):
        """The ids of one side of some pairs, int32, (B, length), padded; of pair -1 nothing."""
        lengths = np.where(pairs < 0, 0, self.lengths[pairs, side])
        positions = self._starts[pairs, side][:, None] + np.arange(length)
        ids = self._ids[side]
        ids = ids[np.minimum(positions, len(ids) - 1)]
        return np.where(np.arange(length) < lengths[:, None], ids, 0).astype("int32")
