"""Positions as rotations."""

import numpy as np
import pytest

from layers import RotaryEmbedding
from tests.layers.layer_checks import Case, LayerChecks, floats, to_numpy


class TestRotaryEmbedding(LayerChecks):
    case = Case(
        RotaryEmbedding,
        arguments={"max_wavelength": 500, "fraction": 0.5},
        inputs={"inputs": floats(2, 4, 5, 6)},
        output_shapes=[("B", "T", 5, 6)],  # the sizes of this layer's axes are N = 4 and T = 5
        num_weights=0,
    )


def oracle(x, max_wavelength=10000, start=0):
    """Each pair as a complex number, times e^(i angle)."""
    length, head_dim = x.shape[-2:]
    pairs = x[..., : head_dim // 2] + 1j * x[..., head_dim // 2 :]
    frequencies = max_wavelength ** (-2 * np.arange(head_dim // 2) / head_dim)
    pairs = pairs * np.exp(1j * np.arange(start, start + length)[:, None] * frequencies)
    return np.concatenate([pairs.real, pairs.imag], axis=-1)


@pytest.mark.parametrize("start", [0, 3, 1000])
@pytest.mark.parametrize("max_wavelength", [100, 10000])
def test_pairs_are_turned_as_complex_numbers(max_wavelength, start):
    x = floats(2, 3, 7, 8)
    turned = RotaryEmbedding(max_wavelength)(x, start=start)
    np.testing.assert_allclose(to_numpy(turned), oracle(x, max_wavelength, start), atol=1e-4)


@pytest.mark.parametrize(
    ("fraction", "turning"), [(0.01, 2), (0.25, 2), (0.5, 4), (0.7, 4), (0.75, 6), (1, 8)]
)
def test_in_part_the_first_numbers_are_turned_and_the_others_stay(fraction, turning):
    x = floats(2, 3, 7, 8)
    turned = to_numpy(RotaryEmbedding(100, fraction)(x, start=2))
    np.testing.assert_allclose(turned[..., :turning], oracle(x[..., :turning], 100, 2), atol=1e-4)
    np.testing.assert_array_equal(turned[..., turning:], x[..., turning:])


@pytest.mark.parametrize("shift", [1, 17, 500])
def test_dot_products_depend_on_the_distance_alone(shift):
    rotary = RotaryEmbedding()
    query, key = floats(1, 1, 6, 16), floats(1, 1, 6, 16, seed=1)

    def logits(start):
        turned = (to_numpy(rotary(x, start=start))[0, 0] for x in (query, key))
        return np.matmul(next(turned), next(turned).T)

    np.testing.assert_allclose(logits(0), logits(shift), atol=1e-3)
    assert not np.allclose(logits(0), query[0, 0] @ key[0, 0].T, atol=0.1)


def test_positions_stay_apart_in_bfloat16():
    turned = to_numpy(RotaryEmbedding(dtype="bfloat16")(np.ones((1, 1, 1000, 2))))[0, 0]
    expected = oracle(np.ones((1, 1, 1000, 2)))[0, 0]
    np.testing.assert_allclose(turned, expected, atol=0.02)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match=r"needs an even width.* Received: head_dim=3"):
        RotaryEmbedding()(floats(1, 1, 2, 3))


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(ValueError, match=r"`max_wavelength` must be above 1\. Received: .*=1"):
        RotaryEmbedding(max_wavelength=1)
    for fraction in (0, 1.1):
        with pytest.raises(
            ValueError, match=r"`fraction` must be above 0 and at most 1\. Received"
        ):
            RotaryEmbedding(fraction=fraction)
