"""Training that goes on from a checkpoint: nothing may tell it from one that never stopped."""

import keras
import numpy as np
import pytest

from callbacks import (
    AttentionHeatmaps,
    BestCheckpoint,
    Checkpoint,
    EarlyStopping,
    SamplePredictions,
    Scalars,
)
from losses import MaskedCrossentropy
from metrics import MeanCrossentropy
from models import EncoderLanguageModel
from tests.callbacks.conftest import read_events


class Killed(Exception):
    pass


class KillAt(keras.callbacks.Callback):
    """Ends the training at a step of an epoch as nobody expects it."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.epoch, self.batch = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            raise Killed


def make_model(tokenizer, d_model=8):
    """A model with much Dropout, and the same weights every time."""
    keras.utils.set_random_seed(0)
    model = EncoderLanguageModel(
        tokenizer, context_length=4, d_model=d_model, num_layers=1, dff=16, dropout=0.5
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        MaskedCrossentropy(),
        weighted_metrics=[MeanCrossentropy()],
        run_eagerly=True,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def make_callbacks(folder, examples):
    scalars = Scalars(folder, every=3)
    return [
        BestCheckpoint(folder / "best.keras", examples, log_dir=folder / "evaluation"),
        scalars,
        AttentionHeatmaps(scalars.train, ["i love"], epochs=[0, 4]),
        SamplePredictions(folder / "samples", [("i love", None)]),
        EarlyStopping("val_loss", patience=3),
    ]


def train(folder, tokenizer, examples, *others, epochs=6, time_share=1.0):
    """Trains, from the folder's checkpoint if there is one; gives the model."""
    model = make_model(tokenizer)
    watchers = make_callbacks(folder, examples)
    checkpoint = Checkpoint(folder / "checkpoint.npz", model, watchers, time_share=time_share)
    if checkpoint.path.exists():
        checkpoint.restore()
        assert checkpoint.step == 2 * checkpoint.epoch
    model.fit(
        examples,
        initial_epoch=checkpoint.epoch,
        epochs=epochs,
        steps_per_epoch=2,
        validation_data=examples,
        callbacks=[*watchers, *others, checkpoint],
        shuffle=False,
        verbose=0,
    )
    return model


def all_variables(model):
    """Everything, the random state of Dropout too (which no `.keras` file holds)."""
    variables = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    assert len(variables) > len(model.weights)
    return [*variables, *optimizer_state(model)]


def optimizer_state(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables]


def assert_equal(variables, expected):
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.fixture
def endless(examples):
    return examples.repeat()


@pytest.mark.slow
def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path, tokenizer, examples):
    whole = train(tmp_path / "whole", tokenizer, examples)
    for place in [(0, 0), (3, 0), (5, 1)]:
        with pytest.raises(Killed):
            train(tmp_path / "cut", tokenizer, examples, KillAt(*place))
    resumed = train(tmp_path / "cut", tokenizer, examples)

    assert_equal(all_variables(resumed), all_variables(whole))
    best = [keras.saving.load_model(tmp_path / run / "best.keras") for run in ("whole", "cut")]
    assert_equal(*([*model.get_weights(), *optimizer_state(model)] for model in best))
    for name in ("train", "validation", "evaluation", "samples"):
        expected, events = (read_events(tmp_path / run / name) for run in ("whole", "cut"))
        assert expected.keys() == events.keys()
        for tag, values in expected.items():
            assert list(events[tag]) == list(values), tag
            for step, value in values.items():
                np.testing.assert_array_equal(events[tag][step], value, err_msg=tag)


@pytest.mark.slow
def test_patience_does_not_begin_anew(tmp_path, tokenizer, examples):
    class Stuck(keras.callbacks.Callback):
        """Undoes what each epoch learned, so that nothing gets better."""

        def on_train_begin(self, logs=None):
            self.weights = self.model.get_weights()

        def on_train_batch_end(self, batch, logs=None):
            self.model.set_weights(self.weights)

    train(tmp_path, tokenizer, examples, Stuck(), epochs=3)
    watchers = make_callbacks(tmp_path, examples)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", make_model(tokenizer), watchers)
    checkpoint.restore()
    assert watchers[-1].wait == 2
    assert not watchers[-1].has_stopped

    train(tmp_path, tokenizer, examples, Stuck(), epochs=9)
    checkpoint.restore()
    assert checkpoint.epoch == 4
    assert watchers[-1].has_stopped


