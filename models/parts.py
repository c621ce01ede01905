"""From the names of an `Architecture` to layers: the only place where they are told apart."""

import keras

from architecture import Architecture
from layers import (
    ALiBi,
    FeedForward,
    LearnedPositionalEmbedding,
    MultiHeadAttention,
    RotaryEmbedding,
    ShortConvolution,
    SinusoidalPositionalEncoding,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    relu_squared,
)

# The function of the feed-forward network, and whether it is a gate.
ACTIVATIONS = {
    "relu": (keras.activations.relu, False),
    "gelu": (keras.activations.gelu, False),
    "relu_squared": (relu_squared, False),
    "swiglu": (keras.activations.silu, True),
}


def make_positions(a: Architecture, dtype=None, prefix: str = "") -> keras.layers.Layer | None:
    """What is added to the embedded tokens to tell their positions; None where nothing is."""
    if a.position == "sinusoidal":
        return SinusoidalPositionalEncoding(name=f"{prefix}positional_encoding", dtype=dtype)
    if a.position == "learned":
        name = f"{prefix}positional_embedding"
        return LearnedPositionalEmbedding(a.context_length, name=name, dtype=dtype)
    return None


def make_attention(a: Architecture, dtype=None) -> MultiHeadAttention:
    """Self-attention."""
    rotary = position_bias = None
    if a.position == "rotary":
        rotary = RotaryEmbedding(a.rotary_wavelength, a.rotary_fraction, name="rotary", dtype=dtype)
    if a.position == "alibi":
        position_bias = ALiBi(a.num_heads, name="alibi")
    return _attention(a, "attention", dtype, rotary=rotary, position_bias=position_bias)


def make_cross_attention(a: Architecture, dtype=None) -> MultiHeadAttention:
    """Attention to another text, whose positions have no distance to one's own."""
    return _attention(a, "cross_attention", dtype)


def _attention(a, name, dtype, **positions):
    return MultiHeadAttention(
        a.d_model,
        a.num_heads,
        dropout=a.attention_dropout,
        num_kv_heads=a.num_kv_heads,
        **positions,
        qk_norm=a.qk_norm,
        softmax_plus_one=a.softmax_plus_one,
        use_bias=a.use_bias,
        output_scale=a.output_scale,
        name=name,
        dtype=dtype,
    )


def make_feed_forward(a: Architecture, dtype=None) -> FeedForward | None:
    """The position-wise network of a layer; None where layers have none."""
    if not a.dff:
        return None
    activation, gated = ACTIVATIONS[a.activation]
    return FeedForward(
        a.d_model,
        a.dff,
        activation,
        gated,
        use_bias=a.use_bias,
        output_scale=a.output_scale,
        name="feed_forward",
        dtype=dtype,
    )


def make_encoder_layer(a: Architecture, number: int, dtype=None) -> TransformerEncoderLayer:
    """Layer number `number`, counted from 1."""
    return TransformerEncoderLayer(
        make_attention(a, dtype),
        make_feed_forward(a, dtype),
        **_of_all_layers(a, dtype),
        name=f"encoder_layer_{number}",
        dtype=dtype,
    )


def make_decoder_layer(a: Architecture, number: int, dtype=None) -> TransformerDecoderLayer:
    """Layer number `number`, counted from 1, of a decoder that listens to an encoder."""
    return TransformerDecoderLayer(
        make_attention(a, dtype),
        make_feed_forward(a, dtype),
        make_cross_attention(a, dtype),
        **_of_all_layers(a, dtype),
        name=f"decoder_layer_{number}",
        dtype=dtype,
    )


def _of_all_layers(a, dtype):
    convolutions = {
        f"{place}_convolution": ShortConvolution(name=f"{place}_convolution", dtype=dtype)
        for place in ("attention", "feed_forward")
        if a.convolution in (place, "both")
    }
    return {
        "dropout": a.dropout,
        "norm_first": a.norm_placement == "pre",
        "rms_norm": a.norm == "rms",
        **convolutions,
    }


def make_final_norm(
    a: Architecture, dtype=None, name: str = "final_norm"
) -> keras.layers.Layer | None:
    """The normalisation after the last layer; None where each layer ends with its own."""
    return None if a.norm_placement == "post" else make_norm(a, dtype, name)


def make_norm(a: Architecture, dtype=None, name: str | None = None) -> keras.layers.Layer:
    """A normalisation of the kind that the layers have."""
    kind = keras.layers.RMSNormalization if a.norm == "rms" else keras.layers.LayerNormalization
    return kind(epsilon=1e-6, name=name, dtype=dtype)
