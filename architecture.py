"""What a Transformer of the zoo can be made of: every size and every variant, once.

A field of `Architecture` is an argument of the models, an entry of the `.keras` file's config, and
a flag of `train.py`. Its name, default, bounds and help stand here and nowhere else; what is made
of it is in `models/parts.py`.

Importing this module does not import Keras.
"""

import dataclasses
import functools
import math
import textwrap


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
    allowed: Number | tuple[str, ...] | str = "",
    *,
    group: str,
    none: str = "none",
    file_default=None,
    aliases: tuple[str, ...] = (),
    metavar: str | None = None,
):
    """A field of a dataclass of settings, with all that a flag needs to know.

    Args:
        default: its default, for the built-in corpus.
        help: what it means, for `--help`; other settings are named in backticks.
        allowed: which values it can have: a `Number`; a tuple of names; or for a text, in words
            what it must be. Switches need none: they are True or False.
        group: under which title it stands in `--help`.
        none: what None means, in a few words.
        file_default: the default for any other corpus. Default None: the same.
        aliases: other names of the flag.
        metavar: what stands for its value. Default None: what suits a number.
    """
    return dataclasses.field(default=default, metadata={**locals()})


def is_text(field: dataclasses.Field) -> bool:
    """Whether the values of a field made by `setting` are texts."""
    return field.type in (str, str | None)


def check_setting(field: dataclasses.Field, value) -> None:
    """Raises a SettingError unless a field made by `setting` can have this value."""
    allowed = field.metadata["allowed"]
    if value is None and field.default is None:
        return
    if isinstance(field.default, bool):
        wanted, is_right = "true or false", isinstance(value, bool)
    elif isinstance(allowed, Number):
        wanted, is_right = str(allowed), value in allowed
    elif isinstance(allowed, tuple):
        wanted, is_right = f"one of {', '.join(map(repr, allowed))}", value in allowed
    elif is_text(field):
        wanted, is_right = allowed, value and isinstance(value, str)
    else:
        wanted = allowed
        is_right = value and isinstance(value, list) and all(isinstance(v, str) for v in value)
    if not is_right:
        raise SettingError(field.name, wanted, value)


_COUNT = Number(int, least=1)
_SHARE = Number(float, least=0, below=1)
_size = functools.partial(setting, group="model")
_variant = functools.partial(setting, group="variants of the model")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes and variants of a Transformer. The defaults are the paper's, for a toy."""

    num_layers: int = _size(2, "number of layers", _COUNT, aliases=("--layers",))
    num_heads: int = _size(
        2, "attention heads of each layer; must divide `d_model`", _COUNT, aliases=("--heads",)
    )
    d_model: int = _size(16, "width of the model", _COUNT)
    dff: int = _size(
        64, "width of the feed-forward networks; 0: layers have none", Number(int, least=0)
    )
    dropout: float = _size(0.1, "share of activations dropped in training, 0 to 1", _SHARE)
    context_length: int = _size(
        4, "longest piece of text that is read at a time, in tokens", _COUNT, file_default=16
    )
    position: str = _variant(
        "sinusoidal",
        "how positions are told apart: a fixed pattern or a learned vector is added, queries and "
        "keys are turned, or attention falls with distance",
        ("sinusoidal", "learned", "rotary", "alibi", "none"),
    )
    rotary_wavelength: float = _variant(
        10000.0,
        "of the slowest rotary pair, in tokens by 2 pi; a few times the context length is enough",
        Number(float, above=1),
    )
    rotary_fraction: float = _variant(
        1.0, "which part of each head's numbers rotary turns", Number(float, above=0, most=1)
    )
    norm: str = _variant(
        "layer", "normalisation: layer, or by the root mean square alone", ("layer", "rms")
    )
    norm_placement: str = _variant("post", "after or before each sub-layer", ("post", "pre"))
    qk_norm: bool = _variant(False, "normalise queries and keys")
    softmax_plus_one: bool = _variant(False, "let heads attend to nothing, if they like")
    num_kv_heads: int | None = _variant(
        None,
        "heads of keys and values, shared by groups of heads; must divide `num_heads`",
        _COUNT,
        none="all",
        aliases=("--kv-heads",),
    )
    attention_dropout: float = _variant(
        0.0, "share of attention scores dropped in training", _SHARE
    )
    activation: str = _variant(
        "relu", "of the feed-forward networks", ("relu", "gelu", "relu_squared", "swiglu")
    )
    convolution: str = _variant(
        "none",
        "before what a short convolution mixes each token with the three before it: attention, the "
        "feed-forward network, or both",
        ("none", "attention", "feed_forward", "both"),
    )
    tie_embeddings: bool = _variant(False, "make the logits with the embedding's own matrix")
    use_bias: bool = _variant(True, "add biases", aliases=("--bias",))
    output_scale: float = _variant(
        1.0,
        "size of the layers' output projections at the start; with 0 a fresh model is as if it had "
        "no layers",
        Number(float, least=0),
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check_setting(field, getattr(self, field.name))
        if self.d_model % self.num_heads:
            raise SettingError(
                "num_heads", f"a divisor of `d_model` {self.d_model}", self.num_heads
            )
        if self.num_kv_heads is not None and self.num_heads % self.num_kv_heads:
            wanted = f"a divisor of `num_heads` {self.num_heads}"
            raise SettingError("num_kv_heads", wanted, self.num_kv_heads)
        if not self.dff and self.convolution in ("feed_forward", "both"):
            raise SettingError("convolution", "none or attention with `dff` 0", self.convolution)
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
