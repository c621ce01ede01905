"""The convolution over neighbours."""

import numpy as np
import pytest
from keras import ops

from layers import ShortConvolution
from tests.layers.layer_checks import Case, LayerChecks, floats, randomize, to_numpy


class TestShortConvolution(LayerChecks):
    case = Case(
        ShortConvolution,
        arguments={"kernel_size": 3},
        inputs={"inputs": floats(2, 4, 6)},
        output_shapes=[("B", "T", 6)],
        num_weights=1,
    )


class TestShortConvolutionThatGoesOn(LayerChecks):
    case = Case(
        ShortConvolution,
        arguments={"kernel_size": 6},
        inputs={"inputs": floats(2, 4, 6), "extended": floats(2, 9, 6, seed=1)},
        output_shapes=[("B", "T", 6)],
        num_weights=1,
        is_variant=True,
    )


def make(kernel_size=4):
    layer = ShortConvolution(kernel_size)
    layer.build((2, 5, 3))
    randomize(layer)
    return layer


@pytest.mark.parametrize("kernel_size", [1, 2, 4, 9])
def test_each_number_is_convolved_by_itself_and_added(kernel_size):
    layer, x = make(kernel_size), floats(2, 5, 3)
    kernel = to_numpy(layer.kernel)[:, 0]
    convolved = [
        [np.convolve(text[:, d], kernel[:, d])[:5] for d in range(3)] for text in x
    ]  # (B, D, T)
    expected = x + np.swapaxes(convolved, 1, 2)
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


def test_a_fresh_one_changes_nothing():
    np.testing.assert_array_equal(to_numpy(ShortConvolution()(floats(2, 5, 3))), floats(2, 5, 3))


@pytest.mark.parametrize("position", range(5))
def test_a_position_changes_itself_and_the_few_after_it_alone(position):
    x = floats(2, 5, 3)
    changed = x.copy()
    changed[:, position] = 100
    layer = make(kernel_size=3)
    differs = (to_numpy(layer(changed)) != to_numpy(layer(x))).all(axis=(0, 2))
    assert differs.tolist() == [position <= other < position + 3 for other in range(5)]


@pytest.mark.parametrize("first", [1, 2, 4])
def test_it_goes_on_where_it_ended(first):
    layer, x = make(), floats(2, 5, 3)
    extended = np.concatenate([np.zeros((2, 3, 3), "float32"), x], axis=1)[:, first:]
    rest = layer(x[:, first:], extended=extended)
    np.testing.assert_allclose(to_numpy(rest), to_numpy(layer(x))[:, first:], atol=1e-6)


def test_what_is_kept_has_the_precision_that_is_computed_in():
    layer = ShortConvolution(dtype="mixed_bfloat16")
    layer.build((2, 5, 3))
    kept = layer.empty_inputs(batch_size=2)
    assert tuple(kept.shape) == (2, 3, 3)
    assert kept.dtype == ops.cast(0, "bfloat16").dtype


@pytest.mark.parametrize("kernel_size", [0, 2.5, True])
def test_wrong_sizes_are_refused_by_name(kernel_size):
    with pytest.raises(ValueError, match="`kernel_size` must be a positive integer"):
        ShortConvolution(kernel_size)
