"""Ctrl-C and a request to terminate during a training, as real signals."""

import signal

import keras
import numpy as np
import pytest

from callbacks import StopOnInterrupt

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Raise(keras.callbacks.Callback):
    """Raises signals within one step, and keeps a log of what is called."""

    def __init__(self, *numbers, step=5):
        super().__init__()
        self.numbers, self.step, self.calls = numbers, step, []

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append("step")
        if self.calls.count("step") == self.step:
            for number in self.numbers:
                signal.raise_signal(number)

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


@pytest.fixture
def handlers():
    """What is done at each signal before a training; done again after the test."""
    earlier = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run with `&`
    yield {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in earlier.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_training_after_its_step_and_in_good_order(number):
    stopper, raiser = StopOnInterrupt(), Raise(number, step=6)
    history = fit(stopper, raiser)
    assert stopper.stopped_by is number
    epoch = ["step", "step end"] * 4 + ["epoch end"]
    assert raiser.calls == [*epoch, *["step", "step end"] * 2, "epoch end", "end"]
    assert len(history.history["val_loss"]) == 2


def test_a_second_ctrl_c_ends_it_at_once(handlers):
    raiser = Raise(signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(StopOnInterrupt(), raiser)
    assert {number: signal.getsignal(number) for number in SIGNALS} == handlers
    assert raiser.calls[-1] == "step"


@pytest.mark.parametrize("first", SIGNALS)
def test_a_second_signal_gets_the_answer_that_it_had_before(handlers, first):
    class Ended(Exception):
        pass

    def end(number, frame):
        raise Ended

    signal.signal(signal.SIGTERM, end)
    raiser = Raise(first, signal.SIGTERM)
    with pytest.raises(Ended):
        fit(StopOnInterrupt(), raiser)
    assert signal.getsignal(signal.SIGTERM) is end
    assert raiser.calls[-1] == "step"


@pytest.mark.parametrize("numbers", [[], [signal.SIGINT], [signal.SIGTERM]])
def test_the_earlier_answers_come_back(handlers, numbers):
    fit(StopOnInterrupt(), Raise(*numbers))
    assert {number: signal.getsignal(number) for number in SIGNALS} == handlers


def test_training_ends_as_ever_without_a_signal():
    stopper, raiser = StopOnInterrupt(), Raise()
    fit(stopper, raiser)
    assert stopper.stopped_by is None
    assert raiser.calls.count("step end") == 12


def test_a_training_that_was_stopped_can_be_taken_up_with_the_same_callback():
    stopper = StopOnInterrupt()
    fit(stopper, Raise(signal.SIGINT))
    history = fit(stopper, epochs=2)
    assert stopper.stopped_by is None
    assert len(history.history["loss"]) == 2
