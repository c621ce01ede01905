"""One layer of the Transformer encoder."""

import numpy as np
import pytest

from layers import TransformerEncoderLayer, causal_mask, relu_squared
from tests.layers.layer_checks import Case, LayerChecks, floats, randomize, to_numpy, weights_of

PADDING = np.array([[True, True, True, False], [True, True, False, False]])


class TestTransformerEncoderLayer(LayerChecks):
    case = Case(
        TransformerEncoderLayer,
        arguments={"d_model": 6, "num_heads": 3, "dff": 10, "dropout": 0.25},
        inputs={"inputs": floats(2, 4, 6), "padding_mask": PADDING},
        output_shapes=[("B", "T", 6), ("B", 3, "T", "T")],
        num_weights=16,
        idle_weights=("key/bias",),
        is_variant=True,
    )


class TestTransformerEncoderLayerWithAllOptions(LayerChecks):
    case = Case(
        TransformerEncoderLayer,
        arguments={
            "d_model": 12,
            "num_heads": 6,
            "dff": 10,
            "dropout": 0.25,
            "norm_first": True,
            "rms_norm": True,
            "num_kv_heads": 3,
            "rotary_wavelength": 100,
            "alibi": True,
            "qk_norm": True,
            "activation": relu_squared,
            "gated": True,
            "use_bias": False,
            "output_scale": 0.5,
        },
        inputs={"inputs": floats(2, 4, 12), "padding_mask": PADDING},
        output_shapes=[("B", "T", 12), ("B", 6, "T", "T")],
        num_weights=11,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_model": 0}, "`d_model` must be a positive integer. Received: d_model=0"),
        ({"num_heads": -2}, "`num_heads` must be a positive integer. Received: num_heads=-2"),
        ({"dff": 0}, "`dff` must be a positive integer. Received: dff=0"),
        (
            {"num_heads": 4},
            "`d_model` must be divisible by `num_heads`. Received: num_heads=4, d_model=6",
        ),
        ({"dropout": -0.1}, r"`dropout` must be at least 0 and below 1. Received: dropout=-0\.1"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        TransformerEncoderLayer(**{"d_model": 6, "num_heads": 3, "dff": 10, **arguments})


def normalize(x, scale, shift):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-6) * scale + shift


def test_each_sub_layer_is_added_and_then_normalized():
    layer = TransformerEncoderLayer(d_model=6, num_heads=3, dff=10)
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
    layer = TransformerEncoderLayer(d_model=6, num_heads=3, dff=10, norm_first=True)
    inputs = floats(2, 4, 6)
    layer.build(inputs.shape)
    randomize(layer)
    x = normalize(inputs, *weights_of(layer.attention_norm))
    residual = inputs + to_numpy(layer.attention(x, x)[0])
    x = normalize(residual, *weights_of(layer.feed_forward_norm))
    expected = residual + to_numpy(layer.feed_forward(x))
    np.testing.assert_allclose(to_numpy(layer(inputs)[0]), expected, atol=1e-5)


def test_with_outputs_that_start_at_0_a_fresh_layer_changes_nothing():
    layer = TransformerEncoderLayer(6, 3, 10, norm_first=True, output_scale=0)
    np.testing.assert_array_equal(to_numpy(layer(floats(2, 4, 6))[0]), floats(2, 4, 6))


def test_the_root_mean_square_takes_no_mean_off():
    layer = TransformerEncoderLayer(6, 3, 10, rms_norm=True, output_scale=0)
    x = floats(2, 4, 6) + 3
    expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True))
    np.testing.assert_allclose(to_numpy(layer(x)[0]), expected, rtol=1e-4)


def test_its_parts_get_its_sizes():
    layer = TransformerEncoderLayer(d_model=6, num_heads=3, dff=10, dropout=0.25)
    assert (layer.attention.d_model, layer.attention.num_heads) == (6, 3)
    assert (layer.feed_forward.d_model, layer.feed_forward.dff) == (6, 10)
    assert layer.attention_dropout.rate == layer.feed_forward_dropout.rate == 0.25
    assert layer.attention.dropout == 0


def test_what_a_position_holds_does_not_matter_where_it_is_masked():
    layer = TransformerEncoderLayer(d_model=6, num_heads=3, dff=10)
    x = floats(2, 4, 6)
    outputs, scores = layer(x, padding_mask=PADDING)
    changed = np.where(PADDING[..., None], x, 100 * floats(2, 4, 6, seed=5))
    changed_outputs, _ = layer(changed, padding_mask=PADDING)
    np.testing.assert_array_equal(to_numpy(outputs)[PADDING], to_numpy(changed_outputs)[PADDING])
    hidden = np.broadcast_to(~PADDING[:, None, None], scores.shape)
    assert (to_numpy(scores)[hidden] == 0).all()


def test_with_a_causal_mask_the_future_does_not_change_the_past():
    layer = TransformerEncoderLayer(d_model=6, num_heads=3, dff=10)
    x = floats(2, 4, 6)
    changed = np.concatenate([x[:, :2], 100 * floats(2, 2, 6, seed=5)], axis=1)
    outputs = [to_numpy(layer(y, attention_mask=causal_mask(4))[0]) for y in (x, changed)]
    np.testing.assert_array_equal(outputs[0][:, :2], outputs[1][:, :2])
    assert np.abs(outputs[0][:, 2:] - outputs[1][:, 2:]).max() > 0.1


def test_without_positions_the_order_of_the_inputs_does_not_matter():
    layer = TransformerEncoderLayer(d_model=6, num_heads=3, dff=10)
    x = floats(2, 4, 6)
    order = [2, 0, 3, 1]
    outputs, _ = layer(x)
    shuffled, _ = layer(x[:, order])
    np.testing.assert_allclose(to_numpy(shuffled), to_numpy(outputs)[:, order], atol=1e-5)


@pytest.mark.parametrize("part", ["attention_dropout", "feed_forward_dropout"])
def test_each_sub_layer_is_dropped_in_training_only_and_anew_each_time(part):
    layer = TransformerEncoderLayer(d_model=6, num_heads=3, dff=10, dropout=0.5)
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
    layer = TransformerEncoderLayer(d_model=6, num_heads=3, dff=10, dropout=0.5)
    ones = np.ones((4, 5, 6), "float32")
    masks = [
        to_numpy(dropout(ones, training=True))
        for dropout in (layer.attention_dropout, layer.feed_forward_dropout)
    ]
    assert (masks[0] != masks[1]).any()


@pytest.mark.parametrize("norm_first", [False, True])
def test_with_a_cache_a_text_is_read_token_by_token_as_if_at_once(norm_first):
    layer = TransformerEncoderLayer(d_model=6, num_heads=3, dff=10, norm_first=norm_first)
    x = floats(2, 4, 6)
    layer.build(x.shape)
    randomize(layer)
    expected = to_numpy(layer(x, attention_mask=causal_mask(4))[0])
    cache = layer.attention.empty_cache(batch_size=2, length=4)
    for position in range(4):
        outputs, cache = layer.call_with_cache(x[:, position : position + 1], cache, position)
        np.testing.assert_allclose(to_numpy(outputs)[:, 0], expected[:, position], atol=1e-5)
