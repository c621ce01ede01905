"""Differences, intervals and verdicts: how often they are right, on data that are made."""

import numpy as np
import pytest
from scipy.signal import lfilter

from experiments.comparison.statistics import mean_difference


def dependent(count, correlation, seed):
    """A row of numbers of mean 0, each correlated with the one before it: AR(1)."""
    noise = np.random.default_rng(seed).normal(size=count + 500)
    return lfilter([1], [1, -correlation], noise)[500:]


def coverage(count, correlation, repeats=300, **arguments):
    """The share of intervals that hold the true mean."""
    hits = 0
    for seed in range(repeats):
        _, low, high = mean_difference(dependent(count, correlation, seed), **arguments)
        hits += low <= 0 <= high
    return hits / repeats


@pytest.mark.parametrize(
    ("count", "correlation"), [(50_000, 0.9), (20_000, 0.95), (3_000, 0.8), (40, 0.0)]
)
def test_intervals_over_blocks_hold_the_true_mean_of_dependent_tokens(count, correlation):
    assert 0.91 <= coverage(count, correlation) <= 0.98  # standard error of the rate 0.013


def test_intervals_over_single_tokens_would_be_too_narrow():
    assert coverage(1_000, 0.9, repeats=30, block=1) < 0.6


def test_the_mean_and_its_interval_are_the_same_every_time_and_scale_with_the_unit():
    differences = dependent(2_000, 0.5, 0)
    mean, low, high = mean_difference(differences)
    assert mean == pytest.approx(differences.mean())
    assert low < mean < high
    assert mean_difference(differences) == (mean, low, high)
    assert mean_difference(-2 * differences) == pytest.approx((-2 * mean, -2 * high, -2 * low))


def test_a_text_of_another_length_than_whole_blocks_counts_to_its_end():
    differences = np.zeros(1_999)
    differences[-1] = 1_999
    mean, low, high = mean_difference(differences, block=40)
    assert mean == pytest.approx(1)
    assert low == 0
    assert high > 2


def test_equal_models_differ_by_nothing():
    assert mean_difference(np.zeros(100)) == (0, 0, 0)


def test_of_one_token_nothing_is_known():
    mean, low, high = mean_difference(np.array([0.5]))
    assert mean == 0.5
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize(
    ("differences", "block", "received"),
    [
        ([], 500, r"differences.shape=\(0,\), block=500"),
        ([[1.0, 2.0]], 500, r"differences.shape=\(1, 2\)"),
        ([1.0, 2.0], 0, "block=0"),
    ],
)
def test_what_is_no_row_of_differences_is_refused(differences, block, received):
    with pytest.raises(ValueError, match=f"one row of at least one number.*{received}"):
        mean_difference(np.array(differences), block)
