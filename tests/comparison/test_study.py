import argparse
import json

import pytest

from experiments.cli import UsageError
from experiments.comparison.study import Study, open_study
from experiments.comparison.varying import read_seeds, read_vary
from experiments.flags import parse_settings
from experiments.settings import Settings

POSITIONS = {"position": ["sinusoidal", "rotary"]}


def test_each_trial_is_what_train_would_train():
    study = Study("logs/s", ["--epochs", "9"], {**POSITIONS, "qk_norm": ["no", "yes"]}, seeds=[4])
    settings = [parse_settings(trial.arguments)[0] for trial in study.trials()]
    common = {"epochs": 9, "seed": 4, "logs": "logs/s"}
    assert settings == [
        Settings(position=position, qk_norm=norm, **common)
        for position in ("sinusoidal", "rotary")
        for norm in (False, True)
    ]


def test_the_grid_is_trained_seed_by_seed():
    study = Study("logs/s", [], {**POSITIONS, "num_heads": ["1", "2"]}, seeds=[3, 4])
    names = [trial.folder.name for trial in study.trials()]
    assert names[:4] == [
        f"position={position},num_heads={heads},seed=3"
        for position in ("sinusoidal", "rotary")
        for heads in (1, 2)
    ]
    assert len(set(names)) == 8


def test_one_at_a_time_starts_from_the_base_and_leaves_its_own_value_out():
    vary = {**POSITIONS, "num_heads": ["1", "2", "4"]}
    study = Study("logs/s", [], vary, seeds=[0], one_at_a_time=True)
    assert list(study.variants) == ["base", "position=rotary", "num_heads=1", "num_heads=4"]


def test_presets_vary_and_given_flags_win_over_them():
    vary = {"preset": ["gpt2-classic-char", "shakespeare-char-cpu"]}
    study = Study("logs/s", ["--corpus", "a.txt", "--steps", "50"], vary, seeds=[0])
    classic, best = (variant.settings for variant in study.variants.values())
    assert (classic.optimizer, best.optimizer) == ("adamw", "muon")
    assert classic.steps == best.steps == 50


@pytest.mark.parametrize(
    ("base", "vary", "message"),
    [
        ((), {"num_heads": ["1", "0"]}, r"--num-heads.*expected a whole number .*, got 0"),
        ((), {"num_heads": ["1", "01"]}, r"--vary: num_heads: expected 1 once, got it twice"),
        ((), {"num_heads": ["2", "3"]}, r"expected a divisor .*got 3 \(of the variant num_heads=3"),
        ((), {"position": ["up"]}, r"--position: invalid choice: 'up'"),
        ((), {"qk_norm": ["maybe"]}, r"--vary: qk_norm: expected yes or no, got 'maybe'"),
        ((), {"preset": ["x"]}, r"--preset: invalid choice: 'x'"),
        (("--position", "alibi"), POSITIONS, r"--position: expected none beside --vary position"),
        (("--steps", "3"), {"epochs": ["1", "2"]}, r"expected --steps or --epochs, got both"),
        (("--seed", "3"), POSITIONS, r"--seed: expected --seeds in a study, got --seed 3"),
        (("--resume", "auto"), POSITIONS, r"--resume: expected none beside a study"),
        (("--nonsense",), POSITIONS, r"unrecognized arguments: --nonsense"),
        (
            ("--preset", "toy"),
            {"preset": ["toy", "gpt2-classic-char"]},
            r"--preset: expected none beside --vary preset, got toy",
        ),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(base, vary, message):
    with pytest.raises(UsageError, match=message):
        Study("logs/s", base, vary, seeds=[0])


def test_flags_that_cancel_what_varies_are_refused(tmp_path):
    preset = {"preset": ["gpt2-classic-char", "shakespeare-char-cpu"]}
    config = tmp_path / "config.json"
    values = parse_settings(["--preset", "gpt2-classic-char"])[0]
    config.write_text(json.dumps({name: getattr(values, name) for name in vars(values)}))
    with pytest.raises(UsageError, match=r"expected variants that differ, but .*classic.* and "):
        Study("logs/s", ["--config", str(config), "--clip-norm", "1"], preset, seeds=[0])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["positon=a"], r"expected a setting, got 'positon'; did you mean position\?"),
        (["position"], r"expected position=VALUE,VALUE,\.\.\., got 'position'"),
        (["position=a,,b"], r"a value is missing"),
        (["heads=1", "num-heads=2"], r"expected each setting once, got num_heads twice"),
        (["seed=1,2"], r"got seed \(see --seeds\)"),
    ],
)
def test_vary_says_what_is_wrong(texts, message):
    with pytest.raises(UsageError, match=message):
        read_vary(texts)


