"""Causal attention block by block, beside the one that computes all scores."""

import numpy as np
import pytest
from keras import ops

from layers import ALiBi, MultiHeadAttention, RotaryEmbedding, causal_mask
from layers import scaled_dot_product_attention as attend
from layers.causal_blocks import attend_in_blocks, block_bounds
from tests.layers.layer_checks import floats, gradient, randomize, to_numpy

PADDING = np.arange(130) < np.array([[130], [70]])  # (B, S)
CALLS = {
    "all heads": ({"num_heads": 2}, {}),
    "shared keys and values": ({"num_heads": 4, "num_kv_heads": 2, "qk_norm": True}, {}),
    "ALiBi": ({"num_heads": 2, "position_bias": lambda: ALiBi(2)}, {}),
    "softmax-plus-one": ({"num_heads": 2, "softmax_plus_one": True}, {}),
    "padding": ({"num_heads": 2}, {"padding_mask": PADDING}),
    "dropout that rests": ({"num_heads": 2, "dropout": 0.5}, {}),
}


@pytest.mark.parametrize(("arguments", "call"), CALLS.values(), ids=CALLS)
def test_in_blocks_it_is_the_same(arguments, call):
    arguments = {name: made() if callable(made) else made for name, made in arguments.items()}
    layer = MultiHeadAttention(8, **arguments, rotary=RotaryEmbedding(name="rotary"))
    x, mask = floats(2, 130, 8), causal_mask(130)
    layer.build(x.shape, x.shape)
    randomize(layer)

    def read(x, **known):
        return layer(x, x, attention_mask=mask, **call, **known)

    def change(**known):
        """The gradient for the inputs of a sum that is not the same for all outputs."""
        return gradient(lambda x: ops.sum(read(x, **known)[0] ** 2), x)

    expected, expected_scores = map(to_numpy, read(x))
    outputs, scores = map(to_numpy, read(x, is_causal=True))
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=1e-6)
    assert (scores[np.broadcast_to(~np.tri(130, dtype=bool), scores.shape)] == 0).all()
    expected_change = change()
    tolerance = 1e-5 * np.abs(expected_change).max()
    np.testing.assert_allclose(change(is_causal=True), expected_change, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("length", "sizes"),
    [(127, [(127, 127)]), (200, [(66, 66), (67, 133), (67, 200)])],
)
def test_a_block_of_queries_meets_the_keys_up_to_its_end(length, sizes):
    found = []

    def watched(query, key, value, **others):
        found.append((query.shape[2], key.shape[2]))
        return attend(query, key, value, **others)

    x, mask = floats(1, 1, length, 4), np.tri(length, dtype=bool)[None, None]
    attend_in_blocks(watched, x, x, x, mask)
    assert found == sizes


@pytest.mark.parametrize("length", [1, 64, 128, 257, 10_000])
def test_blocks_cover_a_text_and_are_few(length):
    bounds = block_bounds(length)
    assert [n for start, end in bounds for n in range(start, end)] == list(range(length))
    assert len(bounds) == (1 if length < 128 else 2 if length == 128 else 4)


def test_other_masks_are_not_taken_for_causal_ones():
    layer = MultiHeadAttention(8, num_heads=2)
    x = floats(1, 130, 8)
    _, scores = layer(x, x, padding_mask=np.ones((1, 130), bool))
    assert (to_numpy(scores) > 0).all()
