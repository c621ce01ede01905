"""The scripts with a masked model: training to the floor, asking, scoring."""

import json

import pytest

import evaluate
import generate
from data.tokenizer import MASK
from experiments import cli
from experiments.cli import UsageError
from tests.conftest import PROJECT, run_script


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run on the toy corpus."""
    return train(tmp_path_factory.mktemp("masked") / "run", "--epochs", "10")


def train(run, *arguments):
    flags = ["--model", "masked", "--logs", run.parent, "--run-name", run.name]
    result = run_script("train.py", *flags, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert "best possible         0.0000    100.0%" in result.stdout
    assert f"i {MASK} models" in result.stdout
    return run


@pytest.mark.slow
def test_the_toy_is_learned_to_the_best_possible(tmp_path):
    run = train(tmp_path / "run", "--epochs", "1200")
    results = json.loads((run / "results.json").read_text())
    assert results["best possible"]["loss"] == 0
    assert results["best.keras"]["loss"] < 0.02
    assert results["best.keras"]["accuracy"] == 1
    ((token, probability),) = cli.load_model(str(run / "best.keras")).fill(f"i {MASK} models", 1)[0]
    assert token == "love"
    assert probability > 0.9


def test_a_text_with_gaps_gets_a_line_for_each(run, tmp_path, capsys):
    output = tmp_path / "filled.txt"
    texts = [f"i {MASK} deep learning", f"{MASK} learn {MASK}"]
    path = str(run / "best.keras")
    assert generate.main([path, *texts, "--num-samples", "2", "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert printed == output.read_text()
    model = cli.load_model(path)
    expected = []
    for text in texts:
        expected.append(text)
        for likeliest in model.fill(text, 2):
            expected.append("  " + ", ".join(f"{token} {p:.1%}" for token, p in likeliest))
    assert printed.splitlines() == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["i love"], r"argument PROMPT: The text must hold a gap, \[MASK\]"),
        ([f"i {MASK} zebras"], "argument PROMPT: The text must hold only words"),
        ([f"i {MASK}", "--beams", "3"], "argument --beams: expected a model that continues texts"),
        (
            [f"i {MASK}", "--greedy"],
            "argument --greedy: expected a model that continues texts, but",
        ),
        ([f"i {MASK}", "--top-k", "3"], "argument --top-k: expected a model that continues texts,"),
    ],
)
def test_what_a_masked_model_can_not_do_is_refused(run, arguments, message):
    with pytest.raises(UsageError, match=message):
        generate.main([str(run / "best.keras"), *arguments])


def test_a_gap_asked_of_a_model_that_has_none_is_refused():
    path = str(PROJECT / "tests" / "files" / "decoder_bpe.keras")
    with pytest.raises(UsageError, match=r"argument PROMPT: expected no \[MASK\], for the vocab"):
        generate.main([path, f"i {MASK} you"])


def test_it_is_scored_with_a_fixed_masking_and_checked(run, tmp_path, capsys):
    found = tmp_path / "scores.json"
    path = str(run / "best.keras")
    assert evaluate.main([path, "--json", str(found), "--worst", "2", "--calibration"]) == 0
    (row,) = json.loads(found.read_text())["models"]
    results = json.loads((run / "results.json").read_text())
    assert row["loss"] == pytest.approx(results["best.keras"]["loss"], rel=1e-4)
    assert row["text"] == "all of toy"
    with pytest.raises(UsageError, match="argument --by: expected no masked model: it"):
        evaluate.main([path, "--by", "position"])
    with pytest.raises(UsageError, match="argument --beams: expected a model that writes targets"):
        evaluate.main([path, "--beams", "2"])
    capsys.readouterr()
    picture = tmp_path / "attention.png"
    evaluate.main([path, "--attention", f"i {MASK} deep", "--output", str(picture)])
    assert picture.stat().st_size > 1000
