"""One layer of the Transformer encoder."""

import numpy as np
import pytest

from layers import (
    ALiBi,
    FeedForward,
    MultiHeadAttention,
    RotaryEmbedding,
    ShortConvolution,
    TransformerEncoderLayer,
    causal_mask,
    relu_squared,
)
from tests.layers.layer_checks import Case, LayerChecks, floats, randomize, to_numpy, weights_of

PADDING = np.array([[True, True, True, False], [True, True, False, False]])


def make(output_scale=1.0, **arguments):
    """A layer of width 6 with three heads."""
    return TransformerEncoderLayer(
        MultiHeadAttention(6, 3, output_scale=output_scale),
        FeedForward(6, 10, output_scale=output_scale),
        **arguments,
    )


class TestTransformerEncoderLayer(LayerChecks):
    case = Case(
        TransformerEncoderLayer,
        arguments={"dropout": 0.25, "norm_first": True, "rms_norm": True},
        inputs={"inputs": floats(2, 4, 6), "padding_mask": PADDING},
        output_shapes=[("B", "T", 6), ("B", 3, "T", "T")],
        num_weights=16,
        idle_weights=("key/bias",),
        parts={
            "attention": lambda dtype: MultiHeadAttention(6, 3, dtype=dtype),
            "feed_forward": lambda dtype: FeedForward(6, 10, dtype=dtype),
            "attention_convolution": lambda dtype: ShortConvolution(
                2, dtype=dtype, name="attention_convolution"
            ),
            "feed_forward_convolution": lambda dtype: ShortConvolution(
                3, dtype=dtype, name="feed_forward_convolution"
            ),
        },
    )


class TestTransformerEncoderLayerWithPartsOfParts(LayerChecks):
    case = Case(
        TransformerEncoderLayer,
        arguments={},
        inputs={"inputs": floats(2, 4, 12), "padding_mask": PADDING},
        output_shapes=[("B", "T", 12), ("B", 6, "T", "T")],
        num_weights=13,
        is_variant=True,
        parts={
            "attention": lambda dtype: MultiHeadAttention(
                12,
                6,
                num_kv_heads=3,
                rotary=RotaryEmbedding(100, dtype=dtype),
                position_bias=ALiBi(6, dtype=dtype),
                qk_norm=True,
                use_bias=False,
                dtype=dtype,
            ),
            "feed_forward": lambda dtype: FeedForward(
                12, 10, relu_squared, gated=True, use_bias=False, dtype=dtype
            ),
        },
    )


class TestTransformerEncoderLayerOfAttentionAlone(LayerChecks):
    case = Case(
        TransformerEncoderLayer,
        arguments={"feed_forward": None, "norm_first": True},
        inputs={"inputs": floats(2, 4, 6), "padding_mask": PADDING},
        output_shapes=[("B", "T", 6), ("B", 3, "T", "T")],
        num_weights=10,
        idle_weights=("key/bias",),
        is_variant=True,
        parts={"attention": lambda dtype: MultiHeadAttention(6, 3, dtype=dtype)},
    )


@pytest.mark.parametrize("norm_first", [True, False])
def test_attention_alone_is_a_layer_whose_feed_forward_network_gives_nothing(norm_first):
    alone = TransformerEncoderLayer(MultiHeadAttention(6, 3), None, norm_first=norm_first)
    whole = TransformerEncoderLayer(
        MultiHeadAttention(6, 3), FeedForward(6, 10), norm_first=norm_first
    )
    x = floats(2, 4, 6)
    alone(x), whole(x)
    randomize(alone)
    nothing = [0 * w for w in weights_of(whole.feed_forward)]
    whole.attention.set_weights(weights_of(alone.attention))
    whole.attention_norm.set_weights(weights_of(alone.attention_norm))
    whole.feed_forward.set_weights(nothing)
    outputs = to_numpy(alone(x)[0])
    if not norm_first:  # the second normalisation is all that is left of the sub-layer
        outputs = to_numpy(whole.feed_forward_norm(outputs))
    np.testing.assert_allclose(to_numpy(whole(x)[0]), outputs, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dropout": -0.1}, r"`dropout` must be at least 0 and below 1. Received: dropout=-0\.1"),
        ({"attention": 16}, "`attention` must be a layer. Received: attention=16"),
        ({"attention_convolution": 4}, "`attention_convolution` must be a layer. Received: .*=4"),
        ({"feed_forward": 64}, "`feed_forward` must be a layer. Received: feed_forward=64"),
        (
            {"feed_forward": None, "feed_forward_convolution": ShortConvolution(3)},
            "`feed_forward_convolution` must be None without `feed_forward`. Received: .*Short",
        ),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, message):
    parts = {"attention": MultiHeadAttention(6, 3), "feed_forward": FeedForward(6, 10)}
    with pytest.raises(ValueError, match=message):
        TransformerEncoderLayer(**{**parts, **arguments})


