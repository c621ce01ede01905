import math
import re

import matplotlib.image
import pytest

import compare
from experiments.comparison import baselines, findings, page, pictures, report
from experiments.comparison.results import SHOWN, notes, read_results
from experiments.comparison.study import Study
from experiments.comparison.varying import read_seeds
from tests.comparison.made_up import finish, made_up_study

LOSSES = {
    "sinusoidal": {0: 1.58, 1: 1.56, 2: 1.57},
    "rotary": {0: 1.51, 1: 1.50, 2: 1.49},
    "alibi": {0: 1.57, 1: 1.56, 2: 1.58},
    "none": {0: 1.70, 1: 1.68, 2: 1.69},
}


@pytest.fixture
def results(tmp_path):
    return read_results(made_up_study(tmp_path / "s", LOSSES))


def cells(results):
    """By variant, its cells by the column's name."""
    return {
        name: dict(zip(findings.COLUMNS, row, strict=True))
        for name, row in findings.cells(results).items()
    }


def test_rows_are_sorted_and_say_all_that_was_found(results):
    assert list(cells(results)) == [
        f"position={p}" for p in ("rotary", "sinusoidal", "alibi", "none")
    ]
    assert cells(results)["position=rotary"] == {
        "variant": "position=rotary",
        "loss": "1.5000",
        "sd": "0.0100",
        "difference": "-0.0700",
        "95 % interval": cells(results)["position=rotary"]["95 % interval"],
        "verdict": "better",
        "loss of each seed": "1.5100, 1.5000, 1.4900",
        "perplexity": "4.482",
        "accuracy": "50.0%",
        "bits/char": "",
        "parameters": "1,000",
        "steps": "40",
        "tokens": "640",
        "tokens/s": "78",
        "to the reference's loss": "8 s",
        "file": "2.5",
    }
    assert re.fullmatch(
        r"-0\.\d{4} to -0\.0\d{3}", cells(results)["position=rotary"]["95 % interval"]
    )
    verdicts = {name: row["verdict"] for name, row in cells(results).items()}
    assert verdicts["position=none"] == "worse"
    assert verdicts["position=alibi"] == "can't tell"
    assert cells(results)["position=sinusoidal"]["difference"] == "reference"


def test_what_never_reaches_the_loss_of_the_reference_says_never(results):
    assert cells(results)["position=none"]["to the reference's loss"] == "never"


def test_with_one_seed_there_is_no_verdict(tmp_path):
    one = {position: {0: losses[0]} for position, losses in LOSSES.items()}
    results = read_results(made_up_study(tmp_path / "s", one))
    verdicts = {row["verdict"] for row in cells(results).values()}
    assert verdicts == {"", "can't tell"}
    assert "With one seed there is no verdict" in " ".join(findings.sentences(results))


def test_unequal_budgets_are_never_silent(tmp_path):
    study = made_up_study(tmp_path / "s", {"sinusoidal": {0: 1.5}, "none": {}})
    for trial in study.trials()[1:]:
        finish(trial, 1.4, steps=80, parameters=2000)
    said = notes(read_results(study))
    assert "The budgets are not equal: parameters range from 1,000 to 2,000." in said
    assert "The budgets are not equal: steps range from 40 to 80." in said
    assert "The budgets are not equal: tokens learned from range from 640 to 1,280." in said


