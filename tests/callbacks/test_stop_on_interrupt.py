"""Ctrl-C during a training, as a real signal."""

import signal

import keras
import numpy as np
import pytest

from callbacks import StopOnInterrupt


class PressCtrlC(keras.callbacks.Callback):
    """Presses Ctrl-C some times within one step, and keeps a log of what is called."""

    def __init__(self, times, step=5):
        super().__init__()
        self.times, self.step, self.calls = times, step, []

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append("step")
        if self.calls.count("step") == self.step:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append("step end")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append("epoch end")

    def on_train_end(self, logs=None):
        self.calls.append("end")


def fit(*callbacks, epochs=3):
    """Trains for some epochs of four steps."""
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.ones((8, 2))
    data = (x, x[:, :1])
    return model.fit(
        *data, 2, epochs=epochs, validation_data=data, callbacks=list(callbacks), verbose=0
    )


def test_ctrl_c_ends_training_after_its_step_and_in_good_order():
    stopper, presser = StopOnInterrupt(), PressCtrlC(times=1, step=6)
    history = fit(stopper, presser)
    assert stopper.interrupted
    epoch = ["step", "step end"] * 4 + ["epoch end"]
    assert presser.calls == [*epoch, *["step", "step end"] * 2, "epoch end", "end"]
    assert len(history.history["val_loss"]) == 2


def test_a_second_ctrl_c_ends_it_at_once():
    presser = PressCtrlC(times=2)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(StopOnInterrupt(), presser)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, handler)
    assert presser.calls[-1] == "step"


@pytest.mark.parametrize("times", [0, 1])
def test_the_earlier_answer_to_ctrl_c_comes_back(times):
    handler = signal.getsignal(signal.SIGINT)
    fit(StopOnInterrupt(), PressCtrlC(times))
    assert signal.getsignal(signal.SIGINT) is handler


def test_training_ends_as_ever_without_ctrl_c():
    stopper, presser = StopOnInterrupt(), PressCtrlC(times=0)
    fit(stopper, presser)
    assert not stopper.interrupted
    assert presser.calls.count("step end") == 12


def test_an_interrupted_training_can_be_taken_up_with_the_same_callback():
    stopper = StopOnInterrupt()
    fit(stopper, PressCtrlC(times=1))
    history = fit(stopper, epochs=2)
    assert not stopper.interrupted
    assert len(history.history["loss"]) == 2
