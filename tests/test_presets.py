"""Complete settings by name."""

import json

import pytest

from data.corpora import load_corpus
from experiments import preparation, training
from experiments.cli import UsageError
from experiments.flags import parse_settings
from experiments.presets import PRESETS
from experiments.settings import Settings
from tests.conftest import run_script


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_what_it_says_and_nothing_else(name):
    settings, _ = parse_settings(["--preset", name])
    of_preset = PRESETS[name].settings
    if of_preset.get("model") == "encoder-decoder":  # only goes with pairs
        of_preset = {"corpus": "reverse", "validation_split": 0.1, "epochs": 10, **of_preset}
    assert settings == Settings(**of_preset)


def test_flags_and_config_override_a_preset(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"heads": 8, "layers": 3}))
    argv = ["--preset", "shakespeare-char-cpu", "--config", str(config), "--heads", "2"]
    settings, _ = parse_settings(argv)
    assert (settings.num_heads, settings.num_layers, settings.d_model) == (2, 3, 128)


@pytest.mark.parametrize(
    ("flags", "steps", "warmup"),
    [
        ("", 2000, 100),
        ("--steps 200", 200, 10),
        ("--steps 4000", 4000, 100),
        ("--steps 200 --warmup-steps 50", 200, 50),
        ("--warmup-steps 7", 2000, 7),
    ],
)
def test_fewer_steps_shorten_the_warm_up(flags, steps, warmup):
    settings, _ = parse_settings(["--preset", "shakespeare-char-cpu", *flags.split()])
    assert (settings.steps, settings.warmup_steps) == (steps, warmup)


def test_epochs_take_the_place_of_a_presets_steps():
    settings, _ = parse_settings(["--preset", "gpt2-classic-char", "--epochs", "2"])
    assert (settings.steps, settings.epochs) == (None, 2)


def test_an_unknown_preset_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match=r"argument --preset: .*'gpt3'.*'gpt2-classic-char'"):
        parse_settings(["--preset", "gpt3"])


def test_the_list_names_every_preset_and_trains_nothing(tmp_path):
    result = run_script("train.py", "--list-presets", "--logs", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for name, preset in PRESETS.items():
        assert f"{name}: {preset.summary}" in result.stdout
        assert preset.expected in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert not list(tmp_path.iterdir())


def test_the_characters_presets_make_models_of_the_size_that_they_say(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(map(chr, range(32, 97))) * 30)  # 65 characters, as Shakespeare's
    corpus = load_corpus(str(text))
    for name in (name for name in PRESETS if "-char" in name):
        settings, _ = parse_settings(["--preset", name, "--corpus", str(text)])
        data = preparation.prepare_data(settings, corpus)
        model = training.build_model(settings, corpus, data)
        least, most = (10_500_000, 10_700_000) if name.endswith("gpu") else (790_000, 820_000)
        assert least < model.count_params() < most


@pytest.mark.slow
def test_transformer_base_is_the_papers_base_model_whatever_the_text(tmp_path):
    """37,000 x 512 shared by sources, targets and logits; six layers of each kind."""
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("guten tag\tgood day\nauf wiedersehen\tgood bye\n")
    result = run_script(
        *("train.py", "--preset", "transformer-base", "--corpus", pairs, "--validation-split", 0),
        *("--dry-run", "--logs", tmp_path),
    )
    assert (result.returncode, result.stderr) == (0, "")
    attention, feed_forward, norm = 4 * (512 * 512 + 512), 2 * 512 * 2048 + 2048 + 512, 2 * 512
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    assert 37_000 * 512 + 6 * (encoder_layer + decoder_layer) == 63_082_496
    assert "6 layers, 8 heads, d_model 512, 63,082,496 parameters" in result.stdout


def test_the_g2p_preset_makes_a_model_of_the_size_that_it_says(tmp_path):
    pairs = tmp_path / "pairs.tsv"
    letters, phones = map(chr, range(97, 124)), [f"P{number}" for number in range(39)]
    pairs.write_text("".join(f"{a}\t{' '.join(phones)}\n" for a in letters))
    # 39 phones are more tokens than the preset's words have.
    argv = ["--preset", "g2p", "--corpus", str(pairs), "--context-length", "64"]
    settings, _ = parse_settings([*argv, "--validation-split", "0", "--warmup-steps", "1"])
    corpus = load_corpus(str(pairs))
    data = preparation.prepare_data(settings, corpus)
    model = training.build_model(settings, corpus, data)
    assert model.count_params() == 1_400_000
