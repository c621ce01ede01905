"""From token ids to batches of (token_ids, targets, weights)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np


class Examples(NamedTuple):
    """Arrays of one shape, (examples, T), padded on the right with id 0.

    Attributes:
        token_ids: int32, what the model reads.
        targets: int32, what it should say at each position.
        weights: float32, 0 for a position that does not count.
    """

    token_ids: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def split_sentences(sentences: list, validation_split: float) -> tuple[list, list]:
    """The sentences for training, and the last `validation_split` of them for validation.

    Example:

    >>> split_sentences(["a b", "c d", "e f", "g h"], 0.25)
    (['a b', 'c d', 'e f'], ['g h'])
    """
    count = round(len(sentences) * (1 - validation_split))
    return sentences[:count], sentences[count:]


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


def prefix_examples(sentences: Iterable[list[int]], context_length: int) -> Examples:
    """Turns each sentence into its progressive prefixes, each with the token that follows it.

    `[2, 3, 4]` becomes `[2] -> 3` and `[2, 3] -> 4`. Only the last token of each prefix counts.
    A sentence longer than `context_length` tokens is cut into windows of that many first.

    Args:
        sentences: token ids, one list a sentence. A sentence of one token gives nothing.
        context_length: longest window, in tokens, at least 2.

    Returns:
        The examples, as wide as the longest prefix.

    Example:

    >>> examples = prefix_examples([[2, 3, 4]], context_length=4)
    >>> examples.token_ids.tolist(), examples.targets.tolist()
    ([[2, 0], [2, 3]], [[3, 0], [0, 4]])
    >>> examples.weights.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    windows = cut_windows(sentences, context_length)
    width = max((len(window) for window in windows), default=1) - 1
    count = sum(len(window) - 1 for window in windows)
    token_ids = np.zeros((count, width), "int32")
    targets = np.zeros((count, width), "int32")
    weights = np.zeros((count, width), "float32")
    row = 0
    for window in windows:
        for length in range(1, len(window)):
            token_ids[row, :length] = window[:length]
            targets[row, length - 1] = window[length]
            weights[row, length - 1] = 1
            row += 1
    return Examples(token_ids, targets, weights)


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


def best_possible(examples: Examples) -> dict[str, float]:
    """The best figures that any model can reach on these examples.

    A prefix that is followed by several different tokens can't be predicted with certainty: the
    best that a model can do is to give each follower the share of times that it follows. The loss
    is then the conditional entropy of the target given the prefix; the accuracy is that of always
    choosing the most frequent follower.

    Returns:
        "loss" in nats, "accuracy" between 0 and 1, and "perplexity".

    Example:

    >>> figures = best_possible(prefix_examples([[2, 3], [2, 4]], context_length=2))
    >>> round(figures["loss"], 4), figures["accuracy"]  # log 2, and one right of two
    (0.6931, 0.5)
    """
    followers = defaultdict(lambda: defaultdict(int))
    for token_ids, targets, weights in zip(*examples, strict=True):
        position = int(np.flatnonzero(weights)[0])
        followers[token_ids.tobytes()][int(targets[position])] += 1
    loss = right = 0.0
    for counts in followers.values():
        counts = np.array(list(counts.values()))
        loss -= np.sum(counts * np.log(counts / counts.sum()))
        right += counts.max()
    total = len(examples.token_ids)
    loss, accuracy = float(loss / total), float(right / total)
    return {"loss": loss, "accuracy": accuracy, "perplexity": float(np.exp(loss))}


def training_dataset(examples: Examples, batch_size: int, seed: int):
    """An endless `tf.data.Dataset` of shuffled batches; each epoch holds every example once.

    The batch of a step is a function of `(seed, step)` alone, so that a run can be taken up at
    any step: epoch e shuffles the examples by a permutation that (seed, e) makes.

    Args:
        examples: what to batch.
        batch_size: examples in a batch. An epoch's last batch is filled up with padding of weight
            0: batches of one shape are compiled once.
        seed: a non-negative integer.

    Returns:
        Batches of (token_ids, targets, weights), each (batch_size, T). There are
        `steps_per_epoch(examples, batch_size)` in an epoch.
    """
    import tensorflow as tf  # where it is needed: everything else here works without

    count = len(examples.token_ids)
    steps = steps_per_epoch(examples, batch_size)
    arrays = [tf.constant(array) for array in examples]

    def batch(step):
        epoch, step_in_epoch = step // steps, step % steps
        positions = step_in_epoch * batch_size + tf.range(batch_size, dtype=tf.int64)
        rows = tf.random.experimental.index_shuffle(
            tf.minimum(positions, count - 1),
            seed=tf.stack([tf.cast(seed, tf.int64), epoch]),
            max_index=count - 1,
        )
        is_example = (positions < count)[:, None]
        return tuple(tf.where(is_example, tf.gather(a, rows), tf.zeros_like(a[:1])) for a in arrays)

    return tf.data.Dataset.range(np.iinfo("int64").max).map(batch).prefetch(2)


def evaluation_dataset(examples: Examples, batch_size: int):
    """A `tf.data.Dataset` of every example once, in order.

    Returns:
        Batches of (token_ids, targets, weights), each (batch_size, T); the last is filled up with
        padding of weight 0.
    """
    import tensorflow as tf

    missing = -len(examples.token_ids) % batch_size
    arrays = tuple(np.pad(array, ((0, missing), (0, 0))) for array in examples)
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    return dataset.batch(batch_size, drop_remainder=True).prefetch(2)


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
    """The number of batches that hold every example once."""
    return -(-len(examples.token_ids) // batch_size)
