"""`train.py --model decoder`, each time in a process of its own."""

import math

import pytest

import cli
import evaluation
from tests.conftest import run_script

LINE = "one two three four five six seven\n"


@pytest.mark.parametrize(
    ("tokenizer", "prompt", "answer", "characters_a_token"),
    [("word", "three four", "five", len(LINE) / 7), ("char", "three fo", "u", 1)],
)
def test_it_learns_a_text_from_left_to_right(
    tmp_path, tokenizer, prompt, answer, characters_a_token
):
    text = tmp_path / "text.txt"
    text.write_text(40 * LINE)
    result = run_script(
        *("train.py", "--model", "decoder", "--corpus", text, "--tokenizer", tokenizer),
        *("--logs", tmp_path, "--run-name", "run", "--context-length", 8, "--epochs", 60),
        *("--position", "rotary", "--learning-rate", "0.01", "--dropout", "0", "--jit", "off"),
    )
    assert result.returncode == 0, result.stderr
    path = str(tmp_path / "run" / "best.keras")
    model = cli.load_model(path)
    assert model.is_causal
    assert model.predict_next(prompt, k=1)[0][0] == answer

    score = evaluation.score_model(path, model)
    assert score.loss < 0.7
    assert score.text == f"the last 10% of {text}"
    assert score.bits_per_character == pytest.approx(
        score.loss / math.log(2) / characters_a_token, rel=0.05
    )
    row = next(line for line in result.stdout.splitlines() if line.startswith("best.keras"))
    assert float(row.split()[1]) == pytest.approx(score.loss, abs=1e-3)


def test_a_context_longer_than_the_text_is_refused(tmp_path):
    arguments = ["--model", "decoder", "--context-length", "100"]
    result = run_script("train.py", *arguments, "--logs", tmp_path)
    assert result.returncode == 2
    assert result.stderr == (
        "train.py: error: argument --context-length: toy has 22 words to train on; expected fewer "
        "than that, got 100\n"
    )
    assert not list(tmp_path.iterdir())
