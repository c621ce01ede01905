"""What a Transformer of the zoo can be made of: every size and every variant, once.

A field of `Architecture` is an argument of the models, an entry of the `.keras` file's config, and
a flag of `train.py`. Its name, default, bounds and help stand here and nowhere else; what is made
of it is in `models/parts.py`.

Importing this module does not import Keras.
"""

import dataclasses
import math
import textwrap
import types
import typing


class SettingError(ValueError):
    """A value that a setting can't have.

    Attributes:
        name: the setting.
        wanted: what was expected; other settings are named in backticks.
        value: what came.
    """

    def __init__(self, name: str, wanted: str, value):
        super().__init__(f"`{name}` must be {wanted}. Received: {name}={value!r}.")
        self.name, self.wanted, self.value = name, wanted, value


@dataclasses.dataclass(frozen=True)
class Number:
    """The numbers that a setting can be: whole ones or any, within bounds, and finite.

    Args:
        kind: `int` or `float`.
        least, above, below, most: the bounds; `least` and `most` are allowed themselves. Default
            None: no such bound.

    Example:

    >>> at_least_one = Number(int, least=1)
    >>> print(at_least_one, 3 in at_least_one, 0 in at_least_one)
    a whole number of at least 1 True False
    """

    kind: type
    least: float | None = None
    above: float | None = None
    below: float | None = None
    most: float | None = None

    def __contains__(self, value) -> bool:
        wanted = int if self.kind is int else int | float
        return (
            isinstance(value, wanted)
            and not isinstance(value, bool)
            and (isinstance(value, int) or math.isfinite(value))
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.most is None or value <= self.most)
        )

    def __str__(self) -> str:
        bounds = {"of at least": self.least, "above": self.above}
        bounds |= {"below": self.below, "at most": self.most}
        bounds = [f"{words} {bound}" for words, bound in bounds.items() if bound is not None]
        kind = "a whole number" if self.kind is int else "a number"
        return f"{kind} {' and '.join(bounds)}".rstrip()


def setting(
    default,
    help: str,
    *,
    group: str,
    allowed: Number | tuple[str, ...] | str = "",
    none: str = "none",
    file_default=None,
    aliases: tuple[str, ...] = (),
    metavar: str | None = None,
):
    """A field of a dataclass of settings, with all that a flag needs to know.

    Args:
        default: its default, for the built-in corpus.
        help: what it means, for `--help`.
        group: under which title it stands there.
        allowed: which values it can have: a `Number`; a tuple of names; or for a text, in words
            what it must be. Switches need none: they are True or False.
        none: what None means, in a word.
        file_default: the default for any other corpus. Default None: the same.
        aliases: other names of the flag.
        metavar: what stands for its value. Default None: what suits a number.
    """
    return dataclasses.field(default=default, metadata={**locals()})


def check_settings(settings) -> None:
    """Raises a SettingError for the first field of a dataclass whose value is not allowed."""
    types_of_fields = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value, allowed = getattr(settings, field.name), field.metadata["allowed"]
        kinds = typing.get_args(types_of_fields[field.name])
        if value is None and types.NoneType in kinds:
            continue
        if types_of_fields[field.name] is bool:
            if not isinstance(value, bool):
                raise SettingError(field.name, "True or False", value)
        elif isinstance(allowed, tuple):
            if value not in allowed:
                raise SettingError(field.name, f"one of {', '.join(map(repr, allowed))}", value)
        elif isinstance(allowed, Number):
            if value not in allowed:
                raise SettingError(field.name, str(allowed), value)
        elif not value:
            raise SettingError(field.name, allowed, value)


