"""Multi-head attention."""

import keras
import numpy as np
import pytest
from keras import ops

from layers import (
    ALiBi,
    MultiHeadAttention,
    RotaryEmbedding,
    causal_mask,
)
from tests.layers.layer_checks import (
    Case,
    LayerChecks,
    floats,
    randomize,
    to_numpy,
    weights_of,
)
from tests.layers.test_scaled_dot_product_attention import oracle

PADDING = np.array([[True, True, True, False, False], [True, False, True, True, True]])


# The key's bias adds the same number to all of a query's attention logits, and the softmax takes
# it out again: nothing depends on it.
class TestMultiHeadAttention(LayerChecks):
    case = Case(
        MultiHeadAttention,
        arguments={"d_model": 6, "num_heads": 3, "dropout": 0.25},
        inputs={
            "query": floats(2, 4, 3),
            "value": floats(2, 5, 4, seed=1),
            "padding_mask": PADDING,
        },
        output_shapes=[("B", "T", 6), ("B", 3, "T", "S")],
        num_weights=8,
        idle_weights=("key/bias",),
        is_variant=True,
    )


class TestMultiHeadAttentionWithAllOptions(LayerChecks):
    case = Case(
        MultiHeadAttention,
        arguments={
            "d_model": 12,
            "num_heads": 6,
            "dropout": 0.25,
            "num_kv_heads": 3,
            "qk_norm": True,
            "softmax_plus_one": True,
            "use_bias": False,
            "output_scale": 0.5,
        },
        parts={
            "rotary": lambda dtype: RotaryEmbedding(100, dtype=dtype),
            "position_bias": lambda dtype: ALiBi(6, dtype=dtype),
        },
        inputs={
            "query": floats(2, 4, 3),
            "value": floats(2, 5, 4, seed=1),
            "padding_mask": PADDING,
        },
        output_shapes=[("B", "T", 12), ("B", 6, "T", "S")],
        num_weights=6,
    )


