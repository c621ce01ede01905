"""The record of a trial, as TensorBoard's HParams plugin reads it."""

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import GetExperimentRequest
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.get_experiment import Handler

from callbacks import write_hparams
from tests.callbacks.conftest import load_events, read_events

HPARAMS = {"layers": 2, "dropout": 0.0, "learning_rate": 0.001, "corpus": "toy", "causal": False}


def test_the_trial_and_its_hyper_parameters_can_be_read_back(tmp_path):
    write_hparams(tmp_path, HPARAMS, {"loss": 0.25})
    content = load_events(tmp_path).SummaryMetadata(metadata.SESSION_START_INFO_TAG)
    start = metadata.parse_session_start_info_plugin_data(content.plugin_data.content)
    read = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert read == {"Loss": 0.25, **HPARAMS}
    assert type(read["causal"]) is bool
    assert start.group_name


def test_the_figures_lead_the_table_and_then_comes_what_differs(tmp_path):
    for run, loss in (("one", 0.25), ("two", 0.5)):
        hparams = {**HPARAMS, "layers": loss}
        write_hparams(tmp_path / run, hparams, {"loss": loss, "accuracy": 1 - loss})
    data_provider = MultiplexerDataProvider(
        EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload(), str(tmp_path)
    )
    context = Context(TBContext(data_provider=data_provider))
    columns = Handler(RequestContext(), context, "", GetExperimentRequest()).run()
    names = [info.name for info in columns.hparam_infos]
    assert names[:3] == ["Accuracy", "Loss", "layers"]


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
