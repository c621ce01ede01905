"""A training whose loss is no number any more."""

import keras
import numpy as np
import pytest

from callbacks import StopOnDivergence


def train(x, *others, epochs=2):
    """Trains with SGD on batches of one row; gives the callback and the number of steps made."""
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    stopper = StopOnDivergence()
    x = np.array(x, "float32")[:, None]
    model.fit(
        x, x, batch_size=1, epochs=epochs, shuffle=False, verbose=0, callbacks=[stopper, *others]
    )
    return stopper.diverged_at, int(model.optimizer.iterations)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_it_ends_after_the_first_step_whose_loss_is_not_finite(value):
    assert train([1, 2, value, 4]) == (3, 3)


def test_steps_are_counted_over_epochs():
    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.layers[-1].bias.assign([np.nan])

    assert train([1, 2, 3], Spoil()) == (4, 4)


def test_weights_that_the_last_step_spoils_are_seen_too():
    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.layers[-1].bias.assign([np.nan])

    assert train([1, 2, 3], Spoil(), epochs=1) == (3, 3)


def test_a_training_that_goes_well_ends_by_itself():
    assert train([1, 2, 3]) == (None, 6)