def test_a_longer_context_is_said_to_lower_the_loss_by_itself(tmp_path):
    flags = ("--model", "decoder", "--steps", "40")
    study = Study(tmp_path / "s", flags, {"context_length": ["64", "256"]}, [0])
    for trial in study.trials():
        finish(trial, 1.4)
    (said,) = notes(read_results(study))
    assert said.startswith("The contexts differ.")
    assert "evaluate.py --by position" in said


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("tokenizer", ["char", "word"]),
        ("vocabulary_size", ["9", "12"]),
        ("model", ["encoder", "decoder"]),
        ("corpus", ["toy", "sort"]),
        ("validation_split", ["0.2", "0.3"]),
    ],
)
def test_losses_of_other_tokens_have_no_verdict(setting, values, tmp_path):
    study = Study(tmp_path / "s", ("--steps", "40"), {setting: values}, [0, 1, 2])
    for trial in study.trials():
        finish(trial, (1.4 if trial.variant == f"{setting}={values[1]}" else 2.4) + trial.seed / 99)
    results = read_results(study)
    other = cells(results)[f"{setting}={values[1]}"]
    assert other["verdict"] == "other tokens"
    assert not other["difference"] + other["95 % interval"] + other["to the reference's loss"]
    said = notes(results)[0]
    others = f"than those of {setting}={values[0]} are predicted by {setting}={values[1]}: "
    assert said.startswith(f"Other tokens {others}")
    assert "Better" not in " ".join(findings.sentences(results))


@pytest.mark.parametrize(("counts", "verdict"), [([9, 9], "better"), ([9, 8], "other tokens")])
def test_contexts_that_cut_no_line_are_compared(counts, verdict, tmp_path):
    study = Study(tmp_path / "s", ("--steps", "40"), {"context_length": ["5", "9"]}, [0, 1, 2])
    for trial in study.trials():
        finish(trial, (1.4 if trial.variant == "context_length=9" else 2.4) + trial.seed / 99)
    known = {"characters": 9, "uniform": 4.0, "n-grams": [3, 3, 3]}
    study.baselines = {
        key: {**known, "tokens": count}
        for key, count in zip(baselines.missing(study), counts, strict=True)
    }
    assert cells(read_results(study))["context_length=9"]["verdict"] == verdict


def test_equal_budgets_need_no_word(results):
    assert notes(results) == []


def test_what_is_missing_and_what_failed_is_said(tmp_path):
    losses = {"sinusoidal": {0: 1.5, 1: None}, "none": {0: "out of memory", 1: 1.4}}
    results = read_results(made_up_study(tmp_path / "s", losses))
    assert notes(results) == [
        "position=none, seed 0: out of memory",
        "position=sinusoidal: not trained yet with seed 1.",
    ]


