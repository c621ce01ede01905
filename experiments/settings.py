"""The settings of a training run: their flags, their defaults, and their checks.

Importing this module does not import Keras, so that `--help` and errors come at once.
"""

import argparse
import dataclasses
import json
import os
import re
import typing
from collections.abc import Sequence

from architecture import Architecture, Number, SettingError, setting
from experiments.cli import ArgumentParser, UsageError, add_flag, flag_of, text
from experiments.presets import PRESETS

_COUNT = Number(int, least=1)
_ANY = Number(int, least=0)
_POSITIVE = Number(float, least=0)
_SHARE = Number(float, least=0, below=1)
_DATA, _TRAINING, _WATCHING, _RUN = "data", "training", "watching", "run"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Architecture):
    """Everything that decides how a run goes: an architecture, and how it is trained on what.

    Each is the flag of the same name. The defaults are those for the built-in corpus `toy`.
    """

    model: str = setting(
        "encoder",
        "encoder: predicts the word after a whole prefix; decoder: reads from left to right and "
        "predicts at every position",
        group="model",
        allowed=("encoder", "decoder"),
    )
    corpus: str = setting(
        "toy",
        "what to train on: toy, a UTF-8 text file, a folder of .txt files, or an http(s):// or "
        "file:// address",
        group=_DATA,
        allowed="toy, a file, a folder or an address",
        metavar="TEXT",
    )
    tokenizer: str = setting(
        "word",
        "what a token is: a word; a character; or with bpe, bytes that come together often, such "
        "as a word or a part of one",
        group=_DATA,
        allowed=("word", "char", "bpe"),
    )
    vocabulary_size: int = setting(
        5000,
        "how many of the most frequent words to know; with bpe, how many tokens in all, at least "
        "258",
        group=_DATA,
        allowed=Number(int, least=2),
    )
    validation_split: float = setting(
        0.0,
        "share of the text's end kept for validation, 0 to 1",
        group=_DATA,
        allowed=_SHARE,
        file_default=0.1,
    )
    optimizer: str = setting(
        "adam", "how weights are updated", group=_TRAINING, allowed=("adam", "adamw", "muon")
    )
    learning_rate: float = setting(
        1e-3, "learning rate", group=_TRAINING, allowed=_POSITIVE, aliases=("--lr",)
    )
    warmup_steps: int = setting(
        0, "steps in which the learning rate rises from 0", group=_TRAINING, allowed=_ANY
    )
    decay: str = setting(
        "none",
        "how the learning rate falls: cosine, to a tenth, or linear, to 0",
        group=_TRAINING,
        allowed=("none", "cosine", "linear"),
    )
    weight_decay: float = setting(
        0.0,
        "how fast adamw and muon shrink matrices, relative to the learning rate",
        group=_TRAINING,
        allowed=_POSITIVE,
    )
    clip_norm: float | None = setting(
        None,
        "longest gradient, all weights together",
        group=_TRAINING,
        allowed=_POSITIVE,
        none="any",
    )
    average: float = setting(
        0.0,
        "evaluate and save weights averaged over some 1 / (1 - P) steps; 0: as they are",
        group=_TRAINING,
        allowed=_SHARE,
    )
    epochs: int = setting(
        1000, "passes over the text", group=_TRAINING, allowed=_COUNT, file_default=3
    )
    steps: int | None = setting(
        None, "train for so many steps instead of --epochs", group=_TRAINING, allowed=_COUNT
    )
    eval_every: int | None = setting(
        None,
        "evaluate every N steps; such a span then counts as an epoch",
        group=_TRAINING,
        allowed=_COUNT,
        none="a pass over the text; 250 with --steps",
    )
    patience: int | None = setting(
        None,
        "stop after N evaluations without a lower validation loss",
        group=_TRAINING,
        allowed=_COUNT,
        none="never",
    )
    batch_size: int = setting(
        8, "examples a batch", group=_TRAINING, allowed=_COUNT, file_default=64
    )
    accumulate: int = setting(
        1,
        "take N batches for a step: one update by the mean of their gradients",
        group=_TRAINING,
        allowed=_COUNT,
    )
    seed: int = setting(
        0, "decides all that is random", group=_TRAINING, allowed=Number(int, least=0, below=2**31)
    )
    jit: str = setting(
        "auto",
        "compile the training step with XLA; auto: unless the job is tiny",
        group=_TRAINING,
        allowed=("auto", "on", "off"),
    )
    precision: str = setting(
        "float32",
        "what is computed with; weights are float32 always",
        group=_TRAINING,
        allowed=("float32", "mixed_bfloat16"),
    )
    probe: list[str] | None = setting(
        None,
        "texts whose attention is drawn",
        group=_WATCHING,
        allowed="at least one text",
        none="a sentence of the corpus",
        metavar="TEXT",
    )
    attention_every: int | None = setting(
        None,
        "draw attention every N epochs",
        group=_WATCHING,
        allowed=_COUNT,
        none="about 40 times; as often as 5% of the time allows",
    )
    batch_scalars_every: int | None = setting(
        None,
        "also write loss, learning rate and gradient norm every N steps",
        group=_WATCHING,
        allowed=_COUNT,
        none="only every epoch; with --steps 25 times an epoch",
    )
    logs: str = setting(
        "logs", "folder of all runs", group=_RUN, allowed="a folder", metavar="FOLDER"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.context_length < 2:  # a token, and the one to predict
            raise SettingError("context_length", str(Number(int, least=2)), self.context_length)
        if self.tokenizer == "bpe" and self.vocabulary_size < SMALLEST_BPE_VOCABULARY:
            wanted = f"at least {SMALLEST_BPE_VOCABULARY} with `tokenizer` bpe, for all bytes and "
            wanted += "two special tokens"
            raise SettingError("vocabulary_size", wanted, self.vocabulary_size)
        if self.patience is not None and not self.validation_split:
            raise SettingError("validation_split", "a number above 0 with `patience`", 0)

    @property
    def architecture(self) -> Architecture:
        """What the model is made of."""
        names = (field.name for field in dataclasses.fields(Architecture))
        return Architecture(**{name: getattr(self, name) for name in names})

    def shared(self) -> dict:
        """What a model's file says of them, which may be passed on.

        Nothing of how the run was watched and where it is kept; of a corpus whose path would tell
        the author's folders, only the name.
        """
        settings = {
            name: getattr(self, name)
            for name, field in FIELDS.items()
            if field.metadata["group"] not in (_WATCHING, _RUN)
        }
        path = self.corpus.removeprefix("file://")
        if path != self.corpus or os.path.isabs(path):
            settings["corpus"] = os.path.basename(os.path.normpath(path)) or "folder"
        return settings

    @property
    def is_tiny(self) -> bool:
        """Whether starting the work of a training step costs more than doing it.

        Measured on two cores: the toy's 2,000 steps take 8 s with one thread an operation and
        11 s with two, and XLA's compilation costs what it saves. With the defaults for a file a
        step takes 54 ms without XLA and 20 ms with it, whatever the threads.
        """
        return self.batch_size * self.context_length * self.d_model < 4096

    @property
    def compiles_with_xla(self) -> bool:
        """What `jit` comes to."""
        return self.jit == "on" or (self.jit == "auto" and not self.is_tiny)


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
FILE_DEFAULTS = {
    name: field.metadata["file_default"]
    for name, field in FIELDS.items()
    if field.metadata["file_default"] is not None
}
CHAR_DEFAULTS = {"context_length": 64}
SMALLEST_BPE_VOCABULARY = 258  # the 256 bytes and two special tokens


def make_parser(source: str = "") -> ArgumentParser:
    """The parser of `train.py`'s flags; a flag that is not given becomes None."""
    parser = ArgumentParser(
        prog="train.py",
        source=source,
        description="Train a small Transformer on a text and watch it in TensorBoard.",
        epilog="Where two defaults are given, the first is for the built-in corpus 'toy' and the "
        "second for any other. With --tokenizer char, or bpe and another corpus than toy, "
        "--context-length is 64. Flags may be written with - or _.",
    )
    kinds = typing.get_type_hints(Settings)
    titles = dict.fromkeys(field.metadata["group"] for field in FIELDS.values())
    groups = {title: parser.add_argument_group(title) for title in titles}
    # What an experiment adds to a group comes first, such as --model.
    for name in sorted(FIELDS, key=lambda name: name in Architecture.__dataclass_fields__):
        add_flag(groups[FIELDS[name].metadata["group"]], FIELDS[name], kinds[name])

    group = groups[_RUN]
    group.add_argument(
        "--run-name",
        type=text("the name of a folder", _is_folder_name),
        metavar="NAME",
        help="this run's folder in --logs (from corpus and time)",
    )
    group.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        help="start from complete settings; --config and flags given beside it win",
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
        type=text("the name of a run", _is_folder_name),
        metavar="NAME",
        help="go on with a run of --logs as if it had never stopped, or 'auto': with the latest; "
        "more --steps or --epochs make it longer",
    )
    group.add_argument(
        "--dry-run", action="store_true", default=None, help="show what would be trained, and stop"
    )
    return parser