def test_there_is_a_checkpoint_before_the_first_step(tmp_path, tokenizer, examples):
    with pytest.raises(Killed):
        train(tmp_path, tokenizer, examples, KillAt(0, 0))
    model = make_model(tokenizer)
    fresh = all_variables(model)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", model, make_callbacks(tmp_path, examples))
    for variable in model.trainable_variables:
        variable.assign(variable + 1)
    checkpoint.restore()
    assert (checkpoint.epoch, checkpoint.step) == (0, 0)
    assert_equal(all_variables(model), fresh)


def test_a_save_that_fails_half_way_leaves_the_file_as_it_was(
    tmp_path, tokenizer, examples, monkeypatch
):
    train(tmp_path, tokenizer, examples, epochs=1)
    path = tmp_path / "checkpoint.npz"
    content = path.read_bytes()

    def write_half(file, **arrays):
        file.write(content[: len(content) // 2])
        raise Killed

    monkeypatch.setattr(np, "savez", write_half)
    with pytest.raises(Killed):
        train(tmp_path, tokenizer, examples, epochs=2)
    assert path.read_bytes() == content


def test_a_model_that_is_no_numbers_any_more_is_not_saved(tmp_path, tokenizer, examples):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                bias = self.model.get_layer("logits").bias
                bias.assign(np.full(bias.shape, np.nan))

    train(tmp_path, tokenizer, examples, Spoil(), epochs=4)
    checkpoint = Checkpoint(
        tmp_path / "checkpoint.npz", make_model(tokenizer), make_callbacks(tmp_path, examples)
    )
    checkpoint.restore()
    assert checkpoint.epoch == 1


def test_the_middle_of_an_epoch_is_not_saved_unless_training_ends_there(
    tmp_path, tokenizer, endless
):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = self.model.optimizer.iterations == 5

    for last_step, saved in ((None, (1, 4)), (5, (2, 5))):
        model = make_model(tokenizer)
        checkpoint = Checkpoint(
            tmp_path / f"{last_step}.npz", model, last_step=last_step, time_share=1.0
        )
        model.fit(
            endless, epochs=3, steps_per_epoch=4, callbacks=[Stop(), checkpoint], verbose=0,
            shuffle=False,
        )  # fmt: skip
        checkpoint.restore()
        assert (checkpoint.epoch, checkpoint.step) == saved


@pytest.mark.slow
def test_saving_takes_a_small_share_of_the_time(tmp_path, tokenizer, examples):
    times = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            times.append((tmp_path / "checkpoint.npz").stat().st_mtime_ns)

    train(tmp_path, tokenizer, examples, Watch(), time_share=0.0)
    times.append((tmp_path / "checkpoint.npz").stat().st_mtime_ns)
    assert len(set(times[:-1])) == 1
    assert times[-1] > times[0]  # when training ended


def test_a_checkpoint_of_another_model_is_refused(tmp_path, tokenizer, examples):
    train(tmp_path, tokenizer, examples, epochs=1)
    model = make_model(tokenizer, d_model=4)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", model, make_callbacks(tmp_path, examples))
    with pytest.raises(ValueError, match=r"checkpoint.npz: expected a checkpoint of this model"):
        checkpoint.restore()


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_checkpoint_is_refused(tmp_path, tokenizer, examples, share):
    train(tmp_path, tokenizer, examples, epochs=1)
    path = tmp_path / "checkpoint.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    checkpoint = Checkpoint(path, make_model(tokenizer), make_callbacks(tmp_path, examples))
    with pytest.raises(ValueError, match=r"checkpoint.npz: expected a whole checkpoint"):
        checkpoint.restore()
