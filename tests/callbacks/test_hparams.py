"""The record of a trial, as TensorBoard's HParams plugin reads it."""

import pytest
from tensorboard.plugins.hparams import metadata

from callbacks import write_hparams
from tests.callbacks.conftest import load_events, read_events

HPARAMS = {"layers": 2, "dropout": 0.0, "learning_rate": 0.001, "corpus": "toy", "causal": False}


def test_the_trial_and_its_hyper_parameters_can_be_read_back(tmp_path):
    write_hparams(tmp_path, HPARAMS, {"loss": 0.25})
    content = load_events(tmp_path).SummaryMetadata(metadata.SESSION_START_INFO_TAG)
    start = metadata.parse_session_start_info_plugin_data(content.plugin_data.content)
    read = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert read == HPARAMS
    assert type(read["causal"]) is bool
    assert start.group_name


def test_final_figures_are_scalars(tmp_path):
    write_hparams(tmp_path, HPARAMS, {"loss": 0.25, "accuracy": 0.875})
    events = read_events(tmp_path)
    assert events["final/loss"] == {0: 0.25}
    assert events["final/accuracy"] == {0: 0.875}


def test_trials_in_different_folders_are_different(tmp_path):
    groups = set()
    for name in ("one", "two"):
        write_hparams(tmp_path / name, HPARAMS, {"loss": 0.25})
        content = load_events(tmp_path / name).SummaryMetadata(metadata.SESSION_START_INFO_TAG)
        start = metadata.parse_session_start_info_plugin_data(content.plugin_data.content)
        groups.add(start.group_name)
    assert len(groups) == 2


def test_a_list_is_no_hyper_parameter(tmp_path):
    with pytest.raises(TypeError, match="unsupported type"):
        write_hparams(tmp_path, {"probe": ["i love"]}, {"loss": 0.25})
