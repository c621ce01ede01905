"""The figures that a run ends with."""

import json

import keras
import pytest

from data.corpora import load_corpus
from experiments import flags, preparation, reports, training


@pytest.mark.parametrize(
    "arguments",
    [
        ["--learning-rate=3"],  # the last epoch is not the best
        pytest.param(["--average=0.5"], marks=pytest.mark.slow),
        pytest.param(["--validation-split=0.3"], marks=pytest.mark.slow),
    ],
    ids=["", "averaged", "validated"],
)
def test_what_training_evaluated_is_right_and_not_evaluated_again(tmp_path, monkeypatch, arguments):
    settings, _ = flags.parse_settings([*arguments, "--epochs=3", f"--logs={tmp_path}"])
    corpus = load_corpus(settings.corpus)
    data = preparation.prepare_data(settings, corpus)
    model = training.build_model(settings, corpus, data)
    folder = training.open_folder(settings, corpus, data, model, "run")
    outcome = training.fit(settings, data, model, folder)
    assert outcome.best_figures["loss"] == min(outcome.course["evaluations"]["losses"])
    examples = data.evaluation.evaluation_batches(settings.batch_size)
    expected = {
        name: keras.saving.load_model(folder / name).evaluate(examples, verbose=0, return_dict=True)
        for name in ("best.keras", "last.keras")
    }
    unknown = outcome._replace(best_figures=None, last_figures=None)
    of_unknown = reports.write_results(settings, data, model, folder, unknown)
    monkeypatch.setattr(model, "evaluate", None)
    figures = reports.write_results(settings, data, model, folder, outcome)
    assert json.loads((folder / "results.json").read_text()) == figures
    for name in expected:
        assert figures[name] == pytest.approx(expected[name], rel=1e-6)
        assert of_unknown[name] == pytest.approx(expected[name], rel=1e-6)
