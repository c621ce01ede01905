"""The objective of a masked model: the tokens that are hidden in a text."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from data.corpora import Corpus
from data.cut_windows import cut_windows
from data.examples import Examples, batches, each_once, permuted
from data.token_cache import cached_token_ids
from data.tokenizer import MASK, Tokenizer

SHARE = 0.15  # of a text's tokens are chosen
MASKED, REPLACED = 0.8, 0.1  # of these are hidden, or are another token; the others stay
_SHOWN = 24  # tokens of a sample


class MaskedTexts(Examples):
    """Texts in which some tokens are hidden, each to be told from what is around it.

    In training 15 % of a text's tokens are chosen, at least one. Of these 80 % become `[MASK]`,
    10 % become another token, and 10 % stay as they are, so that the model can't trust what it
    reads. Only they have a weight of 1. Which ones, and what they become, is a function of (seed,
    step). Each epoch holds every text once, in an order of its own (`data.examples.each_once`).

    In evaluation all that are chosen are `[MASK]`, and they are the same ones each time. Of a text
    of up to nine tokens each one is chosen once, with all others in sight. A longer text is read
    once, with 15 % of its tokens hidden, which a hash of their place chooses.

    The texts are lines where line ends mean something to no token, or where each line is an example
    by itself; or else a running text is cut into pieces of `context_length`, which begin elsewhere
    in each epoch of training.

    Args:
        token_ids: all texts in one row; it may be a memory map.
        bounds: where texts begin and end, in rising order. One of a single token is left out, and
            one that is longer than `context_length` is cut.
        context_length: the longest text, in tokens, at least 2.
        mask_id: what a hidden token becomes.
        num_pieces: how many tokens there are to take in place of one: the ids from 2 on. At least
            2.
        runs_on: whether the texts are pieces of a running one. Default False.

    Attributes:
        starts, lengths: where each text begins, and how many tokens it has, (texts,).
        length: how many tokens the longest has, T.
        readings: int64, (readings, 2): which text is read in evaluation, and which of its tokens is
            chosen; -1: those that the hash chooses.

    Example:

    >>> texts = MaskedTexts([2, 3, 4, 2, 5], [0, 3, 5], context_length=4, mask_id=9, num_pieces=7)
    >>> for token_ids, targets, weights in texts.evaluation_batches(5):
    ...     print(token_ids.numpy().tolist(), targets.numpy().max(axis=-1).tolist())
    [[9, 3, 4], [2, 9, 4], [2, 3, 9], [9, 5, 0], [2, 9, 0]] [2, 3, 4, 2, 5]

    Reference: Devlin et al. (2018), https://arxiv.org/abs/1810.04805, section 3.1.
    """

    unit = "tokens"
    writes_on = False

    def __init__(
        self,
        token_ids: Sequence[int],
        bounds: Sequence[int],
        context_length: int,
        mask_id: int,
        num_pieces: int,
        runs_on: bool = False,
    ):
        self.token_ids = np.asarray(token_ids)  # not a copy: a memory map stays on disk
        self.context_length, self.mask_id, self.num_pieces = context_length, mask_id, num_pieces
        self.runs_on = runs_on
        bounds = np.asarray(bounds, "int64")
        pieces = -(-np.diff(bounds) // context_length)  # of each text
        number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        starts = np.repeat(bounds[:-1], pieces) + number * context_length
        lengths = np.minimum(np.repeat(bounds[1:], pieces) - starts, context_length)
        self.starts, self.lengths = starts[lengths > 1], lengths[lengths > 1]
        self.length = int(self.lengths.max(initial=1))
        self.counts = num_chosen(self.lengths)  # how many are chosen of each text
        times = np.where(self.counts == 1, self.lengths, 1)
        texts = np.repeat(np.arange(len(times)), times)
        places = np.arange(len(texts)) - np.repeat(np.cumsum(times) - times, times)
        self.readings = np.stack([texts, np.where(self.counts[texts] == 1, places, -1)], axis=1)

    @classmethod
    def read(cls, corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> "MaskedTexts":
        """The texts of a corpus; the ids of a running text stay on disk."""
        mask_id, num_pieces = tokenizer.special_id(MASK), len(tokenizer.pieces)
        if _reads_lines(corpus, tokenizer):
            lines = tokenizer.encode_batch(corpus.sentences)
            token_ids = np.fromiter(itertools.chain.from_iterable(lines), "int32")
            bounds = np.cumsum([0, *map(len, lines)])
            return cls(token_ids, bounds, context_length, mask_id, num_pieces)
        token_ids = cached_token_ids(corpus, tokenizer)
        bounds = [0, len(token_ids)]
        return cls(token_ids, bounds, context_length, mask_id, num_pieces, runs_on=True)

    @property
    def count(self) -> int:
        """How many tokens are predicted in evaluation."""
        return int(np.where(self.counts == 1, self.lengths, self.counts).sum())

    @property
    def targets(self) -> np.ndarray:
        """These tokens, (count,)."""
        some = [targets[targets > 0] for _, targets in self._all_readings()]
        return np.concatenate([np.array([], "int32"), *some])

    def tokens_per_batch(self, batch_size: int) -> int:
        return round(batch_size * self.counts.sum() / max(len(self.counts), 1))

    def steps_per_epoch(self, batch_size: int) -> int:
        return -(-len(self.starts) // batch_size)

    def sequences(self) -> list[list[int]]:
        return self.token_rows()[:2000]

    def token_rows(self) -> list[np.ndarray]:
        """The texts; unlike those of other objectives, no token of theirs comes before another."""
        return [
            self.token_ids[start : start + length]
            for start, length in zip(self.starts, self.lengths, strict=True)
        ]

    def predicted_pieces(self, corpus: Corpus, tokenizer: Tokenizer) -> Iterator[str]:
        texts = corpus.sentences if _reads_lines(corpus, tokenizer) else corpus.pieces()
        pieces = (piece for text in texts for piece in tokenizer.split(text))
        place = 0
        for number in self._places():
            yield next(itertools.islice(pieces, number - place, None))
            place = number + 1

    def surroundings(self, number: int) -> tuple[list[int], list[int]]:
        for token_ids, targets in self._all_readings():
            rows, places = np.nonzero(targets)
            if number < len(rows):
                row, place = token_ids[rows[number]], places[number]
                return row[:place].tolist(), [id_ for id_ in row[place + 1 :].tolist() if id_]
            number -= len(rows)
        raise IndexError(number)

    def best_possible(self) -> dict[str, float] | None:
        """The best figures that any model can reach where each token is hidden alone.

        As in `data.prefixes`: the best guess is the share of times that each token stands in such a
        place, among these others. Not known (None) where a text has several hidden tokens.
        """
        if np.any(self.counts > 1):
            return None
        seen = defaultdict(Counter)
        for token_ids, targets in self._all_readings():
            for row, target in zip(token_ids, targets.max(axis=1).tolist(), strict=True):
                seen[row.tobytes()][target] += 1
        loss = right = 0.0
        for counter in seen.values():
            counts = np.array(list(counter.values()))
            loss -= np.sum(counts * np.log(counts / counts.sum()))
            right += counts.max()
        loss, accuracy = float(loss / self.count), float(right / self.count)
        return {"loss": loss, "accuracy": accuracy, "perplexity": float(np.exp(loss))}

    def prompts(self, corpus: Corpus, tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
        """Some of the text's lines, or their beginnings, with a token hidden, and that token."""
        lines = self._lines(corpus, tokenizer)
        samples = []
        for number in np.unique(np.linspace(0, len(lines) - 1, 8).round().astype(int)):
            (line, *_) = cut_windows([list(lines[number])], min(self.context_length, _SHOWN))
            place = 7 * int(number) % len(line)
            samples.append(([*line[:place], self.mask_id, *line[place + 1 :]], [line[place]]))
        return samples

    def evaluation_batches(self, batch_size: int):
        """A `tf.data.Dataset` of all readings, in order, in batches as `training_batches`'s."""
        count = -(-len(self.readings) // batch_size)
        return batches(self._batch_in_order(), batch_size, 0, count)

    def _random_batch(self, batch_size, seed):
        import tensorflow as tf

        count = len(self.starts)
        numbers_of = each_once(lambda numbers: numbers, count, batch_size, seed)
        places_per_epoch = self.steps_per_epoch(batch_size) * batch_size

        def batch(places):
            step, epoch = places[0] // batch_size, places[0] // places_per_epoch
            length = self.length
            shift = permuted(epoch % length, seed, epoch // length + 2**32, length)
            ids = tf.numpy_function(
                self._texts, [numbers_of(places), shift], tf.int32, stateful=False
            )
            return self._hide(tf.ensure_shape(ids, (batch_size, length)), seed, step)

        return batch

    def _hide(self, ids, seed, step):
        """A batch of texts, (B, T), with some tokens hidden: a function of (seed, step)."""
        import tensorflow as tf

        order, fate, other = tf.unstack(
            tf.random.stateless_uniform((3, *ids.shape), tf.stack([tf.cast(seed, "int64"), step]))
        )  # (B, T) each
        is_real = ids > 0
        order = tf.argsort(tf.argsort(tf.where(is_real, order, 2.0), axis=-1), axis=-1)
        lengths = tf.reduce_sum(tf.cast(is_real, tf.float32), axis=-1, keepdims=True)
        counts = tf.maximum(tf.round(SHARE * lengths), 1.0)  # as `num_chosen`
        is_chosen = is_real & (tf.cast(order, tf.float32) < counts)
        another = 2 + tf.cast(other * (self.num_pieces - 1), tf.int32)
        another += tf.cast(another >= ids, tf.int32)  # not the token itself
        hidden = tf.where(fate < MASKED, self.mask_id, another)
        hidden = tf.where(fate < MASKED + REPLACED, hidden, ids)
        token_ids, targets = tf.where(is_chosen, hidden, ids), tf.where(is_chosen, ids, 0)
        return token_ids, targets, tf.cast(is_chosen, tf.float32)

    def _batch_in_order(self):
        import tensorflow as tf

        def batch(places):
            token_ids, targets = tf.numpy_function(
                self._read, [places], [tf.int32, tf.int32], stateful=False
            )
            shape = (places.shape[0], self.length)
            token_ids, targets = (tf.ensure_shape(ids, shape) for ids in (token_ids, targets))
            return token_ids, targets, tf.cast(targets > 0, tf.float32)

        return batch

    def _texts(self, numbers, shift=0):
        """Some texts, int32, (B, T), padded; of a number past the last, nothing."""
        is_text = numbers < len(self.starts)
        numbers = np.minimum(numbers, len(self.starts) - 1)
        starts, lengths = self.starts[numbers], self.lengths[numbers]
        if self.runs_on and shift:
            starts = np.minimum(starts + shift, len(self.token_ids) - self.length)
            lengths = np.full_like(lengths, self.length)
        positions = starts[:, None] + np.arange(self.length)
        ids = self.token_ids[np.minimum(positions, len(self.token_ids) - 1)]
        is_real = is_text[:, None] & (np.arange(self.length) < lengths[:, None])
        return np.where(is_real, ids, 0).astype("int32")

    def _read(self, numbers):
        """Some readings: token ids and targets, int32, (B, T) each."""
        texts, places = self.readings[np.minimum(numbers, len(self.readings) - 1)].T
        ids = self._texts(np.where(numbers < len(self.readings), texts, len(self.starts)))
        is_chosen = self._chosen(texts, places) & (ids > 0)
        return np.where(is_chosen, self.mask_id, ids).astype("int32"), np.where(is_chosen, ids, 0)

    def _chosen(self, texts, places):
        """Which tokens of some texts are chosen, booleans, (B, T): one place, or by the hash."""
        everywhere = np.arange(self.length)
        keys = _hash(self.starts[texts][:, None] + everywhere)
        keys[everywhere >= self.lengths[texts][:, None]] = np.iinfo("uint64").max
        ranks = np.argsort(np.argsort(keys, axis=-1, kind="stable"), axis=-1, kind="stable")
        by_hash = ranks < self.counts[texts][:, None]
        return np.where(places[:, None] < 0, by_hash, everywhere == places[:, None])

    def _all_readings(self):
        for begin in range(0, len(self.readings), 4096):
            yield self._read(np.arange(begin, min(begin + 4096, len(self.readings))))

    def _places(self):
        """Where in the row of all tokens those stand that are predicted, in their order."""
        for begin in range(0, len(self.readings), 4096):
            texts, places = self.readings[begin : begin + 4096].T
            rows, columns = np.nonzero(self._chosen(texts, places))
            yield from (self.starts[texts[rows]] + columns).tolist()


def num_chosen(lengths: np.ndarray) -> np.ndarray:
    """How many tokens are chosen of texts of so many.

    Example:

    >>> num_chosen(np.array([2, 9, 10, 100])).tolist()
    [1, 1, 2, 15]
    """
    return np.maximum(np.round(SHARE * lengths), 1).astype("int64")


def _reads_lines(corpus, tokenizer):
    return tokenizer.loses_line_ends or corpus.by_line


def _hash(numbers):
    """Numbers that look random, uint64, of numbers: SplitMix64's last steps."""
    x = (numbers.astype("uint64") + 1) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
