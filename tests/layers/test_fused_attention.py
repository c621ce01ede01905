"""Attention that stores no scores, beside the one that does, and when which one is used."""

import numpy as np
import pytest
from keras import ops

from layers import ALiBi, MultiHeadAttention, RotaryEmbedding, causal_mask
from layers.fused_attention import fused_causal_attention
from tests.layers.layer_checks import floats, gradient, randomize, to_numpy


@pytest.fixture
def fused_calls(monkeypatch):
    """As on a GPU: a list that gets an entry whenever the fused kernel is asked for."""
    calls = []

    def attend(*inputs):
        calls.append(inputs)
        return fused_causal_attention(*inputs)

    monkeypatch.setattr("layers.attention.has_fused_attention", lambda dtype: True)
    monkeypatch.setattr("layers.attention.fused_causal_attention", attend)
    return calls


FUSED = {
    "all heads": {"num_heads": 2},
    "shared keys and values": {"num_heads": 4, "num_kv_heads": 2, "qk_norm": True},
    "dropout that rests": {"num_heads": 2, "dropout": 0.5},
}


@pytest.mark.parametrize("arguments", FUSED.values(), ids=FUSED)
def test_attention_without_stored_scores_is_the_same(arguments, fused_calls):
    layer = MultiHeadAttention(8, **arguments, rotary=RotaryEmbedding(name="rotary"))
    x, mask = floats(2, 5, 8), causal_mask(5)
    layer.build(x.shape, x.shape)
    randomize(layer)
    expected, expected_scores = layer(x, x, attention_mask=mask)

    def change(**known):
        """The gradient for the inputs of a sum that is not the same for all outputs."""
        return gradient(lambda x: ops.sum(layer(x, x, attention_mask=mask, **known)[0] ** 2), x)

    expected_gradient = change()
    assert not fused_calls
    outputs, scores = layer(x, x, attention_mask=mask, is_causal=True)
    assert len(fused_calls) == 1
    np.testing.assert_allclose(to_numpy(outputs), to_numpy(expected), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(to_numpy(scores), to_numpy(expected_scores))
    tolerance = 1e-6 * np.abs(expected_gradient).max()
    np.testing.assert_allclose(change(is_causal=True), expected_gradient, rtol=0, atol=tolerance)


UNFUSED = {
    "padding": ({}, {"padding_mask": np.ones((1, 3), bool)}),
    "ALiBi": ({"position_bias": lambda: ALiBi(2)}, {}),
    "softmax-plus-one": ({"softmax_plus_one": True}, {}),
    "dropout": ({"dropout": 0.5}, {"training": True}),
}


@pytest.mark.parametrize(("arguments", "call"), UNFUSED.values(), ids=UNFUSED)
def test_what_the_fused_kernel_can_not_do_is_done_with_the_scores(arguments, call, fused_calls):
    arguments = {name: made() if callable(made) else made for name, made in arguments.items()}
    layer = MultiHeadAttention(8, num_heads=2, **arguments)
    x = floats(1, 3, 8)
    layer(x, x, attention_mask=causal_mask(3), is_causal=True, **call)
    assert not fused_calls


def test_a_cache_is_attended_to_with_the_scores(fused_calls):
    layer = MultiHeadAttention(8, num_heads=2)
    x = floats(1, 3, 8)
    layer.build(x.shape, x.shape)
    mask = causal_mask(3, key_length=6)
    layer(x, x, attention_mask=mask, cache=layer.empty_cache(1, 6), is_causal=True)
    assert not fused_calls
