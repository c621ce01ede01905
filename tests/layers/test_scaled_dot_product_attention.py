"""Scaled dot-product attention, beside the equation one query after the other."""

import keras
import numpy as np
import pytest
from keras import ops

from layers import scaled_dot_product_attention
from tests.layers.layer_checks import floats, gradient, to_numpy


def softmax(x):
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def oracle(query, key, value, mask=None):
    """Attention in float64, one query after the other."""
    scores = np.zeros((*query.shape[:-1], key.shape[-2]))
    for index in np.ndindex(query.shape[:-1]):
        seen = np.ones(key.shape[-2], bool) if mask is None else mask[index]
        logits = key[index[:-1]].astype("float64") @ query[index] / np.sqrt(query.shape[-1])
        if seen.any():
            scores[index][seen] = softmax(logits[seen])
    return scores @ value, scores


MASKS = {
    "none": None,
    "causal": np.broadcast_to(np.tril(np.ones((4, 5), bool)), (2, 3, 4, 5)),
    "random": np.random.default_rng(3).random((2, 3, 4, 5)) < 0.4,
    "empty": np.zeros((2, 3, 4, 5), bool),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_attention_is_the_equation(mask):
    query, key, value = floats(2, 3, 4, 6), floats(2, 3, 5, 6, seed=1), floats(2, 3, 5, 7, seed=2)
    outputs, scores = scaled_dot_product_attention(query, key, value, mask)
    expected_outputs, expected_scores = oracle(query, key, value, mask)
    np.testing.assert_allclose(to_numpy(outputs), expected_outputs, atol=1e-5)
    np.testing.assert_allclose(to_numpy(scores), expected_scores, atol=1e-6)


def test_attention_needs_no_batch_and_no_heads():
    query, key, value = floats(4, 6), floats(5, 6, seed=1), floats(5, 7, seed=2)
    outputs, scores = scaled_dot_product_attention(query, key, value)
    expected_outputs, expected_scores = oracle(query, key, value)
    np.testing.assert_allclose(to_numpy(outputs), expected_outputs, atol=1e-5)
    np.testing.assert_allclose(to_numpy(scores), expected_scores, atol=1e-6)


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
@pytest.mark.parametrize(
    ("dtype", "precision"), [("float32", 1e-6), ("bfloat16", 0.01), ("float16", 0.001)]
)
def test_masked_keys_get_exactly_0_and_the_other_scores_sum_to_1(dtype, precision, size):
    mask = MASKS["random"] | (np.arange(5) == 2)
    query = ops.cast(floats(2, 3, 4, 6) * size**0.5, dtype)
    key = ops.cast(floats(2, 3, 5, 6, seed=1) * size**0.5, dtype)
    outputs, scores = scaled_dot_product_attention(query, key, key, mask)
    assert keras.backend.standardize_dtype(scores.dtype) == dtype
    assert (to_numpy(scores)[~mask] == 0).all()
    np.testing.assert_allclose(to_numpy(scores).sum(axis=-1), 1, atol=precision)
    assert np.isfinite(to_numpy(outputs)).all()


@pytest.mark.parametrize("part", ["query", "key", "value"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_row_that_sees_nothing_is_zero_with_finite_gradients(dtype, part):
    mask = np.random.default_rng(3).random((2, 3, 4, 4)) < 0.5
    mask[1, :, 2] = False
    arrays = {"query": floats(2, 3, 4, 6), "key": floats(2, 3, 4, 6, seed=1)}
    arrays["value"] = floats(2, 3, 4, 6, seed=2)

    def attend(x):
        inputs = {name: ops.cast(array, dtype) for name, array in {**arrays, part: x}.items()}
        return scaled_dot_product_attention(**inputs, mask=mask)

    outputs, scores = attend(arrays[part])
    assert not to_numpy(scores)[1, :, 2].any()
    assert not to_numpy(outputs)[1, :, 2].any()
    slope = gradient(lambda x: ops.sum(ops.square(ops.cast(attend(x)[0], "float32"))), arrays[part])
    assert np.isfinite(slope).all()
    assert slope.any()
    if part == "query":
        assert not slope[1, :, 2].any()


@pytest.mark.parametrize("softmax_plus_one", [False, True])
def test_the_gradient_is_that_of_a_softmax(softmax_plus_one):
    query, key, value = floats(2, 3, 4, 6), floats(2, 3, 5, 6, seed=1), floats(2, 3, 5, 7, seed=2)
    mask = MASKS["random"] | (np.arange(5) == 2)

    def reference(x):
        logits = ops.where(mask, ops.matmul(x, np.swapaxes(key, -1, -2)) / 6**0.5, -1e9)
        if softmax_plus_one:
            logits = ops.concatenate([logits, ops.zeros((2, 3, 4, 1))], axis=-1)
        return ops.matmul(ops.softmax(logits)[..., :5], value)

    def attend(x):
        return scaled_dot_product_attention(x, key, value, mask, softmax_plus_one=softmax_plus_one)[
            0
        ]

    found, expected = (
        gradient(lambda x, of=of: ops.sum(ops.square(of(x))), query) for of in (attend, reference)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(expected).max() > 0.1


def test_the_softmax_is_as_exact_in_bfloat16_as_in_float32():
    key = np.eye(600, dtype="float32")
    query = ops.cast(np.zeros((1, 600)), "bfloat16")
    _, scores = scaled_dot_product_attention(query, ops.cast(key, "bfloat16"), key)
    np.testing.assert_allclose(to_numpy(scores), 1 / 600, rtol=1e-6)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_softmax_plus_one_is_a_softmax_with_a_key_of_logit_0_that_is_worth_nothing(mask):
    query, key, value = floats(2, 3, 4, 6), floats(2, 3, 5, 6, seed=1), floats(2, 3, 5, 7, seed=2)
    outputs, scores = scaled_dot_product_attention(query, key, value, mask, softmax_plus_one=True)
    no_key, no_value = np.zeros((2, 3, 1, 6), "float32"), np.zeros((2, 3, 1, 7), "float32")
    if mask is not None:
        mask = np.concatenate([mask, np.ones((2, 3, 4, 1), bool)], axis=-1)
    expected_outputs, expected_scores = oracle(
        query, np.concatenate([key, no_key], 2), np.concatenate([value, no_value], 2), mask
    )
    np.testing.assert_allclose(to_numpy(outputs), expected_outputs, atol=1e-5)
    np.testing.assert_allclose(to_numpy(scores), expected_scores[..., :-1], atol=1e-6)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_softmax_plus_one_is_finite_and_so_is_its_gradient(size):
    x = size * floats(1, 2, 4, 6)
    mask = np.tril(np.ones((4, 4), bool), k=-1)  # the first row sees nothing

    def attend(x):
        return scaled_dot_product_attention(x, x, x, mask, softmax_plus_one=True)

    outputs, scores = (to_numpy(tensor) for tensor in attend(ops.convert_to_tensor(x)))
    assert np.isfinite(outputs).all()
    assert not scores[:, :, 0].any()
    assert (scores.sum(axis=-1) <= 1).all()
    assert np.isfinite(gradient(lambda x: ops.sum(ops.square(attend(x)[0])), x)).all()
