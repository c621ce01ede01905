"""`generate.py` on what writes targets: sources in, targets out."""

import subprocess
import sys

import keras
import pytest

import generate
from data.tokenizer import CharTokenizer
from experiments.cli import UsageError
from models import EncoderDecoderModel
from tests.conftest import PROJECT


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    letters = CharTokenizer("abcd").with_extra_tokens("[BEGIN]", "[END]")
    return EncoderDecoderModel(letters, context_length=6, d_model=8, output_scale=4.0)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "best.keras"
    model.save(path)
    return str(path)


@pytest.fixture
def loaded(model, monkeypatch):
    """What is loaded is the model itself, with all that was compiled for it."""
    monkeypatch.setattr(generate.cli, "load_model", lambda path: model)


def run_with_input(text, *arguments):
    return subprocess.run(
        [sys.executable, "generate.py", *arguments],
        cwd=PROJECT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_sources_come_in_lines_and_targets_go_out_in_lines(model, path, tmp_path):
    output = tmp_path / "targets.txt"
    result = run_with_input("abc\n\ndd\n", path, "--output", str(output))
    assert result.returncode == 0
    first, second = model.translate(["abc", "dd"], beams=5)
    assert result.stdout == output.read_text() == f"{first}\n\n{second}\n"


@pytest.mark.usefixtures("loaded")
def test_the_best_targets_of_a_source_come_with_their_scores(model, path, capsys):
    flags = ["--beams", "4", "--num-samples", "3", "--length-penalty", "0.2"]
    assert generate.main([path, "abc", *flags]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    (found,) = model.beam_search(["abc"], 4, 0.2, num_best=3)
    assert len(found) == 3
    assert lines == [["abc", f"{score:.4f}", text] for text, score, _ in found]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* came to no end")  # of an untrained model
def test_greedy_is_one_beam(model, path, capsys):
    assert generate.main([path, "abcd", "b", "--greedy"]) == 0
    assert capsys.readouterr().out.splitlines() == model.translate(["abcd", "b"], beams=1)


@pytest.mark.usefixtures("loaded")
def test_targets_that_come_to_no_end_are_said(model, path):
    found = model.beam_search(sources := ["a", "bcd", "db"], beams=1, max_new_tokens=2)
    endless = [s for s, (best,) in zip(sources, found, strict=True) if not best.is_finished]
    assert endless
    message = rf"{len(endless)} of 3 targets .*\(see --max-new-tokens\).* that of '{endless[0]}'"
    with pytest.warns(UserWarning, match=message):
        generate.main([path, *sources, "--greedy", "--max-new-tokens", "2"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["abx"], r"argument PROMPT: The source must hold only characters .*'x' in 'abx'"),
        (["abcdab"], "argument PROMPT: The source must hold at most 5 characters. Received: 6"),
        (["a", "--temperature", "1"], "argument --temperature: expected a model that continues"),
        (["a", "--seed", "1"], "argument --seed: expected a model that continues texts, but "),
        (["a", "--num-samples", "6"], "argument --num-samples: expected at most --beams 5, got 6"),
        (["a", "--greedy", "--beams", "2"], "argument --greedy: expected no --beams beside it"),
    ],
)
def test_what_can_not_be_done_is_refused(path, arguments, message, capsys):
    with pytest.raises(UsageError, match=message):
        generate.main([path, *arguments])
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_source_that_can_not_be_read_is_named_by_its_line_and_nothing_is_written(path, tmp_path):
    output = tmp_path / "targets.txt"
    result = run_with_input("ab\n\nax\n", path, "--output", str(output))
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("generate.py: error: standard input: line 3: The source must hold only")
    assert not output.exists()