class TestMultiHeadAttentionWithAKeyOfItsOwn(LayerChecks):
    case = Case(
        MultiHeadAttention,
        arguments={"d_model": 6, "num_heads": 3, "dropout": 0.5},
        inputs={
            "query": floats(2, 4, 3),
            "value": floats(2, 5, 4, seed=1),
            "key": floats(2, 5, 7, seed=2),
        },
        output_shapes=[("B", "T", 6), ("B", 3, "T", "S")],
        num_weights=8,
        idle_weights=("key/bias",),
        is_variant=True,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_model": 0}, "`d_model` must be a positive integer. Received: d_model=0"),
        ({"num_heads": 1.5}, r"`num_heads` must be a positive integer. Received: num_heads=1\.5"),
        (
            {"num_heads": 4},
            "`d_model` must be divisible by `num_heads`. Received: num_heads=4, d_model=6",
        ),
        (
            {"num_kv_heads": 2},
            "must be divisible by `num_kv_heads`. Received: num_kv_heads=2, num_heads=3",
        ),
        ({"output_scale": -1}, "`output_scale` must be at least 0. Received: output_scale=-1"),
        ({"dropout": 1.0}, r"`dropout` must be at least 0 and below 1. Received: dropout=1\.0"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadAttention(**{"d_model": 6, "num_heads": 3, **arguments})


def test_one_token_attends_to_itself_without_a_warning():
    outputs, scores = MultiHeadAttention(4, 2)(floats(1, 1, 4), floats(1, 1, 4))
    assert to_numpy(scores).tolist() == [[[[1.0]], [[1.0]]]]
    assert np.isfinite(to_numpy(outputs)).all()


def pair_with_keras(layer, query, value, key=None):
    """Keras's own layer with the weights of `layer`, which get random values."""
    shapes = [x.shape for x in (query, value, key) if x is not None]
    layer.build(*shapes)
    randomize(layer)
    reference = keras.layers.MultiHeadAttention(
        layer.num_heads, layer.head_dim, output_shape=layer.d_model
    )
    reference.build(query.shape, value.shape, None if key is None else key.shape)
    parts = ("query", "key", "value", "output")
    assert [w.path.split("/")[-2] for w in layer.weights] == [p for p in parts for _ in range(2)]
    for weight, ours in zip(reference.weights, weights_of(layer), strict=True):
        weight.assign(ours.reshape(weight.shape))  # (D, N, H); of the output (N, H, D)
    return reference


@pytest.mark.parametrize("masks", ["none", "padding", "attention", "both", "rank 4"])
@pytest.mark.parametrize("kind", ["self", "cross", "cross with key"])
def test_it_agrees_with_the_layer_of_keras(kind, masks):
    query = floats(2, 5, 8)
    value = query if kind == "self" else floats(2, 7, 6, seed=1)
    key = floats(2, 7, 6, seed=2) if kind == "cross with key" else None
    length = value.shape[1]
    padding_mask = np.arange(length) < np.array([[length], [length - 2]])
    attention_mask = np.tril(np.ones((5, length), bool), k=1)
    if masks == "rank 4":
        attention_mask = attention_mask & (np.random.default_rng(4).random((2, 4, 5, length)) < 0.7)
        attention_mask[..., 0] = True
    ours = {}
    mask = np.ones((2, 1, 5, length), bool)
    if masks in ("padding", "both", "rank 4"):
        ours["padding_mask"] = padding_mask
        mask = mask & padding_mask[:, None, None, :]
    if masks in ("attention", "both", "rank 4"):
        ours["attention_mask"] = attention_mask
        mask = mask & attention_mask

    layer = MultiHeadAttention(d_model=12, num_heads=4)
    reference = pair_with_keras(layer, query, value, key)
    outputs, scores = layer(query, value, key, **ours)
    expected_outputs, expected_scores = reference(
        query, value, key, attention_mask=mask, return_attention_scores=True
    )
    np.testing.assert_allclose(to_numpy(outputs), to_numpy(expected_outputs), atol=1e-5)
    np.testing.assert_allclose(to_numpy(scores), to_numpy(expected_scores), atol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_padding_and_attention_masks_hide_keys_together(policy):
    layer = MultiHeadAttention(d_model=6, num_heads=3, dtype=policy)
    x = floats(2, 5, 6)
    _, scores = layer(x, x, padding_mask=PADDING, attention_mask=causal_mask(5))
    seen = np.broadcast_to(PADDING[:, None, None] & np.tril(np.ones((5, 5), bool)), scores.shape)
    assert (to_numpy(scores)[~seen] == 0).all()
    assert (to_numpy(scores)[seen] > 0).all()
    tolerance = 1e-6 if policy == "float32" else 0.01
    np.testing.assert_allclose(to_numpy(scores).sum(axis=-1), 1, atol=tolerance)


def test_a_query_that_sees_nothing_gives_the_bias_of_the_output_alone():
    layer = MultiHeadAttention(d_model=6, num_heads=3)
    x = floats(2, 5, 6)
    layer.build(x.shape, x.shape)
    randomize(layer)
    outputs, scores = layer(x, x, padding_mask=np.array([[True] * 5, [False] * 5]))
    bias = weights_of(layer)[-1]
    assert not to_numpy(scores)[1].any()
    np.testing.assert_allclose(to_numpy(outputs)[1], np.tile(bias, (5, 1)), rtol=1e-6)


def test_masks_of_the_wrong_rank_are_refused():
    layer = MultiHeadAttention(d_model=6, num_heads=3)
    x = floats(2, 5, 6)
    with pytest.raises(ValueError, match=r"`attention_mask` must .*Received: shape=\(2, 5, 5\)"):
        layer(x, x, attention_mask=np.ones((2, 5, 5), bool))
    with pytest.raises(ValueError, match=r"`padding_mask` must .*Received: shape=\(2, 1, 5\)"):
        layer(x, x, padding_mask=np.ones((2, 1, 5), bool))


def test_masks_may_be_symbolic_inputs():
    layer = MultiHeadAttention(d_model=6, num_heads=3)
    x = floats(2, 5, 6)
    symbols = [
        keras.Input((None, 6)),
        keras.Input((None,), dtype="bool"),
        keras.Input((None, None, None), dtype="bool"),
    ]
    outputs = layer(symbols[0], symbols[0], padding_mask=symbols[1], attention_mask=symbols[2])
    mask = np.broadcast_to(np.tril(np.ones((5, 5), bool)), (2, 3, 5, 5))
    compiled = keras.Model(symbols, list(outputs)).predict_on_batch([x, PADDING, mask])
    eager = layer(x, x, padding_mask=PADDING, attention_mask=mask)
    for one, other in zip(compiled, eager, strict=True):
        np.testing.assert_allclose(one, to_numpy(other), atol=1e-6)


def test_fresh_kernels_differ_from_each_other():
    layer = MultiHeadAttention(d_model=6, num_heads=3)
    layer.build((1, 2, 6), (1, 2, 6))
    kernels = [weight for weight in weights_of(layer) if weight.ndim == 2]
    assert len(kernels) == 4
    for number, kernel in enumerate(kernels):
        for other in kernels[:number]:
            assert np.abs(kernel - other).max() > 0.01


def test_scores_are_dropped_in_training_only_and_anew_each_time():
    layer = MultiHeadAttention(d_model=6, num_heads=3, dropout=0.5)
    x = floats(2, 5, 6)
    calm = [to_numpy(layer(x, x, training=training)[0]) for training in (False, False, None)]
    np.testing.assert_array_equal(calm[0], calm[1])
    np.testing.assert_array_equal(calm[0], calm[2])
    first, second = (to_numpy(layer(x, x, training=True)[0]) for _ in range(2))
    assert np.abs(first - calm[0]).max() > 0.01
    assert np.abs(first - second).max() > 0.01


def test_the_scores_that_come_back_are_those_before_dropout():
    layer = MultiHeadAttention(d_model=6, num_heads=3, dropout=0.9)
    x = floats(2, 5, 6)
    calm, dropped = (to_numpy(layer(x, x, training=training)[1]) for training in (False, True))
    np.testing.assert_array_equal(calm, dropped)


def test_dropout_takes_its_share_of_the_scores_and_keeps_their_mean():
    layer = MultiHeadAttention(d_model=4, num_heads=2, dropout=0.25)
    x = np.zeros((20, 30, 4), "float32")
    layer.build(x.shape, x.shape)
    randomize(layer)
    *_, value_bias, output_kernel, output_bias = weights_of(layer)
    calm = value_bias @ output_kernel + output_bias
    outputs = to_numpy(layer(x, x, training=True)[0])
    np.testing.assert_allclose(outputs.mean(axis=(0, 1)), calm, atol=0.03)
    # Equal scores of 30 keys: each kept with probability 3/4 and then worth 4/3.
    kept = ((outputs - output_bias) @ np.linalg.inv(output_kernel)) / value_bias * 30 * 0.75
    np.testing.assert_allclose(kept, kept.round(), atol=0.02)
    assert abs(kept.mean() / 30 - 0.75) < 0.02


@pytest.mark.parametrize("num_kv_heads", [1, 2])
def test_shared_keys_and_values_are_those_of_full_attention_with_repeated_heads(num_kv_heads):
    x = floats(2, 5, 8)
    shared = MultiHeadAttention(d_model=8, num_heads=4, num_kv_heads=num_kv_heads)
    shared.build(x.shape, x.shape)
    randomize(shared)
    full = MultiHeadAttention(d_model=8, num_heads=4)
    full.build(x.shape, x.shape)

    def repeat_heads(weight):  # (..., N_kv H) to (..., N H)
        heads = weight.reshape(*weight.shape[:-1], num_kv_heads, 2)
        return heads.repeat(4 // num_kv_heads, axis=-2).reshape(*weight.shape[:-1], 8)

    for part in ("query", "key", "value", "output"):
        weights = weights_of(getattr(shared, f"{part}_projection"))
        if part in ("key", "value"):
            weights = [repeat_heads(weight) for weight in weights]
        getattr(full, f"{part}_projection").set_weights(weights)
    for ours, expected in zip(shared(x, x), full(x, x), strict=True):
        np.testing.assert_allclose(to_numpy(ours), to_numpy(expected), atol=1e-6)


def test_fewer_heads_of_keys_and_values_make_smaller_kernels():
    layer = MultiHeadAttention(d_model=12, num_heads=6, num_kv_heads=2)
    layer.build((None, None, 12), (None, None, 12))
    assert layer.key_projection.kernel.shape == layer.value_projection.kernel.shape == (12, 4)


def test_rotary_queries_and_keys_are_turned_and_values_are_not():
    x = floats(2, 5, 8)
    layer = MultiHeadAttention(d_model=8, num_heads=2, rotary=RotaryEmbedding(100))
    layer.build(x.shape, x.shape)
    randomize(layer)
    split = layer._split_heads
    query, key, value = (
        split(project(x))
        for project in (layer.query_projection, layer.key_projection, layer.value_projection)
    )
    expected = oracle(*map(to_numpy, (layer.rotary(query), layer.rotary(key), value)))
    _, scores = layer(x, x)
    np.testing.assert_allclose(to_numpy(scores), expected[1], atol=1e-5)


@pytest.mark.parametrize("mask", [None, "causal"])
def test_alibi_is_added_to_the_attention_logits(mask):
    x = np.ones((1, 5, 8), "float32")  # every query likes every key alike: only distance counts
    layer = MultiHeadAttention(d_model=8, num_heads=2, position_bias=ALiBi(2))
    causal = np.tril(np.ones((5, 5), bool))
    _, scores = layer(x, x, attention_mask=causal if mask else None)
    distances = np.abs(np.arange(5)[:, None] - np.arange(5))
    slopes = np.array([2**-4, 2**-8])[:, None, None]
    weights = np.exp(-slopes * distances) * (causal if mask else 1)
    expected = weights / weights.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(to_numpy(scores)[0], expected, atol=1e-6)


def test_normalized_queries_and_keys_do_not_notice_the_size_of_their_inputs():
    layer = MultiHeadAttention(d_model=8, num_heads=2, qk_norm=True, use_bias=False)
    x = floats(2, 5, 8)
    _, scores = layer(x, x)
    _, larger = layer(1000 * x, 1000 * x)
    np.testing.assert_allclose(to_numpy(scores), to_numpy(larger), atol=1e-3)
    query = to_numpy(layer.query_norm(layer._split_heads(layer.query_projection(x))))
    np.testing.assert_allclose((query**2).mean(axis=-1), 1, rtol=1e-3)


@pytest.mark.parametrize("scale", [0, 0.5, 1])
def test_the_output_projection_starts_at_its_scale(scale):
    layer = MultiHeadAttention(d_model=64, num_heads=2, output_scale=scale)
    layer.build((None, None, 64), (None, None, 64))
    reach = np.abs(weights_of(layer.output_projection)[0]).max()
    assert reach == pytest.approx(scale * np.sqrt(6 / 128), rel=0.02)
    assert np.abs(weights_of(layer.query_projection)[0]).max() == pytest.approx(
        np.sqrt(6 / 128), rel=0.02
    )


# Parts of one's own


class DistanceBias(keras.layers.Layer):
    """A learned bias for each head and distance, as a user would write it."""

    def __init__(self, num_heads, longest, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.longest = num_heads, longest

    def build(self, logits_shape):
        assert tuple(logits_shape)[1] == self.num_heads
        shape = (2 * self.longest + 1, self.num_heads)
        self.table = self.add_weight(shape=shape, initializer="random_normal", name="table")

    def call(self, query_length, key_length, start=0):
        queries = start + ops.arange(query_length)
        distances = queries[:, None] - ops.arange(key_length)[None, :]  # (T, S)
        rows = ops.clip(distances, -self.longest, self.longest) + self.longest
        return ops.transpose(ops.take(self.table, rows, axis=0), (2, 0, 1))  # (N, T, S)

    def get_config(self):
        own = {"num_heads": self.num_heads, "longest": self.longest}
        return {**super().get_config(), **own}


def test_a_bias_of_ones_own_is_learned_saved_and_cached(tmp_path):
    x = floats(3, 5, 8)
    inputs = keras.Input((None, 8))
    layer = MultiHeadAttention(8, 4, position_bias=DistanceBias(4, longest=2, name="distance"))
    outputs, scores = layer(inputs, inputs)
    model = keras.Model(inputs, [outputs, scores])
    assert model.trainable_variables[-1].path.endswith("/distance/table")
    model.compile("adam", ["mse", None])
    table = layer.position_bias.table
    before = to_numpy(table).copy()
    model.fit(x, [floats(3, 5, 8), np.zeros((3, 4, 5, 5))], verbose=0)
    assert np.abs(to_numpy(table) - before).max() > 1e-5

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(
        tmp_path / "model.keras", custom_objects={"DistanceBias": DistanceBias}
    )
    for ours, expected in zip(again(x), model(x), strict=True):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(expected))

    cache = layer.empty_cache(batch_size=3, length=5)
    expected = to_numpy(layer(x, x, attention_mask=causal_mask(5))[0])
    for cache.start in range(5):
        token = x[:, cache.start : cache.start + 1]
        mask = causal_mask(1, 5, cache.start)
        outputs = to_numpy(layer(token, token, attention_mask=mask, cache=cache)[0])
        np.testing.assert_allclose(outputs[:, 0], expected[:, cache.start], atol=1e-5)


def test_a_part_of_another_precision_is_refused():
    layer = MultiHeadAttention(8, 4, rotary=RotaryEmbedding(), dtype="mixed_bfloat16")
    with pytest.raises(
        ValueError, match=r"`rotary` must .* Received: 'float32' in a layer with 'mixed_bfloat16'"
    ):
        layer.build((1, 5, 8), (1, 5, 8))


def test_a_part_with_weights_is_refused_in_a_second_layer():
    bias = DistanceBias(4, longest=2, name="distance")
    MultiHeadAttention(8, 4, position_bias=bias).build((1, 5, 8), (1, 5, 8))
    with pytest.raises(ValueError, match=r"must be made of new parts.* Received: .*'distance'"):
        MultiHeadAttention(8, 4, position_bias=bias).build((1, 5, 8), (1, 5, 8))


# Keys and values that are kept

CACHED = {
    "plain": {},
    "rotary": {"rotary": RotaryEmbedding(20.0), "qk_norm": True, "use_bias": False},
    "alibi": {"position_bias": ALiBi(4)},
    "shared and rotary": {"num_kv_heads": 2, "rotary": RotaryEmbedding(20.0)},
    "shared and alibi": {"num_kv_heads": 1, "position_bias": ALiBi(4)},
}


@pytest.mark.parametrize("lengths", [(5,), (1, 1, 1, 1, 1), (3, 1, 1), (1, 4)], ids=str)
@pytest.mark.parametrize("arguments", CACHED.values(), ids=CACHED)
def test_with_a_cache_a_text_is_read_in_any_pieces_as_if_at_once(arguments, lengths):
    layer = MultiHeadAttention(d_model=8, num_heads=4, **arguments)
    x = floats(3, 5, 8)
    layer.build(x.shape, x.shape)
    randomize(layer)
    expected = to_numpy(layer(x, x, attention_mask=causal_mask(5))[0])
    # What is left of another text lies in the cache, and there is room for 2 tokens more.
    cache = layer.empty_cache(batch_size=3, length=7)
    cache.keys, cache.values = (floats(*x.shape, seed=5) for x in (cache.keys, cache.values))
    pieces = []
    for length in lengths:
        new = x[:, cache.start : cache.start + length]
        mask = causal_mask(length, 7, cache.start)
        pieces.append(to_numpy(layer(new, new, attention_mask=mask, cache=cache)[0]))
        cache.start += length
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, atol=1e-5)


@pytest.mark.parametrize(("num_kv_heads", "size"), [(None, 1024), (2, 512), (1, 256)])
def test_fewer_heads_of_keys_and_values_make_a_smaller_cache(num_kv_heads, size):
    layer = MultiHeadAttention(16, num_heads=4, num_kv_heads=num_kv_heads, dtype="mixed_bfloat16")
    cache = layer.empty_cache(batch_size=2, length=32)
    assert cache.length == 32
    for kept in (cache.keys, cache.values):
        assert int(np.prod(kept.shape)) == size
        assert keras.backend.standardize_dtype(kept.dtype) == "bfloat16"
