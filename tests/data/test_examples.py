"""An objective of one's own, made of what a subclass must give and nothing else."""

import numpy as np
import pytest
import tensorflow as tf

from data.examples import Examples, permuted


class Masked(Examples):
    """Rows of numbers; of each, one is hidden behind id 1 and to be found."""

    unit = "masked tokens"
    writes_on = False

    def __init__(self, rows):
        self.rows = np.array(rows, "int32")
        self.count = len(rows)

    def tokens_per_batch(self, batch_size):
        return batch_size

    def _random_batch(self, batch_size, seed):
        def batch(places):
            numbers = tf.map_fn(
                lambda place: permuted(place % self.count, seed, place // self.count, self.count),
                places,
            )
            return self._hide(numbers, permuted(places[0] % 3, seed, places[0], 3))

        return batch

    def _batch_in_order(self):
        return lambda places: self._hide(places, 0)

    def _hide(self, numbers, position):
        is_there = (numbers < self.count)[:, None]
        rows = tf.gather(self.rows, tf.minimum(numbers, self.count - 1))
        hidden = tf.one_hot(position, rows.shape[1]) * tf.cast(is_there, tf.float32)
        return tf.where(hidden > 0, 1, rows), tf.where(hidden > 0, rows, 0), hidden


@pytest.fixture
def masked():
    return Masked([[10, 11, 12], [20, 21, 22], [30, 31, 32], [40, 41, 42], [50, 51, 52]])


def test_everything_is_evaluated_once_and_in_order(masked):
    batches = list(masked.evaluation_batches(2).as_numpy_iterator())
    assert len(batches) == masked.steps_per_epoch(2) == 3
    found = np.concatenate([targets[weights > 0] for _, targets, weights in batches])
    assert found.tolist() == [10, 20, 30, 40, 50]
    assert masked.best_possible() is None


@pytest.mark.parametrize("step", [1, 4, 1000])
def test_the_batch_of_a_step_depends_on_seed_and_step_alone(masked, step):
    def take(seed, first_step, count):
        batches = masked.training_batches(2, seed, first_step).take(count)
        return [[array.tolist() for array in batch] for batch in batches.as_numpy_iterator()]

    assert take(7, step, 3) == take(7, 0, step + 3)[step:]
    assert take(8, step, 3) != take(7, step, 3)


def test_nothing_sleeps_when_an_iterator_is_left():
    masked = Masked([[5, 6, 7]])
    for dataset in (masked.training_batches(2, seed=0), masked.evaluation_batches(2)):
        assert dataset.options().autotune.enabled is False
