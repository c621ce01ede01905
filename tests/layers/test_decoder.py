"""One layer of the paper's decoder."""

import keras
import numpy as np
import pytest

from layers import (
    ALiBi,
    FeedForward,
    MultiHeadAttention,
    RotaryEmbedding,
    ShortConvolution,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    causal_mask,
)
from tests.layers.layer_checks import Case, LayerChecks, floats, randomize, to_numpy, weights_of

MEMORY_MASK = np.array([[True, True, True, False, False], [True, True, True, True, True]])


def make(**arguments):
    """A layer of width 6 with three heads, and two to listen with."""
    return TransformerDecoderLayer(
        MultiHeadAttention(6, 3),
        FeedForward(6, 10),
        cross_attention=MultiHeadAttention(6, 2),
        **arguments,
    )


class TestTransformerDecoderLayer(LayerChecks):
    case = Case(
        TransformerDecoderLayer,
        arguments={"dropout": 0.25, "norm_first": True, "rms_norm": True},
        inputs={
            "inputs": floats(2, 4, 6),
            "memory": floats(2, 5, 7, seed=1),
            "memory_mask": MEMORY_MASK,
        },
        output_shapes=[("B", "T", 6), ("B", 3, "T", "T"), ("B", 2, "T", "S")],
        num_weights=23,
        idle_weights=("key/bias",),
        is_variant=True,  # dropout, norm_first and rms_norm are the encoder layer's
        parts={
            "attention": lambda dtype: MultiHeadAttention(6, 3, dtype=dtype),
            "feed_forward": lambda dtype: FeedForward(6, 10, dtype=dtype),
            "cross_attention": lambda dtype: MultiHeadAttention(6, 2, dtype=dtype),
        },
    )


def layer_norm(x, scale, shift):
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * scale + shift


def test_it_looks_at_itself_then_at_the_memory_and_then_transforms():
    layer = make()
    x, memory = floats(2, 4, 6), floats(2, 5, 6, seed=1)
    layer.build(x.shape, memory.shape)
    randomize(layer)
    outputs, scores, cross_scores = layer(
        x, memory, attention_mask=causal_mask(4), memory_mask=MEMORY_MASK
    )
    attended, expected = layer.attention(x, x, attention_mask=causal_mask(4))
    x = layer_norm(x + to_numpy(attended), *weights_of(layer.attention_norm))
    attended, cross_expected = layer.cross_attention(x, memory, padding_mask=MEMORY_MASK)
    x = layer_norm(x + to_numpy(attended), *weights_of(layer.cross_attention_norm))
    x = layer_norm(x + to_numpy(layer.feed_forward(x)), *weights_of(layer.feed_forward_norm))
    np.testing.assert_allclose(to_numpy(outputs), x, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(scores), to_numpy(expected))
    np.testing.assert_allclose(to_numpy(cross_scores), to_numpy(cross_expected), atol=1e-6)


def test_what_the_memory_holds_does_not_matter_where_it_is_masked():
    layer = make()
    x, memory = floats(2, 4, 6), floats(2, 5, 6, seed=1)
    changed = np.where(MEMORY_MASK[..., None], memory, 100.0).astype("float32")
    for ours, other in zip(
        layer(x, memory, memory_mask=MEMORY_MASK),
        layer(x, changed, memory_mask=MEMORY_MASK),
        strict=True,
    ):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(other))
    assert np.abs(to_numpy(layer(x, memory)[0]) - to_numpy(layer(x, changed)[0])).max() > 0.01


@pytest.mark.parametrize("norm_first", [False, True])
def test_with_a_cache_a_text_is_written_token_by_token_as_if_at_once(norm_first):
    layer = make(norm_first=norm_first, feed_forward_convolution=ShortConvolution(3))
    x, memory = floats(2, 4, 6), floats(2, 5, 6, seed=1)
    layer.build(x.shape, memory.shape)
    randomize(layer)
    expected = to_numpy(layer(x, memory, attention_mask=causal_mask(4))[0])
    cache = layer.empty_cache(batch_size=2, length=4)
    for cache.start in range(4):
        mask = causal_mask(1, 4, cache.start)
        token = x[:, cache.start : cache.start + 1]
        outputs, *_ = layer(token, memory, attention_mask=mask, cache=cache)
        np.testing.assert_allclose(to_numpy(outputs)[:, 0], expected[:, cache.start], atol=1e-5)


def test_a_memory_that_a_cache_keeps_is_listened_to_as_if_it_were_there():
    layer = TransformerDecoderLayer(
        MultiHeadAttention(8, 2),
        FeedForward(8, 10),
        cross_attention=MultiHeadAttention(8, 4, num_kv_heads=2, qk_norm=True),
    )
    x, memory = floats(2, 4, 8), floats(2, 5, 7, seed=1)
    layer.build(x.shape, memory.shape)
    randomize(layer)
    expected = layer(x, memory, attention_mask=causal_mask(4), memory_mask=MEMORY_MASK)
    cache = layer.empty_cache(2, length=4, memory=memory, memory_mask=MEMORY_MASK)
    ours = layer(x, attention_mask=causal_mask(4), cache=cache)
    for output, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(to_numpy(output), to_numpy(other), atol=1e-5)
    assert set(cache.tensors["memory"]) == {"keys", "values", "mask"}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"rotary": RotaryEmbedding()}, "`cross_attention` must .*Received: rotary=<Rotary"),
        ({"position_bias": ALiBi(2)}, "`cross_attention` must .*Received: position_bias=<ALiBi"),
    ],
)
def test_positions_are_refused_in_cross_attention(part, message):
    with pytest.raises(ValueError, match=message):
        TransformerDecoderLayer(
            MultiHeadAttention(6, 3, **part),
            FeedForward(6, 10),
            cross_attention=MultiHeadAttention(6, 2, **part),
        )


def test_without_cross_attention_there_is_the_encoder_layer():
    with pytest.raises(ValueError, match=r"`cross_attention` must be a layer. Received: .*=None"):
        TransformerDecoderLayer(MultiHeadAttention(6, 3), FeedForward(6, 10), None)
    assert isinstance(make(), TransformerEncoderLayer)


def test_a_model_of_two_stacks_is_saved_with_all_its_parts(tmp_path):
    source, target = keras.Input((None, 6)), keras.Input((None, 6))
    memory, _ = TransformerEncoderLayer(
        MultiHeadAttention(6, 3, rotary=RotaryEmbedding(50)), FeedForward(6, 10)
    )(source)
    model = keras.Model([source, target], list(make()(target, memory)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [w.path for w in again.weights] == [w.path for w in model.weights]
    inputs = [floats(2, 5, 6), floats(2, 4, 6, seed=1)]
    for ours, expected in zip(again(inputs), model(inputs), strict=True):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(expected))
