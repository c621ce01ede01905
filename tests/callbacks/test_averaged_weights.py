"""Averaged weights: where the model has them, and that training does not notice."""

import keras
import numpy as np
import pytest

from callbacks import AveragedWeights
from optimizers import Adam


class Recorder(keras.callbacks.Callback):
    """The weight after every step, and what is seen at other times."""

    def __init__(self):
        super().__init__()
        self.steps, self.seen = [], {}

    def weight(self):
        return self.model.get_weights()[0].item()

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.weight())

    def on_test_batch_end(self, batch, logs=None):
        self.seen.setdefault("validation", []).append(self.weight())

    def on_epoch_end(self, epoch, logs=None):
        self.seen.setdefault("end of epoch", []).append(self.weight())


def train(use_ema, *watchers, epochs=3):
    """Trains one weight for some epochs of 4 steps; gives what was recorded, and the model."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(Adam(0.1, use_ema=use_ema, ema_momentum=0.75), "mse")
    x = np.arange(1, 9, dtype="float32")[:, None]
    recorder = Recorder()
    model.fit(
        x, 3 * x, batch_size=2, epochs=epochs, shuffle=False, verbose=0,
        validation_data=(x, x), validation_batch_size=8, callbacks=[*watchers, recorder],
    )  # fmt: skip
    return recorder, model


def averages(steps):
    """The moving average after each step."""
    values = [steps[0]]
    for step in steps[1:]:
        values.append(0.75 * values[-1] + 0.25 * step)
    return values


def test_validation_callbacks_and_the_trained_model_have_the_average():
    recorder, model = train(True, AveragedWeights())
    expected = averages(recorder.steps)[3::4]
    assert recorder.seen["validation"] == pytest.approx(expected, rel=1e-6)
    assert recorder.seen["end of epoch"] == pytest.approx(expected, rel=1e-6)
    assert model.get_weights()[0].item() == pytest.approx(expected[-1], rel=1e-6)
    assert abs(expected[-1] - recorder.steps[-1]) > 1e-3


def test_training_goes_on_with_the_weights_themselves_bit_for_bit():
    averaged, _ = train(True, AveragedWeights())
    plain, _ = train(False)
    assert averaged.steps == plain.steps


def test_averages_alone_do_not_change_the_weights_when_fit_ends():
    recorder, model = train(True)
    assert model.get_weights()[0].item() == recorder.steps[-1]
