"""The scalars of a run, beside those of Keras's own callback."""

import keras
import numpy as np
import pytest

from callbacks import Scalars
from optimizers import Adam
from schedules import make_schedule
from tests.callbacks.conftest import read_events


def write_scalars(callback, folder, optimizer="adam"):
    """Trains for 3 epochs of 4 batches; gives the scalars of training and of validation."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True)
    x, y = np.random.default_rng(0).normal(size=(2, 8, 2))
    model.fit(
        x, y[:, :1], 2, epochs=3, validation_data=(x, y[:, :1]), callbacks=[callback], verbose=0
    )
    return read_events(folder / "train"), read_events(folder / "validation")


class Losses(keras.callbacks.Callback):
    """Each batch's own loss, in the order of the training."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def test_scalars_are_those_of_keras(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    training, validation = write_scalars(Scalars(ours), ours)
    expected = write_scalars(keras.callbacks.TensorBoard(theirs, write_graph=False), theirs)
    assert (training, validation) == expected
    assert set(training) == {"epoch_loss", "epoch_mae", "epoch_learning_rate"}
    assert all(list(values) == [0, 1, 2] for values in training.values())
    assert list(validation["evaluation_loss_vs_iterations"]) == [4, 8, 12]


def test_the_course_of_a_training_is_kept_and_gone_on_with(tmp_path):
    scalars = Scalars(tmp_path)
    write_scalars(scalars, tmp_path)
    updates, seconds, batches = zip(*scalars.epochs, strict=True)
    assert updates == (4, 8, 12)
    assert batches == (3, 4, 4)  # the very first one compiles
    assert min(seconds) > 0
    later = Scalars(tmp_path)
    later.set_state(scalars.get_state())
    assert later.epochs == scalars.epochs
    later.set_state({"train": {}, "validation": {}})  # of an earlier version
    assert later.epochs == []


@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_loss_of_every_few_steps_is_the_mean_of_their_batches(tmp_path, every):
    batches = Losses()
    keras_tf = [batches, Scalars(tmp_path / "unused")]
    write_scalars(keras_tf, tmp_path / "unused")
    training, _ = write_scalars(Scalars(tmp_path, every), tmp_path)
    assert list(training["batch_loss"]) == [step for step in range(1, 13) if step % every == 0]
    begin = 0
    for step, loss in training["batch_loss"].items():
        epoch_begin = (step - 1) // 4 * 4
        begin = max(begin, epoch_begin)  # an epoch's steps are not mixed with the last one's
        assert loss == pytest.approx(np.mean(batches.losses[begin:step]), rel=1e-4)
        begin = step
    assert list(training["batch_learning_rate"]) == list(training["batch_loss"])
    assert "batch_gradient_norm" not in training


def test_the_learning_rate_is_that_of_the_next_update(tmp_path):
    schedule = make_schedule(0.1, steps=12, warmup_steps=4, decay="linear")
    training, _ = write_scalars(Scalars(tmp_path, every=1), tmp_path, Adam(schedule))
    expected = {step: float(schedule(step)) for step in range(1, 13)}
    assert len(set(expected.values())) == 9
    assert training["batch_learning_rate"] == pytest.approx(expected)
    assert list(training["epoch_learning_rate"].values()) == pytest.approx(
        [expected[4], expected[8], expected[12]]
    )


def test_a_learning_rate_that_a_callback_sets_is_the_one_that_is_written(tmp_path):
    steered = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    training, _ = write_scalars([steered, Scalars(tmp_path, every=4)], tmp_path)
    assert list(training["batch_learning_rate"].values()) == pytest.approx([0.1, 0.05, 0.1 / 3])


def test_the_gradient_norm_is_written_where_the_optimizer_keeps_it(tmp_path):
    optimizer = Adam(0.0)
    training, _ = write_scalars(Scalars(tmp_path, every=4), tmp_path, optimizer)
    norms = training["batch_gradient_norm"]
    assert list(norms) == [4, 8, 12]
    assert norms[12] == pytest.approx(float(optimizer.gradient_norm))
    assert norms[4] == norms[12] > 0  # with a learning rate of 0, the same batch again


def test_a_step_of_several_batches_is_written_once(tmp_path):
    optimizer = Adam(0.01, gradient_accumulation_steps=2)
    training, _ = write_scalars(Scalars(tmp_path, every=1), tmp_path, optimizer)
    assert list(training["batch_loss"]) == [1, 2, 3, 4, 5, 6]


def test_speed_counts_the_time_of_training_alone(tmp_path, monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("callbacks.scalars.time", clock)

    class Pass(keras.callbacks.Callback):
        """A second for a batch, 100 for the one that compiles, 50 for each validation."""

        def on_train_batch_begin(self, batch, logs=None):
            clock.now += 100 if clock.now == 0 else 1

        def on_test_batch_begin(self, batch, logs=None):
            clock.now += 50

    scalars = Scalars(tmp_path, tokens_per_batch=30)
    training, _ = write_scalars([Pass(), scalars], tmp_path)
    assert training["epoch_tokens_per_second"] == {0: 30, 1: 30, 2: 30}