def parse_settings(argv: Sequence[str]) -> tuple[Settings, argparse.Namespace]:
    """Settings from defaults, `--preset`, `--config` and flags, each overriding the one before.

    With fewer `--steps` than a preset has, its warm-up is shorter in proportion.

    Returns:
        The settings, and all flags as given, for those that are no settings (`run_name`,
        `dry_run`, `list_presets`, `resume`).

    Raises:
        UsageError: a flag or config key that is unknown or has a value out of its range.
    """
    given, flags = _given_settings(argv)
    defaults = {} if given.get("corpus", "toy") == "toy" else FILE_DEFAULTS
    # With bpe the toy's words become one token each.
    if given.get("tokenizer") == "char" or (given.get("tokenizer") == "bpe" and defaults):
        defaults = {**defaults, **CHAR_DEFAULTS}
    try:
        return Settings(**{**defaults, **given}), flags
    except SettingError as error:
        wanted = re.sub("`([a-z_]+)`", lambda match: flag_of(match[1]), error.wanted)
        raise UsageError(
            f"argument {flag_of(error.name)}: expected {wanted}, got {error.value}"
        ) from error


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
        if value in (own, None) or name in ("corpus", "logs"):
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
    if flags.steps is not None and flags.epochs is not None:
        raise UsageError("argument --steps: expected --steps or --epochs, got both")
    by_epochs = flags.epochs is not None
    if flags.config is not None:
        flags = make_parser().parse_args(argv, namespace=_read_config(flags.config))
    given = {name: getattr(flags, name) for name in FIELDS if getattr(flags, name) is not None}
    if flags.preset is not None:
        preset = PRESETS[flags.preset].settings
        if given.get("steps", 0) and "warmup_steps" in preset:
            share = min(given["steps"] / preset["steps"], 1)
            given = {"warmup_steps": round(preset["warmup_steps"] * share), **given}
        given = {**preset, **given}
    if by_epochs:
        given["steps"] = None  # not those of a preset or config
    return given, flags


