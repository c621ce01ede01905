"""Settings as users give them: by flags, presets, config files, and defaults for what is left out.

Importing this module does not import Keras, so that `--help` and errors come at once.
"""

import argparse
import dataclasses
import json
import os
import re
from collections.abc import Sequence

from architecture import Architecture, SettingError, check_setting
from data.corpora import BUILT_IN, holds_pairs
from experiments.cli import ArgumentParser, UsageError, add_flag, flag_of, number, text
from experiments.presets import PRESETS
from experiments.settings import FIELDS, Settings

FILE_DEFAULTS = {
    name: field.metadata["file_default"]
    for name, field in FIELDS.items()
    if field.metadata["file_default"] is not None
}
LONG_DEFAULTS = {"context_length": 64}  # for characters, and for the lines of `induction`
# Of pairs, and of those that are built in.
PAIRS_DEFAULTS = {
    "model": "encoder-decoder",
    "tokenizer": "bpe",
    "context_length": 64,
    "d_model": 64,
    "num_heads": 4,
    "dff": 256,
    "epochs": 10,
    "decay": "cosine",
}
MASKED_DEFAULTS = {"tie_embeddings": True}
MASKED_TOY_DEFAULTS = {"epochs": 2000, "learning_rate": 5e-3, "decay": "linear", "dropout": 0.0}
BUILT_IN_PAIRS_DEFAULTS = {"tokenizer": "char", "context_length": 40}


def make_parser() -> ArgumentParser:
    """The parser of `train.py`'s flags; a flag that is not given becomes None."""
    parser = ArgumentParser(
        prog="train.py",
        description="Train a small Transformer on a text and watch it in TensorBoard.",
        epilog="Where two defaults are given, the first is for the built-in corpus 'toy' and the "
        "second for any other. With --tokenizer char, with bpe and another corpus than toy, or "
        "with --corpus induction, --context-length is 64. Pairs have defaults of their own: "
        "--model encoder-decoder (which alone means --corpus reverse), --tokenizer bpe (char for "
        "those that are built in), " + _flags_of(PAIRS_DEFAULTS) + ". --model masked has "
        "--tie-embeddings, and on the toy " + _flags_of(MASKED_TOY_DEFAULTS) + ". Flags may be "
        "written with - or _.",
    )
    titles = dict.fromkeys(field.metadata["group"] for field in FIELDS.values())
    groups = {title: parser.add_argument_group(title) for title in titles}
    # What an experiment adds to a group comes first, such as --model.
    for name in sorted(FIELDS, key=lambda name: name in Architecture.__dataclass_fields__):
        add_flag(groups[FIELDS[name].metadata["group"]], FIELDS[name])

    group = groups["run"]
    group.add_argument(
        "--run-name",
        type=text("the name of a folder", is_folder_name),
        metavar="NAME",
        help="this run's folder in --logs (from corpus and time)",
    )
    group.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        metavar="NAME",
        help="start from complete settings, see --list-presets; --config and flags given beside it "
        "win",
    )
    group.add_argument(
        "--list-presets", action="store_true", default=None, help="say what presets there are"
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        help="take settings from a run's config.json; flags given beside it win",
    )
    group.add_argument(
        "--resume",
        type=text("the name of a run", is_folder_name),
        metavar="NAME",
        help="go on with a run of --logs as if it had never stopped, or 'auto': with the latest; "
        "more --steps or --epochs make it longer",
    )
    group.add_argument(
        "--devices",
        type=number(int, least=1),
        metavar="N",
        help="train on so many devices, which share out each batch; on JAX alone "
        "(KERAS_BACKEND=jax). A run may go on with another number (1)",
    )
    group.add_argument(
        "--model-parallel",
        type=number(int, least=1),
        metavar="N",
        help="with --devices, how many of them share the weights of a model (1: each has all)",
    )
    group.add_argument(
        "--coordinator",
        type=text("HOST:PORT of process 0", is_address_of_port),
        metavar="HOST:PORT",
        help="train in several processes, on one machine or several, which meet there: the same "
        "command with another --process-id starts each. The first one alone writes",
    )
    group.add_argument(
        "--processes",
        type=number(int, least=2),
        metavar="N",
        help="with --coordinator, how many they are; --devices then counts those of all (one each)",
    )
    group.add_argument(
        "--process-id",
        type=number(int, least=0),
        metavar="N",
        help="with --coordinator, which of them this is, from 0",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        default=None,
        help="show what would be trained and what each device would need, and stop",
    )
    return parser


def parse_settings(argv: Sequence[str]) -> tuple[Settings, argparse.Namespace]:
    """Settings from defaults, `--preset`, `--config` and flags, each overriding the one before.

    With fewer `--steps` than a preset has, its warm-up is shorter in proportion.

    Returns:
        The settings, and all flags as given, for those that are no settings (`run_name`,
        `dry_run`, `list_presets`, `resume`, `devices`, `coordinator` and their like).

    Raises:
        UsageError: a flag or config key that is unknown or has a value out of its range.
    """
    given, flags = _given_settings(argv)
    _check_processes(flags)
    try:
        return Settings(**{**_defaults(given), **given}), flags
    except SettingError as error:
        wanted = re.sub("`([a-z_]+)`", lambda match: flag_of(match[1]), error.wanted)
        raise UsageError(
            f"argument {flag_of(error.name)}: expected {wanted}, got {error.value}"
        ) from error


