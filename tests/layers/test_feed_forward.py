"""The position-wise feed-forward network."""

import numpy as np
import pytest

from layers import FeedForward, relu_squared
from tests.layers.layer_checks import Case, LayerChecks, floats, randomize, to_numpy, weights_of


class TestFeedForward(LayerChecks):
    case = Case(
        FeedForward,
        arguments={"d_model": 6, "dff": 10},
        inputs={"inputs": floats(2, 4, 3)},
        output_shapes=[("B", "T", 6)],
        num_weights=4,
        is_variant=True,
    )


class TestFeedForwardWithAllOptions(LayerChecks):
    case = Case(
        FeedForward,
        arguments={
            "d_model": 6,
            "dff": 10,
            "activation": relu_squared,
            "gated": True,
            "use_bias": False,
            "output_scale": 0.5,
        },
        inputs={"inputs": floats(2, 4, 3)},
        output_shapes=[("B", "T", 6)],
        num_weights=3,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_model": 0}, "`d_model` must be a positive integer. Received: d_model=0"),
        ({"dff": 2.5}, r"`dff` must be a positive integer. Received: dff=2\.5"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        FeedForward(**{"d_model": 6, "dff": 10, **arguments})


def test_it_is_two_matrices_with_a_relu_between():
    layer = FeedForward(d_model=6, dff=10)
    x = floats(2, 3, 4)
    layer.build(x.shape)
    randomize(layer)
    kernel_1, bias_1, kernel_2, bias_2 = weights_of(layer)
    expected = np.maximum(0, x @ kernel_1 + bias_1) @ kernel_2 + bias_2
    np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-5)


def test_a_gate_multiplies_what_is_hidden():
    layer = FeedForward(d_model=6, dff=10, activation="silu", gated=True)  # SwiGLU
    x = floats(2, 3, 4)
    layer.build(x.shape)
    randomize(layer)
    kernel_1, bias_1, kernel_3, bias_3, kernel_2, bias_2 = weights_of(layer)
    swish = (x @ kernel_1 + bias_1) / (1 + np.exp(-(x @ kernel_1 + bias_1)))
    expected = (swish * (x @ kernel_3 + bias_3)) @ kernel_2 + bias_2
    np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-4, atol=1e-5)


def test_the_output_starts_at_its_scale():
    layer = FeedForward(d_model=6, dff=10, output_scale=0)
    assert (to_numpy(layer(floats(2, 3, 4))) == 0).all()


def test_every_position_is_treated_by_itself_and_alike():
    layer = FeedForward(d_model=6, dff=10)
    x = floats(2, 3, 4)
    whole = to_numpy(layer(x))
    for position in range(3):
        alone = to_numpy(layer(x[:, position : position + 1]))
        np.testing.assert_allclose(alone[:, 0], whole[:, position], rtol=1e-5, atol=1e-6)
