"""The sinusoidal positional encoding."""

import ml_dtypes
import numpy as np
import pytest

from layers import SinusoidalPositionalEncoding
from tests.layers.layer_checks import Case, LayerChecks, floats, gradient, to_numpy


class TestSinusoidalPositionalEncoding(LayerChecks):
    case = Case(
        SinusoidalPositionalEncoding,
        arguments={"max_wavelength": 50.0},
        inputs={"inputs": floats(2, 4, 5)},
        output_shapes=[("B", "T", 5)],
        num_weights=0,
    )


@pytest.mark.parametrize("value", [1, 0.5, -10000])
def test_a_wavelength_of_1_or_less_is_refused(value):
    message = f"`max_wavelength` must be above 1. Received: max_wavelength={value}"
    with pytest.raises(ValueError, match=message):
        SinusoidalPositionalEncoding(max_wavelength=value)


def closed_form(length, d_model, max_wavelength=10000.0):
    """The paper's equations, one number after the other, in float64."""
    encoding = np.zeros((length, d_model))
    for position in range(length):
        for column in range(d_model):
            pair = column // 2
            angle = position / max_wavelength ** (2 * pair / d_model)
            encoding[position, column] = np.sin(angle) if column % 2 == 0 else np.cos(angle)
    return encoding


def encode(length, d_model, dtype="float32", **arguments):
    layer = SinusoidalPositionalEncoding(**arguments, dtype=dtype)
    return to_numpy(layer(np.zeros((1, length, d_model), "float32")))[0]


@pytest.mark.parametrize("arguments", [{}, {"max_wavelength": 30.0}], ids=["paper", "short"])
@pytest.mark.parametrize("d_model", [1, 2, 5, 16])
def test_it_is_the_closed_form_of_the_paper(d_model, arguments):
    expected = closed_form(60, d_model, **arguments)
    np.testing.assert_allclose(encode(60, d_model, **arguments), expected, atol=1e-5)


def test_far_positions_are_as_exact_as_float32_angles_allow():
    np.testing.assert_allclose(encode(2000, 8), closed_form(2000, 8), atol=3e-4)


def test_it_is_added_to_each_row_of_the_batch():
    inputs = floats(3, 4, 6)
    encoded = to_numpy(SinusoidalPositionalEncoding()(inputs))
    np.testing.assert_allclose(encoded, inputs + closed_form(4, 6), atol=1e-5)
    slope = gradient(lambda x: SinusoidalPositionalEncoding()(x)[1, 2, 3], inputs)
    np.testing.assert_array_equal(slope, np.eye(72)[1 * 24 + 2 * 6 + 3].reshape(3, 4, 6))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_positions_do_not_fall_together_in_bfloat16(policy):
    exact = encode(2000, 64)
    rounded = exact.astype(ml_dtypes.bfloat16).astype("float32")
    encoding = encode(2000, 64, dtype=policy)
    np.testing.assert_array_equal(encoding, rounded)
    assert len(np.unique(encoding, axis=0)) == 2000


def test_a_longer_text_does_not_change_the_encoding_of_its_beginning():
    np.testing.assert_array_equal(encode(50, 8)[:7], encode(7, 8))


def test_it_may_start_at_any_position():
    layer = SinusoidalPositionalEncoding()
    later = layer(np.zeros((1, 3, 6), "float32"), start=7)
    np.testing.assert_array_equal(to_numpy(later)[0], encode(10, 6)[7:])