@pytest.mark.parametrize("text", ["0", "3-1", "-1", "a", "1,2", ""])
def test_wrong_seeds_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number of seeds such as 3"):
        read_seeds(text)


def test_an_unknown_reference_is_refused():
    with pytest.raises(UsageError, match="--reference: expected one of position=sinusoidal, "):
        Study("logs/s", [], POSITIONS, seeds=[0], reference="rotary")


def begun(tmp_path, base=("--epochs", "9"), vary=POSITIONS, seeds=(0, 1), **others):
    study = open_study(tmp_path / "s", base, vary, seeds, **others)
    study.folder.mkdir(exist_ok=True)
    study.threads = 1
    study.save()
    return study


def test_a_study_goes_on_with_more_seeds_and_values(tmp_path):
    begun(tmp_path)
    study = begun(tmp_path, vary={"position": ["none", "rotary"]}, seeds=(5,))
    assert list(study.variants) == ["position=sinusoidal", "position=rotary", "position=none"]
    assert study.seeds == (0, 1, 5)
    assert study.threads == 1
    assert study.reference == "position=sinusoidal"


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"base": ["--epochs", "8"]}, "another study: epochs is 9 there, and 8 here"),
        ({"vary": {"num_heads": ["1"]}}, "another study: what varies there is position"),
        ({"one_at_a_time": True}, "another study: what varies there is position"),
    ],
)
def test_a_folder_with_another_study_is_left_alone(tmp_path, others, message):
    begun(tmp_path)
    before = (tmp_path / "s" / "study.json").read_bytes()
    with pytest.raises(UsageError, match=message):
        begun(tmp_path, **others)
    assert (tmp_path / "s" / "study.json").read_bytes() == before


def test_the_text_must_stay_the_same(tmp_path):
    study = begun(tmp_path)
    study.keep_texts({"a.txt": "1"})
    study.save()
    study = begun(tmp_path)
    study.keep_texts({"elsewhere/a.txt": "1"})  # the same text, moved
    with pytest.raises(UsageError, match=r"--corpus: a\.txt is not the text that .* was begun on"):
        study.keep_texts({"a.txt": "2"})


def test_each_text_must_stay_the_same_where_texts_vary(tmp_path):
    study = Study(tmp_path, [], {"corpus": ["a.txt", "b.txt"]}, seeds=[0])
    study.keep_texts({"a.txt": "1", "b.txt": "2"})
    with pytest.raises(UsageError, match=r"b\.txt is not the text"):
        study.keep_texts({"a.txt": "1", "b.txt": "1"})


def test_texts_whose_folders_would_be_one_are_refused(tmp_path):
    with pytest.raises(UsageError, match="expected values whose folders differ, got corpus=a/b"):
        Study(tmp_path, [], {"corpus": ["a/b", "a:b"]}, seeds=[0])


def test_another_number_of_threads_is_refused(tmp_path):
    begun(tmp_path)
    assert begun(tmp_path, base=["--epochs", "9", "--threads", "1"]).threads == 1
    with pytest.raises(UsageError, match="--threads: expected 1, as the study has it, got 2"):
        begun(tmp_path, base=["--epochs", "9", "--threads", "2"])


def test_no_digit_of_a_value_is_lost():
    study = Study("logs/s", [], {"learning_rate": ["0.0012345678", "1e-3"]}, seeds=[0])
    rates = [variant.settings.learning_rate for variant in study.variants.values()]
    assert rates == [0.0012345678, 0.001]
    assert list(study.variants) == ["learning_rate=0.0012345678", "learning_rate=0.001"]


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "file").touch()
    with pytest.raises(UsageError, match=r"expected a new name, but .* is no study"):
        begun(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"vary": 3}'])
def test_a_damaged_study_is_said_to_be_one(tmp_path, content):
    begun(tmp_path)
    (tmp_path / "s" / "study.json").write_text(content)
    with pytest.raises(UsageError, match="expected a study, found a damaged"):
        begun(tmp_path)