def _is_folder_name(name: str) -> bool:
    is_one_name = os.path.basename(name) == name and name not in ("", ".", "..")
    return is_one_name and len(os.fsencode(name)) <= 255 and "\0" not in name


def _read_config(path: str) -> argparse.Namespace:
    """Reads a config file as if its entries were flags, so that the same checks apply."""
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
    kinds = {**typing.get_type_hints(Settings), "run_name": str}
    for name, field in FIELDS.items():  # those of earlier versions too
        kinds |= {
            alias.strip("-").replace("-", "_"): kinds[name] for alias in field.metadata["aliases"]
        }
    arguments = []
    probe = None
    for key, value in config.items():
        if key == "provenance" or value is None:
            continue
        if key not in kinds:
            raise UsageError(f"{path}: unknown key {key!r}; expected the flags' names with _")
        if key == "probe":
            wanted = "a list of texts"
            is_right = isinstance(value, list) and value and all(type(v) is str for v in value)
            probe = value
        elif kinds[key] is bool:
            wanted, is_right = "true or false", type(value) is bool
        elif kinds[key] is str:
            wanted, is_right = "a text", isinstance(value, str)
        else:
            wanted, is_right = "a number", type(value) in (int, float)
        if not is_right:
            raise UsageError(f"{path}: {key}: expected {wanted}, got {json.dumps(value)}")
        if type(value) is bool:
            arguments.append(f"--{key}" if value else f"--no-{key}")
        elif key != "probe":
            arguments.append(f"--{key}={value}")
    flags = make_parser(source=path).parse_args(arguments)
    flags.probe = probe
    return flags
