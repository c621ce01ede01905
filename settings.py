"""The settings of a training run: their flags, their defaults, and their checks.

Importing this module does not import Keras, so that `--help` and errors come at once.
"""

import argparse
import dataclasses
import json
import os
import typing
from collections.abc import Sequence

from cli import ArgumentParser, UsageError, number, text
from presets import PRESETS

MODELS = ("encoder", "decoder")
TOKENIZERS = ("word", "char", "bpe")
POSITIONS = ("sinusoidal", "learned", "rotary", "alibi", "none")
NORMS = ("layer", "rms")
NORM_PLACEMENTS = ("post", "pre")
ACTIVATIONS = ("relu", "gelu", "relu_squared", "swiglu")
OPTIMIZERS = ("adam", "adamw", "muon")
DECAYS = ("none", "cosine", "linear")
PRECISIONS = ("float32", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides how a run goes; each is the flag of the same name.

    The defaults are those for the built-in corpus `toy`. `FILE_DEFAULTS` are the others.
    """

    model: str = "encoder"
    layers: int = 2
    heads: int = 2
    d_model: int = 16
    dff: int = 64
    dropout: float = 0.1
    position: str = "sinusoidal"
    rotary_wavelength: float = 10000.0
    norm: str = "layer"
    norm_placement: str = "post"
    qk_norm: bool = False
    kv_heads: int | None = None
    activation: str = "relu"
    tie_embeddings: bool = False
    bias: bool = True
    output_scale: float = 1.0
    corpus: str = "toy"
    tokenizer: str = "word"
    context_length: int = 4
    vocabulary_size: int = 5000
    validation_split: float = 0.0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    warmup_steps: int = 0
    decay: str = "none"
    weight_decay: float = 0.0
    clip_norm: float | None = None
    average: float = 0.0
    epochs: int = 1000
    steps: int | None = None
    eval_every: int | None = None
    patience: int | None = None
    batch_size: int = 8
    accumulate: int = 1
    seed: int = 0
    jit: str = "auto"
    precision: str = "float32"
    probe: list[str] | None = None
    attention_every: int | None = None
    batch_scalars_every: int | None = None
    logs: str = "logs"

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


FILE_DEFAULTS = {
    "context_length": 16,
    "batch_size": 64,
    "epochs": 3,
    "validation_split": 0.1,
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
        "second for any other. Flags may be written with - or _.",
    )
    positive = number(int, least=1)
    share = number(float, least=0, below=1)

    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        choices=MODELS,
        help="encoder: predicts the word after a whole prefix; decoder: reads from left to right "
        "and predicts at every position (encoder)",
    )
    group.add_argument(
        "--layers", "--num-layers", type=positive, metavar="N", help="number of layers (2)"
    )
    group.add_argument(
        "--heads",
        "--num-heads",
        type=positive,
        metavar="N",
        help="attention heads of each layer; must divide --d-model (2)",
    )
    group.add_argument("--d-model", type=positive, metavar="N", help="width of the model (16)")
    group.add_argument(
        "--dff", type=positive, metavar="N", help="width of the feed-forward networks (64)"
    )
    group.add_argument(
        "--dropout", type=share, metavar="P", help="share of activations dropped, 0 to 1 (0.1)"
    )

    switch = argparse.BooleanOptionalAction
    group = parser.add_argument_group("variants of the model")
    group.add_argument(
        "--position", choices=POSITIONS, help="how positions are told apart (sinusoidal)"
    )
    group.add_argument(
        "--rotary-wavelength",
        type=number(float, least=2),
        metavar="X",
        help="of the slowest rotary pair; some times the context length is enough (10000)",
    )
    group.add_argument("--norm", choices=NORMS, help="normalisation: layer or RMS (layer)")
    group.add_argument(
        "--norm-placement", choices=NORM_PLACEMENTS, help="after or before each sub-layer (post)"
    )
    group.add_argument(
        "--qk-norm", action=switch, default=None, help="normalise queries and keys (no)"
    )
    group.add_argument(
        "--kv-heads",
        type=positive,
        metavar="N",
        help="heads of keys and values, shared by groups of heads; must divide --heads (all)",
    )
    group.add_argument(
        "--activation", choices=ACTIVATIONS, help="of the feed-forward networks (relu)"
    )
    group.add_argument(
        "--tie-embeddings",
        action=switch,
        default=None,
        help="make the logits with the embedding's own matrix (no)",
    )
    group.add_argument("--bias", action=switch, default=None, help="add biases (yes)")
    group.add_argument(
        "--output-scale",
        type=number(float, least=0),
        metavar="X",
        help="size of the layers' output projections at the start; with 0 a fresh model is as if "
        "it had no layers (1)",
    )

    group = parser.add_argument_group("data")
    group.add_argument(
        "--corpus",
        type=text("toy, a file, a folder or an address"),
        metavar="TEXT",
        help="what to train on: toy, a UTF-8 text file, a folder of .txt files, or an http(s):// "
        "or file:// address (toy)",
    )
    group.add_argument(
        "--context-length",
        type=number(int, least=2),
        metavar="N",
        help="longest piece of text, in tokens; with --tokenizer char, or bpe and another corpus "
        "than toy, 64 (4; 16)",
    )
    group.add_argument(
        "--tokenizer",
        choices=TOKENIZERS,
        help="what a token is: a word; a character; or with bpe, bytes that come together often, "
        "such as a word or a part of one (word)",
    )
    group.add_argument(
        "--vocabulary-size",
        type=number(int, least=2),
        metavar="N",
        help="how many of the most frequent words to know; with --tokenizer bpe, how many tokens "
        "in all, at least 258 (5000)",
    )
    group.add_argument(
        "--validation-split",
        type=share,
        metavar="P",
        help="share of the text's end kept for validation, 0 to 1 (0; 0.1)",
    )

    group = parser.add_argument_group("training")
    group.add_argument("--optimizer", choices=OPTIMIZERS, help="how weights are updated (adam)")
    group.add_argument(
        "--learning-rate",
        "--lr",
        type=number(float, least=0),
        metavar="X",
        help="learning rate (0.001)",
    )
    group.add_argument(
        "--warmup-steps",
        type=number(int, least=0),
        metavar="N",
        help="steps in which the learning rate rises from 0 (0)",
    )
    group.add_argument(
        "--decay",
        choices=DECAYS,
        help="how the learning rate falls: cosine, to a tenth, or linear, to 0 (none)",
    )
    group.add_argument(
        "--weight-decay",
        type=number(float, least=0),
        metavar="X",
        help="how fast adamw and muon shrink matrices, relative to the learning rate (0)",
    )
    group.add_argument(
        "--clip-norm",
        type=number(float, least=0),
        metavar="X",
        help="longest gradient, all weights together (any)",
    )
    group.add_argument(
        "--average",
        type=share,
        metavar="X",
        help="evaluate and save weights averaged over some 1 / (1 - X) steps; 0: as they are (0)",
    )
    group.add_argument(
        "--epochs", type=positive, metavar="N", help="passes over the text (1000; 3)"
    )
    group.add_argument(
        "--steps", type=positive, metavar="N", help="train for so many steps instead of --epochs"
    )
    group.add_argument(
        "--eval-every",
        type=positive,
        metavar="N",
        help="evaluate every N steps; such a span then counts as an epoch (a pass over the text; "
        "250 with --steps)",
    )
    group.add_argument(
        "--patience",
        type=positive,
        metavar="N",
        help="stop after N evaluations without a lower validation loss (never)",
    )
    group.add_argument("--batch-size", type=positive, metavar="N", help="examples a batch (8; 64)")
    group.add_argument(
        "--accumulate",
        type=positive,
        metavar="N",
        help="take N batches for a step: one update by the mean of their gradients (1)",
    )
    group.add_argument(
        "--seed",
        type=number(int, least=0, below=2**31),
        metavar="N",
        help="decides all that is random (0)",
    )
    group.add_argument(
        "--jit",
        choices=("auto", "on", "off"),
        help="compile the training step with XLA; auto: unless the job is tiny (auto)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="what is computed with; weights are float32 always (float32)",
    )

    group = parser.add_argument_group("watching")
    group.add_argument(
        "--probe",
        nargs="+",
        metavar="TEXT",
        help="texts whose attention is drawn (a sentence of the corpus)",
    )
    group.add_argument(
        "--attention-every",
        type=positive,
        metavar="N",
        help="draw attention every N epochs (about 40 times; as often as 5%% of the time allows)",
    )
    group.add_argument(
        "--batch-scalars-every",
        type=positive,
        metavar="N",
        help="also write loss, learning rate and gradient norm every N steps (only every epoch; "
        "with --steps 25 times an epoch)",
    )

    group = parser.add_argument_group("run")
    group.add_argument(
        "--logs", type=text("a folder"), metavar="FOLDER", help="folder of all runs (logs)"
    )
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
    settings = Settings(**{**defaults, **given})
    if settings.tokenizer == "bpe" and settings.vocabulary_size < SMALLEST_BPE_VOCABULARY:
        raise UsageError(
            f"argument --vocabulary-size: expected at least {SMALLEST_BPE_VOCABULARY} with "
            f"--tokenizer bpe, for all bytes and two special tokens, got {settings.vocabulary_size}"
        )
    if settings.d_model % settings.heads:
        raise UsageError(
            f"argument --heads: expected a divisor of --d-model {settings.d_model}, "
            f"got {settings.heads}"
        )
    if settings.kv_heads is not None and settings.heads % settings.kv_heads:
        raise UsageError(
            f"argument --kv-heads: expected a divisor of --heads {settings.heads}, "
            f"got {settings.kv_heads}"
        )
    if settings.position == "rotary" and settings.d_model // settings.heads % 2:
        raise UsageError(
            "argument --position: rotary turns pairs of numbers; expected --d-model / --heads to "
            f"be even, got {settings.d_model // settings.heads}"
        )
    if settings.patience is not None and not settings.validation_split:
        raise UsageError("argument --patience: expected --validation-split above 0, got 0")
    return settings, flags


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
        flag = "--" + name.replace("_", "-")
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
    given = {
        field.name: getattr(flags, field.name)
        for field in dataclasses.fields(Settings)
        if getattr(flags, field.name) is not None
    }
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
    types = {**typing.get_type_hints(Settings), "run_name": str}
    arguments = []
    probe = None
    for key, value in config.items():
        if key == "provenance" or value is None:
            continue
        if key not in types:
            raise UsageError(f"{path}: unknown key {key!r}; expected the flags' names with _")
        if key == "probe":
            wanted = "a list of texts"
            is_right = isinstance(value, list) and value and all(type(v) is str for v in value)
            probe = value
        elif types[key] is bool:
            wanted, is_right = "true or false", type(value) is bool
        elif types[key] is str:
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