_COUNT = Number(int, least=1)
_SHARE = Number(float, least=0, below=1)
_MODEL, _VARIANTS = "model", "variants of the model"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes and variants of a Transformer. The defaults are the paper's, for a toy."""

    num_layers: int = setting(
        2, "number of layers", group=_MODEL, allowed=_COUNT, aliases=("--layers",)
    )
    num_heads: int = setting(
        2,
        "attention heads of each layer; must divide `d_model`",
        group=_MODEL,
        allowed=_COUNT,
        aliases=("--heads",),
    )
    d_model: int = setting(16, "width of the model", group=_MODEL, allowed=_COUNT)
    dff: int = setting(64, "width of the feed-forward networks", group=_MODEL, allowed=_COUNT)
    dropout: float = setting(
        0.1,
        "share of activations dropped in training, 0 to 1",
        group=_MODEL,
        allowed=_SHARE,
    )
    context_length: int = setting(
        4,
        "longest piece of text that is read at a time, in tokens",
        group=_MODEL,
        allowed=_COUNT,
        file_default=16,
    )
    position: str = setting(
        "sinusoidal",
        "how positions are told apart: a fixed pattern or a learned vector is added, queries and "
        "keys are turned, or attention falls with distance",
        group=_VARIANTS,
        allowed=("sinusoidal", "learned", "rotary", "alibi", "none"),
    )
    rotary_wavelength: float = setting(
        10000.0,
        "of the slowest rotary pair; some times the context length is enough",
        group=_VARIANTS,
        allowed=Number(float, above=1),
    )
    norm: str = setting(
        "layer",
        "normalisation: layer, or by the root mean square alone",
        group=_VARIANTS,
        allowed=("layer", "rms"),
    )
    norm_placement: str = setting(
        "post", "after or before each sub-layer", group=_VARIANTS, allowed=("post", "pre")
    )
    qk_norm: bool = setting(False, "normalise queries and keys", group=_VARIANTS)
    num_kv_heads: int | None = setting(
        None,
        "heads of keys and values, shared by groups of heads; must divide `num_heads`",
        group=_VARIANTS,
        allowed=_COUNT,
        none="all",
        aliases=("--kv-heads",),
    )
    attention_dropout: float = setting(
        0.0, "share of attention scores dropped in training", group=_VARIANTS, allowed=_SHARE
    )
    activation: str = setting(
        "relu",
        "of the feed-forward networks",
        group=_VARIANTS,
        allowed=("relu", "gelu", "relu_squared", "swiglu"),
    )
    tie_embeddings: bool = setting(
        False, "make the logits with the embedding's own matrix", group=_VARIANTS
    )
    use_bias: bool = setting(True, "add biases", group=_VARIANTS, aliases=("--bias",))
    output_scale: float = setting(
        1.0,
        "size of the layers' output projections at the start; with 0 a fresh model is as if it had "
        "no layers",
        group=_VARIANTS,
        allowed=Number(float, least=0),
    )

    def __post_init__(self):
        check_settings(self)
        if self.d_model % self.num_heads:
            raise SettingError(
                "num_heads", f"a divisor of `d_model` {self.d_model}", self.num_heads
            )
        if self.num_kv_heads is not None and self.num_heads % self.num_kv_heads:
            wanted = f"a divisor of `num_heads` {self.num_heads}"
            raise SettingError("num_kv_heads", wanted, self.num_kv_heads)
        head_dim = self.d_model // self.num_heads
        if self.position == "rotary" and head_dim % 2:
            wanted = f"an even multiple of `num_heads` {self.num_heads} with `position` rotary"
            raise SettingError("d_model", wanted, self.d_model)


def describe(settings: type) -> str:
    """The fields of a dataclass of settings, as they stand in a docstring under "Args"."""
    lines = []
    for field in dataclasses.fields(settings):
        allowed, default = field.metadata["allowed"] or "True or False", repr(field.default)
        if isinstance(allowed, tuple):
            allowed = " or ".join(map(repr, allowed))
        if field.default is None:
            default = f"None, {field.metadata['none']}"
        text = f"{field.name}: {field.metadata['help']} ({allowed}). Default {default}."
        indents = {"initial_indent": " " * 8, "subsequent_indent": " " * 12}
        lines += textwrap.wrap(text, 100, **indents)
    return "\n".join(lines)


Architecture.__doc__ += f"\n\n    Args:\n{describe(Architecture)}\n"
