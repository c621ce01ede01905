"""Flags, defaults and their errors."""

import dataclasses
import re

import pytest

from data.tokenizer import BPETokenizer
from experiments.cli import UsageError
from experiments.flags import (
    FILE_DEFAULTS,
    LONG_DEFAULTS,
    make_parser,
    parse_settings,
    resume_settings,
)
from experiments.settings import FIELDS, SMALLEST_BPE_VOCABULARY, Settings

GIVEN = Settings(
    model="decoder",
    num_layers=3,
    num_heads=4,
    d_model=32,
    dff=5,
    dropout=0.25,
    position="rotary",
    rotary_wavelength=50.0,
    rotary_fraction=0.5,
    norm="rms",
    norm_placement="pre",
    qk_norm=True,
    softmax_plus_one=True,
    num_kv_heads=2,
    attention_dropout=0.1,
    activation="swiglu",
    convolution="both",
    tie_embeddings=True,
    use_bias=False,
    output_scale=0.5,
    corpus="some/text.txt",
    tokenizer="char",
    context_length=7,
    train_length=3,
    vocabulary_size=99,
    fill_vocabulary=True,
    validation_split=0.5,
    optimizer="muon",
    learning_rate=0.02,
    warmup_steps=9,
    decay="cosine",
    beta_2=0.98,
    epsilon=1e-9,
    weight_decay=0.3,
    label_smoothing=0.2,
    clip_norm=2.0,
    average=0.9,
    epochs=11,
    steps=90,
    eval_every=30,
    patience=8,
    batch_size=6,
    accumulate=3,
    seed=12,
    jit="off",
    precision="mixed_bfloat16",
    probe=["i love", "deep_learning --is"],
    attention_every=13,
    batch_scalars_every=14,
    logs="other_logs",
    threads=2,
)
# Those that do not go with the ones above; and what a setting needs beside it.
NOT_BESIDE = {"validation": "other.txt", "source_tokenizer": "char", "share_vocabulary": True}
PAIRS = {"model": "encoder-decoder", "corpus": "some/pairs.tsv"}
NEEDED = {
    "patience": {"validation_split": 0.5},
    "source_tokenizer": PAIRS,
    "share_vocabulary": PAIRS,
}
NAMES = [field.name for field in dataclasses.fields(Settings)]
COUNTS = [
    *("layers", "num-layers", "heads", "num-heads", "d-model", "epochs", "batch-size"),
    *("attention-every", "batch-scalars-every", "num-kv-heads", "kv-heads", "steps", "eval-every"),
    *("patience", "accumulate", "context-length"),
]
BAD_VALUES = [
    (COUNTS, ["0", "-1", "1.5", "nan", "abc", ""], "a whole number of at least 1"),
    (["dff"], ["-1", "1.5", "nan", "abc", ""], "a whole number of at least 0"),
    (["vocabulary-size", "train-length"], ["1", "0", "-1", "2.5", "inf", "abc", ""],
     "a whole number of at least 2"),
    (["seed"], ["-1", "2147483648", "1.5", "nan", "abc", ""],
     "a whole number of at least 0 and below 2147483648"),
    (["dropout", "attention-dropout", "validation-split", "average", "label-smoothing", "beta-2"],
     ["-0.1", "1", "1.5", "nan", "inf", "abc", ""],
     "a number of at least 0 and below 1"),
    (["learning-rate", "lr", "output-scale", "weight-decay", "clip-norm"],
     ["-1", "-1e-3", "nan", "inf", "-inf", "abc", ""],
     "a number of at least 0"),
    (["epsilon"], ["0", "-1e-9", "nan", "inf", "abc", ""], "a number above 0"),
    (["resume"], ["", ".", "..", "a/b", "/a", "a/"], "the name of a run"),
    (["rotary-wavelength"], ["1", "0", "-3", "nan", "inf", "abc", ""], "a number above 1"),
    (["run-name"], ["", ".", "..", "a/b", "/a", "a/"], "the name of a folder"),
]  # fmt: skip


