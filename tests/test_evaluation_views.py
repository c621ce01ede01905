"""What `evaluate.py` tells beside the scores, on made-up predictions that can be counted."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import evaluate
from data.prefixes import Prefixes
from data.tokenizer import CharTokenizer, WordTokenizer
from data.windows import Windows
from experiments import cli, pictures, score_table
from experiments.calibration import calibration, draw_calibration, print_calibration
from experiments.differences import TextDifference, difference
from experiments.evaluation import Evaluation, Score
from experiments.loss_by_position import (
    draw_by_position,
    in_ranges,
    loss_by_position,
    print_by_position,
)
from experiments.token_losses import Predictions
from experiments.worst_predictions import print_worst, worst_predictions
from models import DecoderLanguageModel

TOKENIZER = CharTokenizer(["a", "b", "c", "[", "\n"])


def make_result(losses, *, name="a", token_ids=None, context=4, tokenizer=TOKENIZER, **arrays):
    """The evaluation of a model that never was, on windows of random text."""
    count = len(losses)
    if token_ids is None:
        token_ids = np.random.default_rng(0).integers(2, 5, count + 1)
    found = {
        "losses": np.array(losses, "float32"),
        "positions": np.arange(count, dtype="int32") % context,
        "ranks": np.ones(count, "int32"),
        "likeliest": np.full(count, 2, "int32"),
        "confidences": np.full(count, 0.5, "float32"),
        **arrays,
    }
    score = {**dict.fromkeys(Score._fields, 1.0), "name": name, "text": "text", "unknown": 0.0}
    score["loss"] = float(np.mean(losses))
    return Evaluation(
        Score(**score),
        Predictions(**found, seconds=1.0),
        Windows(token_ids, context),
        tokenizer,
    )


@pytest.fixture
def noise():
    return np.random.default_rng(1).normal(2.0, 1.0, 60_000)


def test_a_difference_is_found_where_it_is_and_not_where_it_is_not(noise):
    random = np.random.default_rng(2)
    first = make_result(noise)
    equal = difference(make_result(noise + random.normal(0, 0.1, len(noise))), first)
    worse = difference(make_result(noise + random.normal(0.01, 0.1, len(noise)), context=8), first)
    assert equal.low < 0 < equal.high
    assert 0 < worse.low < worse.mean < worse.high
    assert worse.mean == pytest.approx(0.01, abs=0.002)
    # Far narrower than the tokens' own spread: the text is the same.
    assert worse.high - worse.low < 0.005
    assert difference(first, first) == TextDifference(0, 0, 0)


def test_other_tokens_are_not_compared():
    first = make_result([1.0, 2, 3])
    others = WordTokenizer(["a", "b", "c"])
    assert difference(make_result([1.0, 2, 3], tokenizer=others), first) == "its tokens are others"
    for token_ids in ([2, 3, 4, 2, 3], [4, 4, 4, 4]):
        shifted = make_result(np.ones(len(token_ids) - 1), token_ids=token_ids)
        assert difference(shifted, first) == "it predicts other tokens of the text"
        of_another = shifted._replace(score=shifted.score._replace(text="another"))
        assert difference(of_another, first) == "it predicts other tokens, of another text"
    wrong = make_result([1.0, np.nan, 3])
    assert difference(wrong, first) == "there are losses that are no numbers"


def test_the_table_is_sorted_and_marks_the_first_model(noise, tmp_path, capsys):
    worse, first, better, other = (
        make_result(noise + shift, name=name)
        for shift, name in (
            (0.5, "worse"),
            (0, "rotary-seed-0"),
            (-0.5, "better"),
            (9, "x"),
        )
    )
    other = other._replace(tokenizer=WordTokenizer(["a"]))
    rows = score_table.make_rows([first, other, worse, better])
    score_table.print_rows(rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["better", first.score.name, "worse", "x"]
    assert lines[1].endswith(" -0.5000 -0.5000 to -0.5000")
    assert lines[2].split()[-1] == "(first)"
    assert lines[3].endswith(" +0.5000 +0.5000 to +0.5000")
    assert lines[7:] == [
        f"difference: loss less that of {first.score.name} on the same tokens; bootstrap over "
        "blocks of the text",
        f"x can't be compared with {first.score.name}: its tokens are others",
    ]
    assert max(map(len, lines)) <= 100

    score_table.write_json(rows, tmp_path / "a.json", {"top": lambda result: result.score.top1})
    models = json.loads((tmp_path / "a.json").read_text())["models"]
    assert models[0]["difference"] == pytest.approx({"mean": -0.5, "low": -0.5, "high": -0.5})
    assert [model["difference"] for model in models[1::2]] == [None, "its tokens are others"]
    assert [model["top"] for model in models] == 4 * [1.0]
    score_table.write_markdown(rows, tmp_path / "a.md")
    assert "| +0.5000 | +0.5000 to +0.5000 |" in (tmp_path / "a.md").read_text()


def test_without_anything_to_compare_the_table_stays_whole(capsys):
    results = [make_result([1.0, 2.0]), make_result([3.0], name="b")]
    score_table.print_rows(score_table.make_rows(results))
    lines = capsys.readouterr().out.splitlines()
    assert "file" in lines[0]
    assert "perplexity" in lines[0]
    assert "difference" not in lines[0]
    assert lines[-1] == "b can't be compared with a: it predicts other tokens of the text"


def test_losses_are_means_by_place():
    result = make_result([4.0, 3, 2, 1, 6, 5], context=4)
    assert loss_by_position(result) == [
        {"context": 1, "tokens": 2, "loss": 5.0},
        {"context": 2, "tokens": 2, "loss": 4.0},
        {"context": 3, "tokens": 1, "loss": 2.0},
        {"context": 4, "tokens": 1, "loss": 1.0},
    ]
    ranges = in_ranges(loss_by_position(result), longest=6)
    assert ranges[2] == {"first": 3, "last": 4, "tokens": 2, "loss": 1.5}
    assert ranges[3:] == [None]


@pytest.mark.parametrize("longest", [1, 2, 100, 1024, 4096, 100_000])
def test_ranges_cover_every_place_once_and_fit_on_a_line(longest, capsys):
    positions = np.arange(longest, dtype="int32")
    result = make_result(np.ones(longest), context=longest, positions=positions)
    ranges = in_ranges(loss_by_position(result), longest)
    assert [r["first"] for r in ranges] == [1, *(r["last"] + 1 for r in ranges[:-1])]
    assert ranges[-1]["last"] == sum(r["tokens"] for r in ranges) == longest
    print_by_position([result])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_places_of_several_models_stand_in_one_table(capsys):
    results = [make_result(np.ones(40), context=c, name=f"c{c}") for c in (4, 16)]
    print_by_position(results)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert lines == [
        ["tokens", "read", "1", "2", "3-4", "5-8", "9-16"],
        ["c4", *3 * ["1.000"]],
        ["of", "predicted", "tokens", "10", "10", "20"],
        ["c16", *5 * ["1.000"]],
        ["of", "predicted", "tokens", "3", "3", "6", "12", "16"],
    ]


def test_calibration_is_counted_by_hand(capsys):
    confidences = np.array([0.05, 0.55, 0.55, 0.55, 0.55, 1.0], "float32")
    ranks = np.array([3, 0, 0, 0, 7, 0], "int32")
    result = make_result(np.ones(6), confidences=confidences, ranks=ranks)
    error, bins = calibration(result)
    # |0 - 0.05| / 6 + 4 |0.75 - 0.55| / 6 + |1 - 1| / 6
    assert error == pytest.approx((0.05 + 4 * 0.2) / 6)
    assert [row["tokens"] for row in bins] == [1, 0, 0, 0, 0, 4, 0, 0, 0, 1]
    assert bins[1] == {
        **{"first": 0.1, "last": 0.2, "tokens": 0, "confidence": None, "accuracy": None}
    }
    print_calibration([result])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[0] == "calibration of a: an expected calibration error of 14.17%"
    assert lines[3].split() == ["50%", "to", "60%", "4", "55.0%", "75.0%", "+20.0%"]
    assert len(lines) == 5


def test_predictions_of_the_model_itself_are_calibrated():
    random = np.random.default_rng(3)
    confidences = random.uniform(size=100_000).astype("float32")
    ranks = (random.uniform(size=100_000) >= confidences).astype("int32")
    result = make_result(np.ones(100_000), confidences=confidences, ranks=ranks)
    assert calibration(result).error < 0.01
    assert (
        calibration(result._replace(predictions=result.predictions._replace(ranks=1 - ranks)))[0]
        > 0.4
    )


def test_the_worst_predictions_stand_in_their_surroundings(capsys):
    token_ids = [2, 3, 4, 5, 6, 2, 3]  # "abc[", a line end, "ab"
    losses = [1.0, 9.0, 2.0, np.nan, 0.5, 9.0]
    likeliest = np.array([2, 6, 3, 2, 2, 2], "int32")
    result = make_result(losses, token_ids=token_ids, likeliest=likeliest)
    nan, first, second = worst_predictions(result, 3)
    assert (nan.number, first.number, second.number) == (3, 1, 5)
    assert (first.before, first.token, first.after) == ("ab", "c", "[\nab")
    assert (first.expected, first.expected_probability) == ("\n", 0.5)
    assert first.probability == pytest.approx(np.exp(-9))
    assert (second.before, second.token, second.after) == ("\na", "b", "")
    assert len(worst_predictions(result, 100)) == 6
    print_worst([result], 3)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[0] == "worst predictions of a: 3 of 6 tokens, each between » and «"
    assert lines[2].split() == ["abc[»↵«ab", "a", "50.0%", "nan", "nan"]
    assert lines[3].split() == ["ab»c«[↵ab", "↵", "50.0%", "9.00", "1.2e-04"]


def test_words_stand_in_their_surroundings_with_the_spaces_between(capsys):
    words = [f"w{n}" * 9 for n in range(30)]
    tokenizer = WordTokenizer(words)
    prefixes = Prefixes([list(range(2, 32)), [5, 6]], context_length=20)
    losses = np.arange(prefixes.count, dtype="float32")
    result = make_result(losses, tokenizer=tokenizer)._replace(examples=prefixes)
    last, before = worst_predictions(result, 2)
    assert (last.before, last.token, last.after) == (words[3], words[4], "")
    assert (before.before, before.token) == (" ".join(words[20:29]), words[29])
    (third,) = worst_predictions(result, 3)[2:]
    assert third.after == words[29]
    print_worst([result], 3)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert f"{words[3]} »w4w4w4w4w4w4w…« " in lines[3]


@pytest.mark.parametrize("draw", [draw_by_position, draw_calibration])
def test_pictures_are_legible_without_colour(draw, tmp_path):
    results = [make_result(np.ones(64), context=16, name=f"model {n}") for n in range(9)]
    figure = draw(results)
    lines = [line for line in figure.axes[0].get_lines() if line.get_marker() != "None"]
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 9
    assert all(axes.get_ylabel() for axes in figure.axes)
    assert figure.axes[-1].get_xlabel()
    assert figure.axes[0].get_title()
    pictures.save(figure, str(tmp_path / "a.png"))
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    assert min(picture.shape) > 600
    assert len(np.unique(picture)) > 10
    with pytest.raises(cli.UsageError, match=r"--output: expected a file to write, got /dev/null/"):
        pictures.save(figure, "/dev/null/a.png")


def test_the_command_tells_all_that_is_asked_for_of_real_models(tmp_path, monkeypatch, capsys):
    text = tmp_path / "text.txt"
    text.write_text("abcab[ca\n" * 30)
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    for name, context in (("one", 4), ("two", 8)):
        Path(name).mkdir()
        DecoderLanguageModel(TOKENIZER, context_length=context).save(f"{name}/best.keras")
    arguments = ["one/best.keras", "two/best.keras", "--corpus", "text.txt", "--json", "a.json"]
    arguments += ["--by", "position", "--worst", "2", "--calibration"]
    assert evaluate.main(arguments) == 0
    output = capsys.readouterr().out
    titles = ("difference: loss less ", "loss by place", "calibration of ", "worst predictions")
    assert all(title in output for title in titles)
    assert max(map(len, output.splitlines())) <= 100
    for model in json.loads(Path("a.json").read_text())["models"]:
        places = model["by_position"]
        counts = [place["tokens"] for place in places]
        assert sum(counts) == sum(row["tokens"] for row in model["calibration"]["bins"]) == 269
        mean = np.average([place["loss"] for place in places], weights=counts)
        assert mean == pytest.approx(model["loss"], abs=1e-6)
        assert [row["loss"] > model["loss"] for row in model["worst"]] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "place"], "argument --by: invalid choice: 'place'"),
        (["--worst", "0"], "argument --worst: expected a whole number of at least 1, got 0"),
        (["--output", "a.png"], "--output: expected one of .* --calibration beside it, got none$"),
        (
            ["--by", "position", "--calibration", "--output", "a.png"],
            "--output: expected one of .* beside it, got --by and --calibration$",
        ),
        (["--calibration", "--output", "a.gif"], r"--output: expected a name that .*, got a\.gif$"),
        (["--check", "--worst", "3"], "argument --worst: expected no --check beside it$"),
        (["--check", "--batch-size", "3"], "argument --batch-size: expected no --check beside it$"),
        (["--attention", "a", "--output", "a.png", "--by", "position"], "--by: expected no --att"),
        (["--attention", "a"], "argument --attention: expected --output beside it, got none$"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(arguments, message):
    with pytest.raises(cli.UsageError, match=message):
        evaluate.main(["tests/files/encoder.keras", *arguments])
