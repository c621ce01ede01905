"""The progress bar, on a terminal and into a file."""

import io
import re
import time

import keras
import numpy as np
import pytest
from rich.console import Console

from callbacks import ProgressBar, StopAtStep, progress_bar


def watch(epochs, steps, width=80, terminal=True, validation=False, seconds=0.0):
    """What is written of a training whose figures do not matter."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, color_system=None, width=width)
    watchers = keras.callbacks.CallbackList([ProgressBar(console)], epochs=epochs, steps=steps)
    watchers.on_train_begin()
    for epoch in range(epochs):
        watchers.on_epoch_begin(epoch)
        logs = {"loss": 0.25, "accuracy": 0.5}
        for step in range(steps):
            watchers.on_train_batch_begin(step)
            time.sleep(seconds)
            watchers.on_train_batch_end(step, logs)
        if validation:
            logs |= {"val_loss": 0.75, "val_accuracy": 0.375}
        watchers.on_epoch_end(epoch, logs)
    watchers.on_train_end()
    return file.getvalue()


def fit(console, epochs=3, steps_per_execution=1, callbacks=(), **arguments):
    """Trains for real, on 8 examples in batches of 2."""
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", steps_per_execution=steps_per_execution)
    x = np.ones((8, 2))
    watchers = [*callbacks, ProgressBar(console)]
    return model.fit(x, x[:, :1], 2, epochs=epochs, verbose=0, callbacks=watchers, **arguments)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_training_that_ends_within_an_epoch_is_whole_then(terminal):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, color_system=None, width=80)
    x = np.ones((8, 2))
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    watchers = [StopAtStep(6), ProgressBar(console, last_step=6)]
    model.fit(x, x[:, :1], 2, epochs=2, verbose=0, callbacks=watchers)
    last = frames_of(file.getvalue())[-1].splitlines()[-1]
    pattern = r"epoch 2/2 ━+ loss .*left 0:00:00" if terminal else r"epoch 2/2  step 6/6  loss .*"
    assert re.fullmatch(pattern, last), last


def frames_of(output):
    """What a terminal showed on its one line, one after the other."""
    return [
        frame.rstrip() for frame in re.split(r"\r|\x1b\[\??\d+[A-Za-z]", output) if frame.strip()
    ]


def test_a_terminal_shows_one_live_bar_for_a_whole_training():
    file = io.StringIO()
    history = fit(Console(file=file, force_terminal=True, color_system=None, width=80))
    output = file.getvalue()
    assert output.count("\n") == 1
    assert output.endswith("\n\x1b[?25h"), "the cursor stays hidden"
    last = frames_of(output)[-1]
    loss = history.history["loss"][-1]
    assert re.fullmatch(rf"epoch 3/3 ━+ loss {loss:.4f} 0:00:\d\d left 0:00:00", last), last


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_live_bar_shows_epoch_loss_and_both_times_whole(width, validation):
    output = watch(1000, 2, width, validation=validation, seconds=2e-4)
    frames = frames_of(output)
    assert output.count("\n") == 1
    assert len(frames) > 1
    assert all(len(frame) <= width for frame in frames)
    pattern = r"epoch 1000/1000 .*loss 0\.2500.* 0:00:\d\d left 0:00:00"
    assert re.fullmatch(pattern, frames[-1]), frames[-1]


@pytest.mark.parametrize("validation", [False, True])
def test_without_a_terminal_a_thousand_epochs_take_few_lines(validation):
    lines = watch(1000, 2, terminal=False, validation=validation).splitlines()
    assert 2 <= len(lines) <= 4
    assert all(len(line) <= 100 for line in lines)
    assert lines[0].startswith("epoch 1/1000  step ")
    assert lines[-1].startswith("epoch 1000/1000  step 2000/2000  loss 0.2500  accuracy 50.0%")
    assert lines[-1].endswith("val_loss 0.7500  val_accuracy 37.5%") == validation
    assert "\x1b" not in "".join(lines)


def test_a_long_training_is_heard_of_now_and_then(monkeypatch):
    monkeypatch.setattr(progress_bar, "LINE_EVERY_SECONDS", 0.1)
    lines = watch(1, 100, terminal=False, seconds=0.01).splitlines()
    steps = [int(re.search(r"step (\d+)/100", line)[1]) for line in lines]
    assert 4 <= len(steps) <= 100
    assert steps == sorted(steps)
    assert steps[-1] == 100


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_no_line_comes_twice(epochs, steps):
    lines = watch(epochs, steps, terminal=False).splitlines()
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("terminal", [False, True])
def test_training_that_stops_early_shows_its_last_epoch(terminal):
    def stop(epoch, logs):
        stopper.model.stop_training = epoch == 1

    file = io.StringIO()
    stopper = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    console = Console(file=file, force_terminal=terminal, color_system=None, width=80)
    history = fit(console, epochs=1000, callbacks=[stopper])
    last = frames_of(file.getvalue())[-1].splitlines()[-1]
    assert last.startswith("epoch 2/1000")
    assert f"loss {history.history['loss'][-1]:.4f}" in last


@pytest.mark.parametrize(
    "arguments",
    [{}, {"steps_per_execution": 2}, {"steps_per_execution": 3}, {"initial_epoch": 1}],
    ids=str,
)
def test_every_step_is_counted(arguments):
    file = io.StringIO()
    fit(Console(file=file), **arguments)
    assert file.getvalue().splitlines()[-1].startswith("epoch 3/3  step 12/12  loss ")


def test_one_callback_can_watch_two_trainings():
    file = io.StringIO()
    bar = ProgressBar(Console(file=file))
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.ones((4, 2))
    for _ in range(2):
        model.fit(x, x[:, :1], batch_size=4, epochs=2, verbose=0, callbacks=[bar])
    lines = [line.split("  loss")[0] for line in file.getvalue().splitlines()]
    assert lines == ["epoch 1/2  step 1/2", "epoch 2/2  step 2/2"] * 2


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_an_unknown_number_of_steps_is_left_out():
    def batches():
        for _ in range(3):
            yield np.ones((2, 2)), np.ones((2, 1))

    file = io.StringIO()
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(batches(), shuffle=False, verbose=0, callbacks=[ProgressBar(Console(file=file))])
    lines = file.getvalue().splitlines()
    assert re.fullmatch(r"epoch 1/1  loss \d\.\d{4}", lines[-1])
