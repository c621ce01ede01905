"""Positions as learned vectors."""

import numpy as np
import pytest

from layers import LearnedPositionalEmbedding
from tests.layers.layer_checks import (
    Case,
    LayerChecks,
    floats,
    randomize,
    to_numpy,
    weights_of,
)


class TestLearnedPositionalEmbedding(LayerChecks):
    case = Case(
        LearnedPositionalEmbedding,
        arguments={"context_length": 9},
        inputs={"inputs": floats(2, 4, 6)},
        output_shapes=[("B", "T", 6)],
        num_weights=1,
    )


@pytest.mark.parametrize("start", [0, 2, 5])
def test_each_position_gets_its_vector(start):
    layer = LearnedPositionalEmbedding(context_length=9)
    x = floats(2, 4, 6)
    layer.build(x.shape)
    randomize(layer)
    (embedding,) = weights_of(layer)
    expected = x + embedding[start : start + 4]
    np.testing.assert_allclose(to_numpy(layer(x, start=start)), expected, rtol=1e-6)


def test_a_text_longer_than_the_context_is_refused():
    with pytest.raises(ValueError, match=r"at most `context_length` = 3 .* \(2, 4, 6\)"):
        LearnedPositionalEmbedding(context_length=3)(floats(2, 4, 6))


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(ValueError, match="`context_length` must be a positive integer"):
        LearnedPositionalEmbedding(context_length=0)