def _check_processes(flags):
    """Raises a UsageError unless all flags of several processes are given, or none."""
    names = ("coordinator", "processes", "process_id")
    missing = [flag_of(name) for name in names if getattr(flags, name) is None]
    if 0 < len(missing) < len(names):
        raise UsageError(
            "expected --coordinator, --processes and --process-id together, got no "
            + " and no ".join(missing)
        )
    if not missing and flags.process_id >= flags.processes:
        raise UsageError(
            f"argument --process-id: expected less than --processes {flags.processes}, got "
            f"{flags.process_id}"
        )


def _defaults(given: dict) -> dict:
    """What the settings are by default that are not those for the toy."""
    corpus = given.get("corpus", "reverse" if given.get("model") == "encoder-decoder" else "toy")
    defaults = {"corpus": corpus} | ({} if corpus == "toy" else FILE_DEFAULTS)
    # With bpe the toy's words become one token each.
    is_long = given.get("tokenizer") == "char" or (
        given.get("tokenizer") == "bpe" and corpus != "toy"
    )
    if is_long or corpus == "induction":
        defaults |= LONG_DEFAULTS
    if holds_pairs(corpus):
        defaults |= PAIRS_DEFAULTS | (BUILT_IN_PAIRS_DEFAULTS if corpus in BUILT_IN else {})
    if given.get("model") == "masked":
        defaults |= MASKED_DEFAULTS | (MASKED_TOY_DEFAULTS if corpus == "toy" else {})
    if "validation" in given:
        defaults["validation_split"] = 0.0
    return defaults


def _flags_of(settings):
    """Some settings as flags, for a sentence."""
    shown = (name for name in settings if name not in ("model", "tokenizer"))
    return ", ".join(f"{flag_of(name)} {settings[name]}" for name in shown)


def resume_settings(argv: Sequence[str], saved: Settings) -> Settings:
    """The settings of a run that goes on: its own, but for a longer training.

    Args:
        argv: the flags given beside `--resume`. Those for `--corpus` and `--logs` are not looked
            at: text and folder may have moved.
        saved: the run's settings.

    Raises:
        UsageError: a setting that is not the run's own, or a shorter training.
    """
    given, _ = _given_settings(argv)
    longer = {}
    for name, value in given.items():
        own = getattr(saved, name)
        flag = flag_of(name)
        if value in (own, None) or name in ("corpus", "validation", "logs"):
            continue
        if name == ("epochs" if saved.steps is None else "steps"):
            if value < own:
                raise UsageError(f"argument {flag}: expected {own} or more, got {value}")
            longer[name] = value
        else:
            own = "none" if own is None else own
            raise UsageError(f"argument {flag}: expected {own}, as the run has it, got {value}")
    return dataclasses.replace(saved, **longer)


def _given_settings(argv: Sequence[str]) -> tuple[dict, argparse.Namespace]:
    """What flags, --config and --preset say, without defaults; and all flags as given."""
    flags = make_parser().parse_args(argv)
    given = {name: getattr(flags, name) for name in FIELDS if getattr(flags, name) is not None}
    if "steps" in given and "epochs" in given:
        raise UsageError("argument --steps: expected --steps or --epochs, got both")
    by_epochs = "epochs" in given
    if flags.config is not None:
        config = _read_config(flags.config)
        run_name = config.pop("run_name", None)
        flags.run_name = flags.run_name or run_name
        given = {**config, **given}
    if flags.preset is not None:
        preset = PRESETS[flags.preset].settings
        if given.get("steps", 0) and "warmup_steps" in preset:
            share = min(given["steps"] / preset["steps"], 1)
            given = {"warmup_steps": round(preset["warmup_steps"] * share), **given}
        given = {**preset, **given}
    if by_epochs:
        given["steps"] = None  # not those of a preset or config
    return given, flags


def is_address_of_port(address: str) -> bool:
    """Whether this is HOST:PORT."""
    host, _, port = address.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def is_folder_name(name: str) -> bool:
    is_one_name = os.path.basename(name) == name and name not in ("", ".", "..")
    return is_one_name and len(os.fsencode(name)) <= 255 and "\0" not in name


def _read_config(path: str) -> dict:
    """The settings in a config file, by their names of today; maybe a `run_name` beside them."""
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except OSError as error:
        raise UsageError(
            f"argument --config: expected a readable file, got {path} ({error.strerror})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: expected JSON ({error})") from error
    if not isinstance(config, dict):
        raise UsageError(f"{path}: expected a JSON object with the flags' names as keys")
    names = dict(zip(FIELDS, FIELDS, strict=True))
    for name, field in FIELDS.items():  # as earlier versions called them
        names |= {alias[2:].replace("-", "_"): name for alias in field.metadata["aliases"]}
    settings = {}
    for key, value in config.items():
        if key == "provenance" or value is None:
            continue
        if key == "run_name" and isinstance(value, str) and is_folder_name(value):
            settings[key] = value
        elif key == "run_name":
            raise UsageError(f"{path}: run_name: expected the name of a folder, got {value!r}")
        elif key not in names:
            raise UsageError(f"{path}: unknown key {key!r}; expected the flags' names with _")
        else:
            settings[names[key]] = value
            try:
                check_setting(FIELDS[names[key]], value)
            except SettingError as error:
                got = json.dumps(value)
                raise UsageError(f"{path}: {key}: expected {error.wanted}, got {got}") from error
    return settings