@pytest.mark.parametrize(
    "part",
    ["attention", "feed_forward", "attention_convolution", "feed_forward_convolution"],
)
def test_a_part_of_another_precision_is_refused(part):
    policies = {part: "bfloat16"}
    layer = TransformerEncoderLayer(
        MultiHeadAttention(6, 3, dtype=policies.get("attention")),
        FeedForward(6, 10, dtype=policies.get("feed_forward")),
        **{
            name: ShortConvolution(dtype=policies.get(name))
            for name in ("attention_convolution", "feed_forward_convolution")
        },
    )
    with pytest.raises(ValueError, match=f"`{part}` must .* Received: 'bfloat16' in a layer with"):
        layer.build((2, 4, 6))


def normalize(x, scale, shift):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * scale + shift


def test_each_sub_layer_is_added_and_then_normalized():
    layer = make()
    x = floats(2, 4, 6)
    layer.build(x.shape)
    randomize(layer)
    outputs, scores = layer(x, padding_mask=PADDING, attention_mask=causal_mask(4))

    attended, expected_scores = layer.attention(
        x, x, padding_mask=PADDING, attention_mask=causal_mask(4)
    )
    x = normalize(x + to_numpy(attended), *weights_of(layer.attention_norm))
    x = normalize(x + to_numpy(layer.feed_forward(x)), *weights_of(layer.feed_forward_norm))
    np.testing.assert_allclose(to_numpy(outputs), x, atol=1e-5)
    np.testing.assert_array_equal(to_numpy(scores), to_numpy(expected_scores))


def test_with_norm_first_each_sub_layer_reads_normalized_inputs_and_is_added_to_raw_ones():
    layer = make(norm_first=True)
    inputs = floats(2, 4, 6)
    layer.build(inputs.shape)
    randomize(layer)
    x = normalize(inputs, *weights_of(layer.attention_norm))
    residual = inputs + to_numpy(layer.attention(x, x)[0])
    x = normalize(residual, *weights_of(layer.feed_forward_norm))
    expected = residual + to_numpy(layer.feed_forward(x))
    np.testing.assert_allclose(to_numpy(layer(inputs)[0]), expected, atol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_convolutions_change_what_the_sub_layers_read_and_not_the_residual(norm_first):
    layer = make(
        norm_first=norm_first,
        attention_convolution=ShortConvolution(2),
        feed_forward_convolution=ShortConvolution(3),
    )
    inputs = floats(2, 4, 6)
    layer.build(inputs.shape)
    randomize(layer)

    def sub_layer(name, residual, function):
        norm = weights_of(getattr(layer, f"{name}_norm"))
        x = normalize(residual, *norm) if norm_first else residual
        x = residual + to_numpy(function(getattr(layer, f"{name}_convolution")(x)))
        return x if norm_first else normalize(x, *norm)

    attended = sub_layer("attention", inputs, lambda x: layer.attention(x, x)[0])
    expected = sub_layer("feed_forward", attended, layer.feed_forward)
    np.testing.assert_allclose(to_numpy(layer(inputs)[0]), expected, atol=1e-5)


def test_with_outputs_that_start_at_0_a_fresh_layer_changes_nothing():
    layer = make(output_scale=0, norm_first=True)
    np.testing.assert_array_equal(to_numpy(layer(floats(2, 4, 6))[0]), floats(2, 4, 6))


def test_the_root_mean_square_takes_no_mean_off():
    layer = make(output_scale=0, rms_norm=True)
    x = floats(2, 4, 6) + 3
    expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True))
    np.testing.assert_allclose(to_numpy(layer(x)[0]), expected, rtol=1e-4)


