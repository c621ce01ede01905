"""The event file that callbacks share, read back as TensorBoard reads it."""

import keras
import numpy as np
import pytest
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from callbacks import AttentionHeatmaps, EventWriter, SamplePredictions, Scalars
from callbacks.epoch_summaries import EpochSummaries
from tests.callbacks.conftest import read_events

MINE, YOURS = keras.callbacks.Callback(), keras.callbacks.Callback()


class Epochs(EpochSummaries):
    """Writes a number about some epochs."""

    def __init__(self, log_dir, tag, epochs):
        super().__init__(log_dir, epochs)
        self.tag = tag

    def summaries(self):
        return [scalar_pb(self.tag, int(self.model.optimizer.iterations))]


def fit(*callbacks, epochs=5):
    """Trains for some epochs of one step."""
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    x = np.ones((1, 1))
    model.fit(x, x, epochs=epochs, callbacks=list(callbacks), verbose=0)


def write(writer, tag, *steps):
    for step in steps:
        writer.write(step, [scalar_pb(tag, step)])
        writer.position()  # as a checkpoint does: what was written is in the file


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("order", [1, -1])
def test_callbacks_that_share_a_folder_write_one_file_whichever_ends_first(tmp_path, order):
    writer = EventWriter(tmp_path)
    callbacks = [Epochs(writer, "even", [0, 2]), Epochs(writer, "all", range(5))]
    fit(*callbacks[::order])
    assert read_events(tmp_path) == {
        "even": {0: 1, 2: 3, 4: 5},
        "all": {0: 1, 1: 2, 2: 3, 3: 4, 4: 5},
    }
    assert len(files(tmp_path)) == 1


def test_a_second_training_goes_on_in_a_file_of_its_own(tmp_path):
    callback = Epochs(tmp_path, "all", range(5))
    fit(callback, epochs=1)
    fit(callback, Epochs(tmp_path / "other", "all", range(5)), epochs=1)
    assert len(files(tmp_path)) == 3


def test_every_watcher_of_a_training_can_share_the_files_of_the_scalars(tmp_path, train, examples):
    scalars = Scalars(tmp_path)
    heatmaps = AttentionHeatmaps(scalars.train, ["i love"], epochs=[])
    samples = SamplePredictions(scalars.train, [("i love", None)])
    train(scalars, heatmaps, samples, validation_data=examples)
    events = read_events(tmp_path / "train")
    assert list(events["epoch_loss"]) == list(events["samples"]) == [0, 1, 2]
    assert list(events["attention/i love/layer_1"]) == [0, 2]
    assert {name: len(files(tmp_path / name)) for name in ("train", "validation")} == {
        "train": 1,
        "validation": 1,
    }


def test_a_folder_in_which_nothing_is_written_is_not_made(tmp_path):
    fit(Scalars(tmp_path))
    assert files(tmp_path) == ["train"]


def test_rewinding_takes_back_what_all_have_written_since(tmp_path):
    writer = EventWriter(tmp_path)
    writer.open(MINE)
    writer.open(YOURS)
    write(writer, "mine", 0, 1)
    position = writer.position()
    write(writer, "mine", 2)
    write(writer, "yours", 2)
    for _ in range(2):  # each of them does
        writer.rewind(position)
    write(writer, "yours", 3)
    writer.close(MINE)
    writer.close(YOURS)
    assert read_events(tmp_path) == {"mine": {0: 0, 1: 1}, "yours": {3: 3}}


def test_rewinding_to_the_beginning_leaves_nothing(tmp_path):
    writer = EventWriter(tmp_path)
    beginning = writer.position()
    write(writer, "mine", 0)
    writer.rewind(beginning)
    assert files(tmp_path) == []


def test_the_position_of_another_folder_changes_nothing(tmp_path):
    mine, yours = EventWriter(tmp_path / "mine"), EventWriter(tmp_path / "yours")
    write(mine, "mine", 0)
    write(yours, "yours", 0)
    mine.rewind(yours.position())
    assert read_events(tmp_path / "mine") == {"mine": {0: 0}}
