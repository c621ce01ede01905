"""Drawing the next token, beside the same in NumPy on distributions that are known."""

import numpy as np
import pytest

from models.sampling import likeliest, sample_tokens
from tests.layers.layer_checks import to_numpy

SHARES = np.array([0.1, 0.4, 0.05, 0.25, 0.2])  # the likeliest: 1, 3, 4, 0, 2


def expected_shares(temperature, top_k, top_p):
    """How often each token shall come, by the definition of the three."""
    kept = np.argsort(-SHARES)[:top_k]
    shares = np.zeros_like(SHARES)
    shares[kept] = SHARES[kept] ** (1 / temperature)
    shares /= shares.sum()
    ranked = np.argsort(-shares)
    enough = 1 + np.searchsorted(np.cumsum(shares[ranked]), top_p - 1e-9)
    shares[ranked[enough:]] = 0
    return shares / shares.sum()


def sample(uniform, temperature=1.0, top_k=5, top_p=1.0, shares=SHARES):
    uniform = np.asarray(uniform, "float32")
    logits = np.tile(np.log(shares).astype("float32") + 7, (len(uniform), 1))
    return to_numpy(sample_tokens(logits, uniform, np.float32(temperature), top_k, top_p))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [1, 2, 4, 5])
@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.7, 0.93, 1.0])
def test_each_token_comes_as_often_as_it_should(temperature, top_k, top_p):
    count = 4000
    tokens = sample((np.arange(count) + 0.5) / count, temperature, top_k, top_p)
    frequencies = np.bincount(tokens, minlength=5) / count
    expected = expected_shares(temperature, top_k, top_p)
    np.testing.assert_allclose(frequencies, expected, atol=2 / count)
    assert (frequencies[expected == 0] == 0).all()


@pytest.mark.parametrize("top_p", [0.3, 0.65, 1.0])
def test_the_smallest_and_the_largest_random_number_choose_tokens_that_stay(top_p):
    stay = np.flatnonzero(expected_shares(1.0, 5, top_p))
    first, last = sample([0.0, np.nextafter(np.float32(1), np.float32(0))], top_p=top_p)
    assert first == 1
    assert last == min(stay, key=lambda token: SHARES[token])


@pytest.mark.parametrize("temperature", [1e-6, 1e-3])
def test_a_temperature_near_0_takes_the_likeliest(temperature):
    assert set(sample(np.linspace(0, 0.99, 50), temperature)) == {1}


def test_no_random_number_leads_to_a_token_without_probability():
    shares = np.r_[np.full(300, 1 / 300), np.full(300, 1e-30)]
    uniform = 1 - np.arange(1, 200, dtype="float32") * 2**-24
    assert sample(uniform, top_k=600, top_p=1.0, shares=shares).max() < 300


def test_each_row_has_logits_and_a_random_number_of_its_own():
    logits = np.log([[0.5, 0.5, 1e-9], [1e-9, 0.5, 0.5]]).astype("float32")
    tokens = sample_tokens(logits, np.array([0.2, 0.9], "float32"), 1.0, 3, 1.0)
    assert to_numpy(tokens).tolist() == [0, 2]


@pytest.mark.parametrize("size", [1, 5, 64, 65, 1000])
@pytest.mark.parametrize("k", [1, 5, 40, 125])
@pytest.mark.parametrize("kind", ["different", "equal", "few", "hidden"])
def test_the_likeliest_are_those_of_a_stable_sort(size, k, kind):
    logits = np.random.default_rng(size).permutation(3 * size).reshape(3, size).astype("float32")
    if kind in ("equal", "few"):
        logits %= 1 if kind == "equal" else 4
    if kind == "hidden":
        logits[:, size // 2] = -np.inf
    k = min(k, size)
    values, token_ids = map(to_numpy, likeliest(logits, k))
    expected = np.argsort(-logits, axis=-1, kind="stable")[:, :k]
    assert token_ids.tolist() == expected.tolist()
    assert values.tolist() == np.take_along_axis(logits, expected, axis=-1).tolist()
