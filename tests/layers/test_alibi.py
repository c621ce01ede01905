"""Linear biases."""

import numpy as np
import pytest

from layers import alibi_biases, alibi_slopes
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
    biases = to_numpy(alibi_biases(2, query_length=4, key_length=7, start=start))
    assert biases.shape == (2, 4, 7)
    for head, query, key in np.ndindex(2, 4, 7):
        expected = -SLOPES[2][head] * abs(start + query - key)
        assert biases[head, query, key] == pytest.approx(expected)
