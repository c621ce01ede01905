"""`train.py --model decoder`: what it learns of several kinds of text."""

import math

import pytest

import evaluate
from experiments import cli, evaluation
from tests.callbacks.conftest import read_events
from tests.conftest import run_script

LINE = "one two three four five six seven\n"


@pytest.fixture
def trained(train_here, capsys):
    """What a training prints that ends well."""

    def train(*arguments):
        assert train_here(list(map(str, arguments))) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return train


@pytest.mark.parametrize(
    ("tokenizer", "prompt", "answer", "characters_a_token"),
    [
        ("word", "three four", "five", len(LINE) / 7),
        ("char", "three fo", "u", 1),
    ],
)
@pytest.mark.slow
def test_it_learns_a_text_from_left_to_right(
    trained, tmp_path, tokenizer, prompt, answer, characters_a_token
):
    text = tmp_path / "text.txt"
    text.write_text(40 * LINE)
    printed = trained(
        *("--model", "decoder", "--corpus", text, "--tokenizer", tokenizer),
        *("--logs", tmp_path, "--run-name", "run", "--context-length", 8, "--epochs", 20),
        *("--position", "rotary", "--learning-rate", "0.03", "--dropout", "0", "--jit", "off"),
    )
    path = str(tmp_path / "run" / "best.keras")
    model = cli.load_model(path)
    assert model.objective == "windows"
    assert model.predict_next(prompt, k=1)[0][0] == answer

    texts = read_events(tmp_path / "run" / "train")["continuations"]
    assert {0, 19} <= set(texts)
    assert texts[0] != texts[19]
    assert "three four five six seven" in texts[19]

    score = evaluation.evaluate_model(path, model).score
    assert score.loss < 0.7
    assert score.text == f"the last 10% of {text}"
    assert score.bits_per_character == pytest.approx(
        score.loss / math.log(2) / characters_a_token, rel=0.05
    )
    assert score.unknown == 0
    row = next(line for line in printed.splitlines() if line.startswith("best.keras"))
    assert float(row.split()[1]) == pytest.approx(score.loss, abs=1e-3)


@pytest.mark.slow
def test_words_of_one_long_line_are_learned_and_scored_on_its_end(trained, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(40 * LINE.replace("\n", " ") + 8 * "seven two ")
    printed = trained(
        *("--model", "decoder", "--corpus", text, "--validation-split", 0.05),
        *("--logs", tmp_path, "--run-name", "run", "--context-length", 8, "--epochs", 1),
    )
    assert "281 tokens to train on, 13 to validate on" in printed
    path = str(tmp_path / "run" / "best.keras")
    score = evaluation.evaluate_model(path, cli.load_model(path)).score
    assert score.text == f"the last 5% of {text}"
    row = next(line for line in printed.splitlines() if line.startswith("best.keras"))
    assert float(row.split()[1]) == pytest.approx(score.loss, abs=1e-3)


@pytest.mark.slow
def test_byte_pairs_of_any_script_are_learned_drawn_and_scored(trained, tmp_path):
    text = tmp_path / "text.txt"
    line = "日本語の文 naïve 👩‍👧\n"
    text.write_text(line * 200)
    printed = trained(
        *("--model", "decoder", "--corpus", text, "--tokenizer", "bpe"),
        *("--vocabulary-size", 262, "--context-length", 16, "--epochs", 1, "--jit", "off"),
        *("--logs", tmp_path, "--run-name", "run"),
    )
    assert "260 tokens known" in printed
    assert "�" not in printed
    best = tmp_path / "run" / "best.keras"
    model = cli.load_model(str(best))
    token_ids = model.tokenizer.encode(line)
    assert max(token_ids) < 262
    score = evaluation.evaluate_model(str(best), model).score
    assert score.bits_per_character == pytest.approx(
        score.loss / math.log(2) * len(token_ids) / len(line), rel=0.05
    )
    assert score.unknown == 0
    picture = ("--attention", "日本 naïve", "--output", tmp_path / "attention.png")
    assert evaluate.main([str(best), *map(str, picture)]) == 0
    assert (tmp_path / "attention.png").stat().st_size > 1000


@pytest.mark.slow
def test_it_trains_for_steps_with_warm_up_and_decay(trained, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(40 * LINE)
    printed = trained(
        *("--model", "decoder", "--corpus", text, "--tokenizer", "char"),
        *("--logs", tmp_path, "--run-name", "run", "--steps", 50, "--eval-every", 20),
        *("--warmup-steps", 10, "--decay", "cosine", "--learning-rate", 0.01, "--jit", "off"),
        *("--optimizer", "muon", "--weight-decay", 0.1, "--clip-norm", 1),
        *("--precision", "mixed_bfloat16"),
    )
    events = read_events(tmp_path / "run" / "train")
    rates = {step: float(rate) for step, rate in events["epoch_learning_rate"].items()}
    halfway = 0.001 + 0.009 * (1 + math.cos(math.pi * 10 / 40)) / 2  # 10 of 40 steps down
    assert rates == pytest.approx(
        {0: halfway, 1: 0.001 + 0.009 * (1 + math.cos(math.pi * 30 / 40)) / 2, 2: 0.001}, rel=1e-3
    )
    assert "\nthe validation loss was still falling: more --steps may lower it\n" in printed
    model = cli.load_model(str(tmp_path / "run" / "last.keras"))
    assert int(model.optimizer.iterations) == 50
    assert model.dtype_policy.name == "mixed_bfloat16"
    assert model.generate("one", 5, jit_compile=False)[0].startswith("one")


@pytest.mark.slow
def test_a_made_text_is_learned_line_by_line_and_scored(tmp_path):
    arguments = (
        *("train.py", "--model", "decoder", "--corpus", "sort", "--dff", 0, "--jit", "off"),
        *("--logs", tmp_path, "--train-length", 12, "--position", "learned", "--dropout", 0),
    )
    result = run_script(*arguments, "--run-name", "run", "--steps", 20)
    assert (result.returncode, result.stderr) == (0, "")
    assert "sort: 4 words known, 3,936 tokens to train on, 438 to validate on" in result.stdout
    path = str(tmp_path / "run" / "best.keras")
    model = cli.load_model(path)
    score = evaluation.evaluate_model(path, model).score
    assert score.text == "the last 10% of sort"
    assert score.loss < 1.5
    row = next(line for line in result.stdout.splitlines() if line.startswith("best.keras"))
    assert float(row.split()[1]) == pytest.approx(score.loss, abs=1e-3)
    (text,) = model.generate("0 1 2 0 1 2 =", max_new_tokens=6, jit_compile=False)
    assert len(text.split()) == 13

    result = run_script("train.py", "--logs", tmp_path, "--resume", "run", "--steps", 25)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(cli.load_model(str(tmp_path / "run" / "last.keras")).optimizer.iterations) == 25