def test_a_variant_that_failed_has_a_row(tmp_path, capsys):
    losses = {"sinusoidal": {0: 1.5, 1: 1.5}, "none": dict.fromkeys((0, 1), "out of memory")}
    results = read_results(made_up_study(tmp_path / "s", losses))
    assert cells(results)["position=none"]["verdict"] == "failed"
    report.print_summary(results)
    assert re.search(r"^position=none +failed$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(("positions", "tests"), [(2, "a t test"), (3, "two tests agree")])
def test_the_method_says_which_tests_there_are(positions, tests, tmp_path):
    losses = dict(list(LOSSES.items())[:positions])
    said = " ".join(findings.method(read_results(made_up_study(tmp_path / "s", losses))))
    assert tests in said


def test_what_failed_is_not_said_to_predict_other_tokens(tmp_path):
    flags = ("--steps", "40", "--context-length", "9")
    study = Study(tmp_path / "s", flags, {"tokenizer": ["word", "char"]}, [0])
    word, char = study.trials()
    finish(word, 1.5)
    study.failures[char.folder.name] = "out of memory"
    assert notes(read_results(study)) == ["tokenizer=char, seed 0: out of memory"]


def test_a_study_without_its_reference_says_so(tmp_path):
    results = read_results(made_up_study(tmp_path / "s", {"sinusoidal": {0: None}, "none": {0: 1}}))
    assert findings.sentences(results) == [
        "No trial of the reference, position=sinusoidal, has ended yet."
    ]


def test_a_model_that_a_trigram_beats_is_marked(tmp_path):
    study = made_up_study(tmp_path / "s", LOSSES)
    known = {"tokens": 100, "characters": 200, "uniform": 4.0, "n-grams": [3, 2, 1.6, 1.5]}
    study.baselines = dict.fromkeys(baselines.missing(study), known)
    results = read_results(study)
    marked = [row["variant"] for row in cells(results).values() if "*" in row["variant"]]
    assert marked == ["position=none *"]
    assert "* A trigram model" in " ".join(findings.sentences(results))
    bits = cells(results)["position=rotary"]["bits/char"]
    assert bits == f"{1.5 / 0.693147 / 2:.3f}"  # two characters a token
    assert findings.baselines(results)[0] == ("4-gram", 1.5)


def test_names_of_lines_that_lie_close_stand_side_by_side(tmp_path):
    study = made_up_study(tmp_path / "s", LOSSES)
    known = {"tokens": 1, "characters": 1, "uniform": 4.0, "n-grams": [3, 1.8, 1.61, 1.6, 1.6]}
    study.baselines = dict.fromkeys(baselines.missing(study), known)
    assert pictures.baseline_lines(read_results(study)) == [
        ("", 1.6),
        ("", 1.6),
        ("4-gram, 5-gram, 3-gram", 1.61),
        ("2-gram", 1.8),
    ]


def test_the_command_makes_the_study_again(results):
    assert findings.command(results) == (
        "python compare.py --steps 40 --vary position=sinusoidal,rotary,alibi,none --seeds 3 "
        "--study s"
    )


def test_the_command_has_all_seeds_and_the_reference(tmp_path):
    vary = {"position": ["none", "rotary"]}
    study = Study(tmp_path / "s", (), vary, [10, 11, 0, 1], reference="position=rotary")
    command = findings.command(read_results(study))
    assert "--seeds 0-1,10-11 --reference position=rotary" in command
    assert sorted(study.seeds) == list(read_seeds("0-1,10-11"))


def test_all_variants_that_are_shown_have_marks_of_their_own(tmp_path):
    heads = [str(number) for number in range(1, SHOWN + 2)]
    flags = ("--d-model", str(math.lcm(*range(1, SHOWN + 2))))
    study = Study(tmp_path / "s", flags, {"num_heads": heads}, [0])
    for trial in study.trials():
        finish(trial, 1.6 if trial.variant == study.reference else 1.5)
    styles = pictures.styles(read_results(study)).values()
    assert len({style["marker"] for style in styles}) == SHOWN + 1  # also without colour
    assert len({page._MARKERS[style["marker"]] for style in styles}) == SHOWN + 1


def test_pictures_are_drawn_and_differ(results, tmp_path):
    names = pictures.write(results, tmp_path)
    images = {name: matplotlib.image.imread(tmp_path / name) for name in names}
    assert list(images) == ["differences.png", "loss.png", "cost.png"]
    for image in images.values():
        assert image.shape[1] > 800
        assert 0.02 < (image[..., :3] < 0.9).any(-1).mean() < 0.5  # drawn, and not full


def test_the_page_needs_no_network(results, tmp_path):
    page.write(results, tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="http', text)
    assert text.count("plotly.js v") == 1  # the library once, not once a picture
    assert text.count("Plotly.newPlot") >= 4
    assert 'class="better">better' in text


def test_names_are_no_markup(tmp_path):
    study = made_up_study(tmp_path / "<b>s", LOSSES)
    page.write(read_results(study), tmp_path)
    assert "<h1>&lt;b&gt;s</h1>" in (tmp_path / "report.html").read_text()


def test_a_folder_that_can_not_be_written_is_said_in_a_line(tmp_path, capsys):
    losses = {position: LOSSES[position] for position in ("sinusoidal", "none")}
    study = made_up_study(tmp_path / "s", losses)
    study.threads = 1
    known = {"tokens": 1, "characters": 1, "uniform": 1.0, "n-grams": [1.0] * 6}
    study.baselines = dict.fromkeys(baselines.missing(study), known)
    study.save()
    (tmp_path / "s" / "report.md").mkdir()
    flags = ["--steps", "40", "--vary", "position=sinusoidal,none", "--logs", str(tmp_path)]
    assert compare.main([*flags, "--study", "s"]) == 1
    assert capsys.readouterr().err == (
        f"compare.py: error: {tmp_path / 's'}: can't be written (Is a directory); the same command "
        "goes on when it can\n"
    )