def flag_of(name, value):
    """A setting as it is given on the command line."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]


def example(name):
    return NOT_BESIDE.get(name, getattr(GIVEN, name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("separator", ["_", "-"])
def test_every_flag_sets_the_setting_of_its_name(name, separator):
    given = {**dataclasses.asdict(Settings()), **NEEDED.get(name, {}), name: example(name)}
    if name == "steps":  # is instead of epochs
        given.pop("epochs")
    argv = [
        argument
        for key, value in given.items()
        if value is not None
        for argument in flag_of(key.replace("_", separator), value)
    ]
    settings, _ = parse_settings(argv)
    assert settings == Settings(**given)


def test_the_example_settings_differ_from_the_defaults():
    same = [name for name in NAMES if example(name) == getattr(Settings(), name)]
    assert same == []


@pytest.mark.parametrize(
    ("flag", "name", "value"),
    [
        *(
            ("--layers", "num_layers", 3),
            ("--heads", "num_heads", 4),
            ("--no-bias", "use_bias", False),
        ),
        *(("--kv_heads", "num_kv_heads", 1), ("--lr", "learning_rate", 0.5)),
    ],
)
def test_common_names_of_a_flag_work_too(flag, name, value):
    settings, _ = parse_settings([flag] if value is False else [flag, str(value)])
    assert getattr(settings, name) == value


def test_a_value_may_follow_an_equals_sign_and_keeps_its_underscores():
    settings, _ = parse_settings(["--d_model=8", "--corpus=my_text.txt", "--logs=--my_logs"])
    assert (settings.d_model, settings.corpus, settings.logs) == (8, "my_text.txt", "--my_logs")


def test_without_flags_the_toy_is_trained_by_its_defaults():
    settings, flags = parse_settings([])
    assert settings == Settings() == parse_settings(["--corpus", "toy"])[0]
    assert settings.corpus == "toy"
    assert (flags.run_name, flags.dry_run) == (None, None)


@pytest.mark.parametrize("corpus", [[], ["--corpus", "text.txt"]])
def test_characters_have_a_longer_context(corpus):
    settings, _ = parse_settings(["--tokenizer", "char", *corpus])
    assert settings.context_length == LONG_DEFAULTS["context_length"] == 64
    settings, _ = parse_settings(["--tokenizer", "char", "--context-length", "9", *corpus])
    assert settings.context_length == 9


def test_the_made_text_of_long_lines_has_a_longer_context():
    assert parse_settings(["--corpus", "induction"])[0].context_length == 64
    assert parse_settings(["--corpus", "sort"])[0].context_length == 16
    settings, _ = parse_settings(["--corpus", "induction", "--context-length", "9"])
    assert settings.context_length == 9


def test_byte_pairs_have_a_longer_context_but_for_the_toy():
    assert parse_settings(["--tokenizer", "bpe"])[0].context_length == Settings().context_length
    settings, _ = parse_settings(["--tokenizer", "bpe", "--corpus", "text.txt"])
    assert settings.context_length == 64


def test_all_bytes_must_fit_in_the_vocabulary():
    assert BPETokenizer([]).vocabulary_size == SMALLEST_BPE_VOCABULARY == 258
    assert parse_settings(["--tokenizer=bpe", "--vocabulary-size=258"])[0].vocabulary_size == 258
    assert parse_settings(["--tokenizer=word", "--vocabulary-size=2"])[0].vocabulary_size == 2
    with pytest.raises(
        UsageError, match=r"^argument --vocabulary-size: expected .* 258 .*got 257$"
    ):
        parse_settings(["--tokenizer=bpe", "--vocabulary-size=257"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--heads 4 --kv-heads 3", "--num-kv-heads: expected a divisor of --num-heads 4, got 3"),
        (
            "--position rotary --d-model 6",
            "--d-model: expected an even multiple of --num-heads 2 with --position rotary, got 6",
        ),
        ("--context-length 1", "--context-length: expected a whole number of at least 2, got 1"),
        ("--norm batch", "argument --norm: invalid choice: 'batch'"),
        ("--qk-norm yes", "unrecognized arguments: yes"),
        ("--steps 9 --epochs 2", "argument --steps: expected --steps or --epochs, got both"),
    ],
)
def test_variants_that_do_not_fit_are_refused(argv, message):
    with pytest.raises(UsageError, match=message):
        parse_settings(argv.split())


@pytest.mark.parametrize("corpus", ["text.txt", "folder", "https://host/text"])
def test_any_other_corpus_has_defaults_of_its_own(corpus):
    settings, _ = parse_settings(["--corpus", corpus])
    assert settings == Settings(corpus=corpus, **FILE_DEFAULTS)
    assert all(value != getattr(Settings(), name) for name, value in FILE_DEFAULTS.items())


def test_what_is_no_setting_is_handed_on():
    _, flags = parse_settings(["--run-name", "mine", "--dry-run"])
    assert (flags.run_name, flags.dry_run) == ("mine", True)


def test_help_tells_every_default():
    sections = dict(
        re.findall(r"^  --([a-z-]+)[, ]((?:.|\n)*?)(?=\n\n|\n  -|\Z)", make_parser().format_help(),
                   flags=re.MULTILINE)
    )  # fmt: skip
    for name, default in dataclasses.asdict(Settings()).items():
        if default is None:
            continue
        if isinstance(default, bool):
            told = "yes" if default else "no"
        else:
            told = default if isinstance(default, str) else f"{default:g}"
        if name in FILE_DEFAULTS:
            told += f"; {FILE_DEFAULTS[name]:g}"
        assert sections[name.replace("_", "-")].rstrip().endswith(f"({told})")


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        (flag, value, expected)
        for flags, values, expected in BAD_VALUES
        for flag in flags
        for value in values
    ],
)
def test_a_value_out_of_range_is_named_with_its_flag_and_what_was_expected(flag, value, expected):
    with pytest.raises(
        UsageError,
        match=rf"^argument (\S+/)?--{flag}(/\S+)?: expected {expected}, "
        rf"got ({re.escape(value)}|{re.escape(repr(value))})$",
    ):
        parse_settings([f"--{flag}={value}"])


@pytest.mark.parametrize(
    ("flag", "value"), [("model", "gpt"), ("model", ""), ("jit", "yes"), ("jit", "Auto")]
)
def test_a_choice_is_named_with_its_flag_and_all_choices(flag, value):
    choices = ", ".join(map(repr, FIELDS[flag].metadata["allowed"]))
    with pytest.raises(
        UsageError,
        match=rf"^argument --{flag}: invalid choice: '{value}' \(choose from {choices}\)$",
    ):
        parse_settings([f"--{flag}={value}"])


@pytest.mark.parametrize("flag", ["corpus", "logs"])
def test_an_empty_path_is_not_the_present_folder(flag):
    with pytest.raises(UsageError, match=f"^argument --{flag}: expected .*, got ''$"):
        parse_settings([f"--{flag}", ""])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--layers"], "argument --num-layers/--layers: expected one argument"),
        (["--probe"], "argument --probe: expected at least one argument"),
        (["--layer", "2"], "unrecognized arguments: --layer 2"),
        (["stray"], "unrecognized arguments: stray"),
        (["--dry-run=yes"], "argument --dry-run: ignored explicit argument 'yes'"),
        (
            ["--d-model", "6", "--heads", "4"],
            "argument --num-heads: expected a divisor of --d-model 6, got 4",
        ),
    ],
)
def test_other_mistakes_on_the_command_line_are_usage_errors(argv, message):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        parse_settings(argv)


def test_patience_needs_a_validation_part():
    with pytest.raises(
        UsageError,
        match=r"^argument --validation-split: expected .* above 0 with --patience, got 0$",
    ):
        parse_settings(["--patience", "3"])


def test_a_fall_from_the_end_of_the_warm_up_needs_one():
    with pytest.raises(
        UsageError,
        match=r"^argument --warmup-steps: expected a whole number of at least 1 "
        r"with --decay inverse_sqrt, got 0$",
    ):
        parse_settings(["--decay", "inverse_sqrt"])
    parse_settings(["--decay", "inverse_sqrt", "--warmup-steps", "1"])


def test_a_run_that_goes_on_has_its_own_settings():
    saved = Settings(num_layers=3, epochs=5, corpus="a.txt", logs="old")
    argv = ["--layers", "3", "--corpus", "moved/a.txt", "--logs", "new", "--epochs", "9"]
    assert resume_settings([], saved) == saved
    assert resume_settings(argv, saved) == dataclasses.replace(saved, epochs=9)
    saved = dataclasses.replace(saved, steps=100)
    assert resume_settings(["--steps", "120"], saved).steps == 120


@pytest.mark.parametrize(
    ("saved", "argv", "message"),
    [
        (Settings(), ["--layers", "3"], "--num-layers: expected 2, as the run has it, got 3"),
        (Settings(), ["--qk-norm"], "--qk-norm: expected False, as the run has it, got True"),
        (Settings(), ["--steps", "9"], "--steps: expected none, as the run has it, got 9"),
        (Settings(), ["--epochs", "9"], "--epochs: expected 1000 or more, got 9"),
        (Settings(steps=9), ["--steps", "8"], "--steps: expected 9 or more, got 8"),
        (
            Settings(),
            ["--preset", "gpt2-classic-char"],
            "--model: expected encoder, as the run has it, got decoder",
        ),
    ],
)
def test_a_run_that_goes_on_takes_no_other_settings(saved, argv, message):
    with pytest.raises(UsageError, match=f"^argument {message}$"):
        resume_settings(argv, saved)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--model encoder --corpus a.tsv", "--corpus: expected no pairs with --model encoder, got"),
        ("--model masked --corpus dates", "--corpus: expected no pairs with --model masked, got d"),
        ("--model encoder-decoder --corpus toy", r"--corpus: expected pairs \(reverse, dates or a"),
        ("--corpus a.tsv --validation b.txt", r"--validation: expected pairs \(reverse, dates or"),
        ("--corpus a.txt --validation b.tsv", "--validation: expected no pairs with --model enco"),
        ("--share-vocabulary", "--share-vocabulary: expected given with --model encoder-decoder"),
        ("--source-tokenizer char", "--source-tokenizer: expected given with --model encoder-dec"),
        (
            "--corpus reverse --share-vocabulary --source-tokenizer word",
            "--source-tokenizer: expected the same as --tokenizer with --share-vocabulary, got",
        ),
        ("--corpus reverse --train-length 9", "--train-length: expected left out with pairs, got"),
        (
            "--corpus a.txt --validation b.txt --validation-split 0.2",
            "--validation-split: expected 0 with --validation, got 0.2",
        ),
        ("--decay inverse_sqrt", "--warmup-steps: expected a whole number of at least 1 with --de"),
    ],
)
def test_what_does_not_go_together_is_refused(argv, message):
    with pytest.raises(UsageError, match=f"argument {message}"):
        parse_settings(argv.split())


def test_pairs_mean_an_encoder_decoder_and_that_means_pairs():
    assert parse_settings(["--corpus", "a.tsv"])[0].model == "encoder-decoder"
    settings, _ = parse_settings(["--model", "encoder-decoder"])
    assert (settings.corpus, settings.tokenizer) == ("reverse", "char")
    assert parse_settings(["--corpus", "a.tsv"])[0].tokenizer == "bpe"
