"""The file with the best model of a run: what is in it, and when it was written."""

import keras
import numpy as np
import pytest

from callbacks import BestCheckpoint
from tests.callbacks.conftest import read_events


class Recorder(keras.callbacks.Callback):
    """Keeps what there is after each epoch, and spoils the model after the second."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.variables, self.val_losses, self.files = [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            self.model.optimizer.learning_rate = 1.0
        self.files.append(self.path.read_bytes() if self.path.exists() else None)

    def on_epoch_end(self, epoch, logs=None):
        self.variables.append(all_variables(self.model))
        self.val_losses.append(logs.get("val_loss"))


def all_variables(model):
    variables = [*model.weights, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assert_equal(variables, expected):
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize("time_share", [0, 1])
def test_the_file_holds_weights_and_optimizer_of_the_epoch_with_the_lowest_val_loss(
    tmp_path, train, examples, time_share
):
    path = tmp_path / "best.keras"
    recorder, checkpoint = Recorder(path), BestCheckpoint(path, time_share=time_share)
    train(recorder, checkpoint, epochs=4, validation_data=examples)

    assert checkpoint.best_epoch == np.argmin(recorder.val_losses) == 1
    assert checkpoint.best_loss == min(recorder.val_losses)
    best = keras.saving.load_model(path)
    assert_equal(all_variables(best), recorder.variables[1])
    assert int(best.optimizer.iterations) == 4
    assert best.evaluate(examples, verbose=0, return_dict=True)["loss"] == pytest.approx(
        checkpoint.best_loss
    )

    if time_share == 0:  # once at the beginning, and once at the end
        assert None not in recorder.files[1:]
        assert len(set(recorder.files[1:])) == 1
        assert path.read_bytes() != recorder.files[-1]
    else:
        assert len(set(recorder.files[:3])) == 3
        assert path.read_bytes() == recorder.files[3] == recorder.files[2]


def test_the_last_figures_are_those_of_the_model_as_it_is(tmp_path, model, train, examples):
    for epochs, is_known in (([0, 1], True), ([0], False)):  # trained for two
        checkpoint = BestCheckpoint(tmp_path / "best.keras", examples, epochs)
        train(checkpoint, epochs=2)
        figures = model.evaluate(examples, verbose=0, return_dict=True)
        assert checkpoint.last_figures == (figures if is_known else None)


@pytest.mark.slow
def test_training_goes_on_undisturbed_by_a_save_that_came_late(
    tmp_path, model, train, examples, fresh_weights
):
    path = tmp_path / "best.keras"
    checkpoint = BestCheckpoint(path, examples, time_share=0)

    def allow_saving(epoch, logs):
        checkpoint.pace.share = int(epoch >= 2)  # when the model is worse already

    recorder = Recorder(path)
    train(
        recorder,
        keras.callbacks.LambdaCallback(on_epoch_begin=allow_saving),
        checkpoint,
        epochs=4,
    )
    assert checkpoint.best_epoch == 1
    assert recorder.files[1] == recorder.files[2] != recorder.files[3] == path.read_bytes()

    watched = all_variables(model)
    fresh_weights()
    train(Recorder(path), epochs=4)
    assert_equal(watched, all_variables(model))


def test_a_dataset_of_its_own_is_evaluated_at_the_given_epochs(tmp_path, model, train, examples):
    figures = []

    def evaluate(epoch, logs):
        figures.append(model.evaluate(examples, verbose=0, return_dict=True))

    path, log_dir = tmp_path / "best.keras", tmp_path / "evaluation"
    checkpoint = BestCheckpoint(path, examples, epochs=[0, 2], log_dir=log_dir)
    recorder = keras.callbacks.LambdaCallback(on_epoch_end=evaluate)
    history = train(checkpoint, recorder, epochs=4)

    losses = [row["loss"] for row in figures]
    assert losses[3] < losses[2] < losses[0]
    assert checkpoint.best_epoch == 2
    assert checkpoint.best_loss == losses[2] != history.history["loss"][2]
    best = keras.saving.load_model(path)
    assert best.evaluate(examples, verbose=0, return_dict=True) == pytest.approx(figures[2])

    events = read_events(log_dir)
    assert set(events) == {"epoch_loss", "epoch_accuracy"}
    for name in ("loss", "accuracy"):
        assert events[f"epoch_{name}"] == pytest.approx({e: figures[e][name] for e in (0, 2)})


def test_a_loss_that_is_no_number_is_never_the_best(tmp_path, model, train, examples):
    def spoil(epoch, logs):
        if epoch == 1:
            model.get_layer("logits").bias.assign(np.full(14, np.nan))

    spoiler = keras.callbacks.LambdaCallback(on_epoch_begin=spoil)
    checkpoint = BestCheckpoint(tmp_path / "best.keras", examples)
    train(spoiler, checkpoint)
    assert checkpoint.best_epoch == 0
    best = keras.saving.load_model(checkpoint.path)
    assert all(np.isfinite(weight).all() for weight in best.get_weights())


def test_without_validation_and_dataset_it_is_an_error(tmp_path, train):
    with pytest.raises(ValueError, match=r"needs `validation_data` in fit, or a `dataset` .*loss"):
        train(BestCheckpoint(tmp_path / "best.keras"))
