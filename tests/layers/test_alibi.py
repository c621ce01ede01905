"""Linear biases."""

import keras
import numpy as np
import pytest

from layers import ALiBi, alibi_slopes
from tests.layers.layer_checks import to_numpy

# What the paper's own rule gives, written down.
SLOPES = {
    1: [2**-8],
    2: [2**-4, 2**-8],
    6: [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3],
    8: [2**-1, 2**-2, 2**-3, 2**-4, 2**-5, 2**-6, 2**-7, 2**-8],
}


@pytest.mark.parametrize("num_heads", SLOPES)
def test_the_slopes_are_those_of_the_paper(num_heads):
    assert alibi_slopes(num_heads) == SLOPES[num_heads]


@pytest.mark.parametrize("start", [0, 3])
def test_the_bias_is_minus_the_distance_times_the_slope(start):
    biases = to_numpy(ALiBi(num_heads=2)(query_length=4, key_length=7, start=start))
    assert biases.shape == (2, 4, 7)
    for head, query, key in np.ndindex(2, 4, 7):
        expected = -SLOPES[2][head] * abs(start + query - key)
        assert biases[head, query, key] == pytest.approx(expected)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16"])
def test_it_is_computed_in_float32_under_every_policy(policy):
    biases = ALiBi(num_heads=2, dtype=policy)(query_length=1, key_length=600)
    assert keras.backend.standardize_dtype(biases.dtype) == "float32"
    assert len(np.unique(to_numpy(biases)[0])) == 600


def test_a_copy_is_made_of_its_config():
    layer = ALiBi(num_heads=6, name="far")
    copy = ALiBi.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert (copy.num_heads, copy.name) == (6, "far")


def test_no_heads_are_refused():
    with pytest.raises(ValueError, match=r"`num_heads` must be a positive integer. Received: .*=0"):
        ALiBi(num_heads=0)
