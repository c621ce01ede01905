"""From token ids to batches of (token_ids, targets, weights)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from data.corpora import Corpus
from data.token_cache import cached_token_ids


class Prefixes(NamedTuple):
    """The progressive prefixes of some windows of text, each with the token that follows it.

    Written out, a window of T + 1 tokens would take T rows of T. So only the windows are kept, and
    each batch is written out when its turn comes.

    Attributes:
        windows: int32, (windows, T + 1), padded on the right with id 0.
        rows: int32, (prefixes,), in which window each prefix lies.
        lengths: int32, (prefixes,), of how many tokens it is.
    """

    windows: np.ndarray
    rows: np.ndarray
    lengths: np.ndarray

    @property
    def count(self) -> int:
        """How many prefixes there are."""
        return len(self.rows)

    @property
    def targets(self) -> np.ndarray:
        """The token that follows each prefix, int32, (prefixes,)."""
        return self.windows[self.rows, self.lengths]


class Windows(NamedTuple):
    """A text as one row of tokens, read through windows; each token in one predicts the next.

    Attributes:
        token_ids: integers, (tokens,), at least two; they may be a memory map.
        length: how many tokens a window holds, T; fewer where the text is shorter.
    """

    token_ids: np.ndarray
    length: int

    @property
    def count(self) -> int:
        """How many tokens there are to predict: all but the first."""
        return max(len(self.token_ids) - 1, 0)

    @property
    def targets(self) -> np.ndarray:
        """The tokens to predict, (count,)."""
        return self.token_ids[1:]


def make_windows(token_ids: Sequence[int], context_length: int) -> Windows:
    """A text to learn every token of, whatever stands before it.

    Args:
        token_ids: the whole text, at least two tokens.
        context_length: how many tokens a window holds at most, at least 1.

    Example:

    >>> make_windows([5, 6, 7, 8], context_length=2).targets.tolist()
    [6, 7, 8]
    """
    token_ids = np.asarray(token_ids)  # not a copy: a memory map stays on disk
    return Windows(token_ids, min(context_length, len(token_ids) - 1))


def make_examples(
    corpus: Corpus, tokenizer, context_length: int, every_token: bool
) -> Prefixes | Windows:
    """What a model learns of a text, or is evaluated on.

    Args:
        corpus: any text.
        tokenizer: one of `data.tokenizer`.
        context_length: longest window, in tokens.
        every_token: True for a model that predicts at every position (`make_windows`), False for
            one that predicts after a whole prefix of a line (`make_prefixes`).
    """
    if every_token:
        return make_windows(cached_token_ids(corpus, tokenizer), context_length)
    return make_prefixes(tokenizer.encode_batch(corpus.sentences), context_length)


def cut_windows(sentences: Iterable[Sequence], length: int) -> list[Sequence]:
    """Cuts each sentence into windows of at most `length` tokens, one after the other.

    Example:

    >>> cut_windows([[2, 3, 4], [5]], length=2)
    [[2, 3], [4], [5]]
    """
    return [
        sentence[start : start + length]
        for sentence in sentences
        for start in range(0, len(sentence), length)
    ]


def make_prefixes(sentences: Iterable[list[int]], context_length: int) -> Prefixes:
    """Turns each sentence into its progressive prefixes, each with the token that follows it.

    `[2, 3, 4]` becomes `[2] -> 3` and `[2, 3] -> 4`. A sentence longer than `context_length` tokens
    is cut into windows of that many first.

    Args:
        sentences: token ids, one list a sentence. A sentence of one token gives nothing.
        context_length: longest window, in tokens, at least 2.

    Returns:
        The prefixes, in the order of the text.

    Example:

    >>> prefixes = make_prefixes([[2, 3, 4], [5, 6]], context_length=4)
    >>> prefixes.windows.tolist(), prefixes.rows.tolist(), prefixes.lengths.tolist()
    ([[2, 3, 4], [5, 6, 0]], [0, 0, 1], [1, 2, 1])
    >>> prefixes.targets.tolist()
    [3, 4, 6]
    """
    cut = [window for window in cut_windows(sentences, context_length) if len(window) > 1]
    windows = np.zeros((len(cut), max(map(len, cut), default=1)), "int32")
    for row, window in zip(windows, cut, strict=True):
        row[: len(window)] = window
    lengths = [length for window in cut for length in range(1, len(window))]
    rows = np.repeat(np.arange(len(cut), dtype="int32"), [len(window) - 1 for window in cut])
    return Prefixes(windows, rows, np.array(lengths, "int32"))


def sample_prompts(
    sentences: Iterable[list[int]], context_length: int, count: int = 8
) -> list[tuple[list[int], list[int]]]:
    """Some beginnings of sentences, with what follows them, to see what a model makes of them.

    Args:
        sentences: token ids, one list a sentence.
        context_length: longest window of a sentence, in tokens.
        count: how many prompts at most.

    Returns:
        Pairs of a prompt and the different tokens that follow it in `sentences`, three at most,
        spread evenly over these. Prompts of a single token are taken only where there are no
        others.

    Example:

    >>> sample_prompts([[2, 3, 4, 5], [2, 3, 9]], context_length=4)
    [([2, 3], [4, 9]), ([2, 3, 4], [5])]
    """
    followers = {}
    for window in cut_windows(sentences, context_length):
        for length in range(1, len(window)):
            followers.setdefault(tuple(window[:length]), {})[window[length]] = None
    prompts = [p for p in followers if len(p) > 1] or list(followers)
    chosen = np.unique(np.linspace(0, len(prompts) - 1, count).round().astype(int))
    return [(list(prompts[i]), list(followers[prompts[i]])[:3]) for i in chosen]


def sample_probe(sentences: Sequence[list[int]], context_length: int) -> list[int]:
    """The beginning of the first sentence of four tokens or more, without its last one.

    Example:

    >>> sample_probe([[7, 8], [2, 3, 4, 5]], context_length=4)
    [2, 3, 4]
    """
    long = next((ids for ids in sentences if len(ids) >= 4), sentences[0])
    return long[: min(len(long), context_length, 9) - 1]


def best_possible(prefixes: Prefixes) -> dict[str, float]:
    """The best figures that any model can reach on these prefixes.

    A prefix that is followed by several different tokens can't be predicted with certainty: the
    best that a model can do is to give each follower the share of times that it follows. The loss
    is then the conditional entropy of the target given the prefix; the accuracy is that of always
    choosing the most frequent follower.

    Returns:
        "loss" in nats, "accuracy" between 0 and 1, and "perplexity".

    Example:

    >>> figures = best_possible(make_prefixes([[2, 3], [2, 4]], context_length=2))
    >>> round(figures["loss"], 4), figures["accuracy"]  # log 2, and one right of two
    (0.6931, 0.5)
    """
    followers = defaultdict(Counter)
    for row, length in zip(prefixes.rows, prefixes.lengths, strict=True):
        window = prefixes.windows[row]
        followers[window[:length].tobytes()][window[length]] += 1
    loss = right = 0.0
    for counter in followers.values():
        counts = np.array(list(counter.values()))
        loss -= np.sum(counts * np.log(counts / counts.sum()))
        right += counts.max()
    loss, accuracy = float(loss / prefixes.count), float(right / prefixes.count)
    return {"loss": loss, "accuracy": accuracy, "perplexity": float(np.exp(loss))}


def training_dataset(examples: Prefixes | Windows, batch_size: int, seed: int, first_step: int = 0):
    """An endless `tf.data.Dataset` of random batches.

    The batch of a step is a function of `(seed, step)` alone, so that a run can be taken up at
    any step. Of prefixes, each epoch holds every one once: epoch e shuffles them by a permutation
    that (seed, e) makes. Windows are shuffled likewise, pass after pass, and do not overlap within
    a pass; where the first one starts changes with each pass, so that each token comes to stand
    everywhere in a window.

    Args:
        examples: what to batch.
        batch_size: prefixes or windows in a batch.
        seed: a non-negative integer.
        first_step: the step of the first batch. Default 0.

    Returns:
        Batches of (token_ids, targets, weights): int32, int32 and float32, each (batch_size, T).
        Of a prefix only the last token has a target and a weight of 1; of a window each has. There
        are `steps_per_epoch(examples, batch_size)` batches in an epoch; the last one of prefixes is
        filled up with padding of weight 0, since batches of one shape are compiled once.
    """
    import tensorflow as tf  # where it is needed: everything else here works without

    if isinstance(examples, Windows):
        batch = _shuffled_windows(examples, batch_size, seed)
    else:
        batch = _shuffled_prefixes(examples, batch_size, seed)
    return tf.data.Dataset.range(first_step, np.iinfo("int64").max).map(batch).prefetch(2)


def evaluation_dataset(examples: Prefixes | Windows, batch_size: int):
    """A `tf.data.Dataset` of everything once, in order, in batches as `training_dataset`'s.

    The last batch is filled up with padding of weight 0. Windows do not overlap: each token of the
    text but the first is predicted once.
    """
    import tensorflow as tf

    write_out = (_window_writer if isinstance(examples, Windows) else _prefix_writer)(examples)
    stride = examples.length if isinstance(examples, Windows) else 1

    def batch(step):
        return write_out((step * batch_size + tf.range(batch_size, dtype=tf.int64)) * stride)

    return tf.data.Dataset.range(steps_per_epoch(examples, batch_size)).map(batch).prefetch(2)


def steps_per_epoch(examples: Prefixes | Windows, batch_size: int) -> int:
    """The number of batches that hold as much as the whole text."""
    size = batch_size * examples.length if isinstance(examples, Windows) else batch_size
    return -(-examples.count // size)


def _shuffled_windows(windows, batch_size, seed):
    """A function from a step to its batch."""
    import tensorflow as tf

    per_pass = max((windows.count - windows.length + 1) // windows.length, 1)
    offsets = windows.count - per_pass * windows.length + 1
    write_out = _window_writer(windows)

    def shuffle(number, cycle, count):
        """Where a number of 0 to count - 1 comes in the permutation of its cycle."""
        seeds = tf.stack([tf.cast(seed, tf.int64), cycle])
        return tf.random.experimental.index_shuffle(number, seed=seeds, max_index=count - 1)

    def start(position):
        number, number_in_pass = position // per_pass, position % per_pass
        offset = shuffle(number % offsets, number // offsets, offsets)
        return offset + windows.length * shuffle(number_in_pass, number, per_pass)

    def batch(step):
        positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        return write_out(tf.map_fn(start, positions))

    return batch


def _shuffled_prefixes(prefixes, batch_size, seed):
    """A function from a step to its batch."""
    import tensorflow as tf

    steps = steps_per_epoch(prefixes, batch_size)
    write_out = _prefix_writer(prefixes)

    def batch(step):
        epoch, step_in_epoch = step // steps, step % steps
        positions = step_in_epoch * batch_size + tf.range(batch_size, dtype=tf.int64)
        shuffled = tf.random.experimental.index_shuffle(
            tf.minimum(positions, prefixes.count - 1),
            seed=tf.stack([tf.cast(seed, tf.int64), epoch]),
            max_index=prefixes.count - 1,
        )
        return write_out(tf.where(positions < prefixes.count, shuffled, prefixes.count))

    return batch


def _window_writer(windows: Windows):
    """A function from where windows start, (B,), to a batch; past the end there is padding."""
    import tensorflow as tf

    def read(starts):
        positions = starts[:, None] + np.arange(windows.length + 1)  # (B, T + 1)
        ids = windows.token_ids[np.minimum(positions, windows.count)]
        return np.where(positions <= windows.count, ids, 0).astype("int32")

    def write_out(starts):
        # NumPy reads these windows and no others: a constant would hold the whole text in memory.
        ids = tf.numpy_function(read, [starts], tf.int32, stateful=False)
        ids = tf.ensure_shape(ids, (starts.shape[0], windows.length + 1))
        positions = starts[:, None] + tf.range(1, windows.length + 1, dtype=tf.int64)  # (B, T)
        return ids[:, :-1], ids[:, 1:], tf.cast(positions <= windows.count, tf.float32)

    return write_out


def _prefix_writer(prefixes: Prefixes):
    """A function from numbers of prefixes, (B,), to a batch; a number too large gives padding."""
    import tensorflow as tf

    all_windows = tf.constant(prefixes.windows)
    all_rows = tf.constant(np.pad(prefixes.rows, (0, 1)))
    all_lengths = tf.constant(np.pad(prefixes.lengths, (0, 1)))

    def write_out(numbers):
        numbers = tf.minimum(numbers, prefixes.count)
        windows = tf.gather(all_windows, tf.gather(all_rows, numbers))  # (B, T + 1)
        lengths = tf.gather(all_lengths, numbers)[:, None]  # (B, 1)
        positions = tf.range(windows.shape[1] - 1)  # (T,)
        is_last = positions == lengths - 1  # (B, T)
        token_ids = tf.where(positions < lengths, windows[:, :-1], 0)
        targets = tf.where(is_last, windows[:, 1:], 0)
        return token_ids, targets, tf.cast(is_last, tf.float32)

    return write_out