def test_what_a_position_holds_does_not_matter_where_it_is_masked():
    layer = make()
    x = floats(2, 4, 6)
    outputs, scores = layer(x, padding_mask=PADDING)
    changed = np.where(PADDING[..., None], x, 100 * floats(2, 4, 6, seed=5))
    changed_outputs, _ = layer(changed, padding_mask=PADDING)
    np.testing.assert_array_equal(to_numpy(outputs)[PADDING], to_numpy(changed_outputs)[PADDING])
    hidden = np.broadcast_to(~PADDING[:, None, None], scores.shape)
    assert (to_numpy(scores)[hidden] == 0).all()


def test_with_a_causal_mask_the_future_does_not_change_the_past():
    layer = make()
    x = floats(2, 4, 6)
    changed = np.concatenate([x[:, :2], 100 * floats(2, 2, 6, seed=5)], axis=1)
    outputs = [to_numpy(layer(y, attention_mask=causal_mask(4))[0]) for y in (x, changed)]
    np.testing.assert_array_equal(outputs[0][:, :2], outputs[1][:, :2])
    assert np.abs(outputs[0][:, 2:] - outputs[1][:, 2:]).max() > 0.1


def test_without_positions_the_order_of_the_inputs_does_not_matter():
    layer = make()
    x = floats(2, 4, 6)
    order = [2, 0, 3, 1]
    outputs, _ = layer(x)
    shuffled, _ = layer(x[:, order])
    np.testing.assert_allclose(to_numpy(shuffled), to_numpy(outputs)[:, order], atol=1e-5)


@pytest.mark.parametrize("part", ["attention_dropout", "feed_forward_dropout"])
def test_each_sub_layer_is_dropped_in_training_only_and_anew_each_time(part):
    layer = make(dropout=0.5)
    for other in {"attention_dropout", "feed_forward_dropout"} - {part}:
        getattr(layer, other).rate = 0
    x = floats(2, 4, 6)
    calm = [to_numpy(layer(x, training=training)[0]) for training in (False, False, None)]
    np.testing.assert_array_equal(calm[0], calm[1])
    np.testing.assert_array_equal(calm[0], calm[2])
    first, second = (to_numpy(layer(x, training=True)[0]) for _ in range(2))
    assert np.abs(first - calm[0]).max() > 0.01
    assert np.abs(first - second).max() > 0.01


def test_the_two_dropouts_draw_different_masks():
    layer = make(dropout=0.5)
    ones = np.ones((4, 5, 6), "float32")
    masks = [
        to_numpy(dropout(ones, training=True))
        for dropout in (layer.attention_dropout, layer.feed_forward_dropout)
    ]
    assert (masks[0] != masks[1]).any()


CONVOLUTIONS = ("attention_convolution", "feed_forward_convolution")


@pytest.mark.parametrize("lengths", [(1, 1, 1, 1), (3, 1)], ids=str)
@pytest.mark.parametrize("convolutions", [(), CONVOLUTIONS[:1], CONVOLUTIONS[1:], CONVOLUTIONS])
@pytest.mark.parametrize("norm_first", [False, True])
def test_with_a_cache_a_text_is_read_in_pieces_as_if_at_once(norm_first, convolutions, lengths):
    layer = make(norm_first=norm_first, **{name: ShortConvolution(3) for name in convolutions})
    x = floats(2, 4, 6)
    layer.build(x.shape)
    randomize(layer)
    expected = to_numpy(layer(x, attention_mask=causal_mask(4))[0])
    # A longer text, whose tokens lie in the cache at first, must not shine through.
    cache = layer.empty_cache(batch_size=2, length=5)
    layer(floats(2, 5, 6, seed=7), attention_mask=causal_mask(5), cache=cache)
    cache.inputs = layer.empty_cache(batch_size=2, length=5).inputs  # what lies before the text
    for length in lengths:
        mask = causal_mask(length, 5, cache.start)
        new = x[:, cache.start : cache.start + length]
        outputs, _ = layer(new, attention_mask=mask, cache=cache)
        wanted = expected[:, cache.start : cache.start + length]
        np.testing.assert_allclose(to_numpy(outputs), wanted, atol=1e-5)
        cache.start += length
