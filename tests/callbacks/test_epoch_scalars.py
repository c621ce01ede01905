"""The scalars of a run, beside those of Keras's own callback."""

import keras
import numpy as np
import pytest

from callbacks import EpochScalars
from tests.callbacks.conftest import read_events


def write_scalars(callback_class, folder, **arguments):
    """Trains for 3 epochs of 4 steps; gives the scalars of training and of validation."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"], run_eagerly=True)
    x, y = np.random.default_rng(0).normal(size=(2, 8, 2))
    callback = callback_class(folder, write_graph=False, **arguments)
    model.fit(
        x, y[:, :1], 2, epochs=3, validation_data=(x, y[:, :1]), callbacks=[callback], verbose=0
    )
    return read_events(folder / "train"), read_events(folder / "validation")


@pytest.mark.parametrize("update_freq", ["epoch", 3])
def test_scalars_are_those_of_keras(tmp_path, update_freq):
    ours = write_scalars(EpochScalars, tmp_path / "ours", update_freq=update_freq)
    keras_callback = keras.callbacks.TensorBoard
    assert ours == write_scalars(keras_callback, tmp_path / "keras", update_freq=update_freq)


def test_whole_epochs_alone_are_written_unless_asked_otherwise(tmp_path):
    training, validation = write_scalars(EpochScalars, tmp_path)
    assert set(training) == {"epoch_loss", "epoch_mae", "epoch_learning_rate"}
    assert all(list(values) == [0, 1, 2] for values in training.values())
    assert list(validation["epoch_loss"]) == [0, 1, 2]


@pytest.mark.parametrize(("update_freq", "steps"), [(1, list(range(1, 13))), (3, [3, 6, 9, 12])])
def test_batch_scalars_are_written_as_often_as_asked(tmp_path, update_freq, steps):
    training, _ = write_scalars(EpochScalars, tmp_path, update_freq=update_freq)
    assert list(training["batch_loss"]) == steps
    assert list(training["batch_mae"]) == steps
