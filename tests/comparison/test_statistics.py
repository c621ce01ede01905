"""Differences, intervals and verdicts: how often they are right, on data that are made."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from experiments.comparison.statistics import (
    LEVEL,
    POWER,
    compare,
    judge,
    mean_difference,
)

# The noise of each variant of a study, the reference first, beside which all others have 1.
NOISES = {
    "equal": lambda noise, rng: None,
    "one 3 times": lambda noise, rng: noise[:, -1].fill(3),
    "one 5 times": lambda noise, rng: noise[:, -1].fill(5),
    "reference 2 times": lambda noise, rng: noise[:, 0].fill(2),
    "reference 3 times": lambda noise, rng: noise[:, 0].fill(3),
    "reference 5 times": lambda noise, rng: noise[:, 0].fill(5),
    "reference a fifth": lambda noise, rng: noise[:, 0].fill(0.2),
    "log-normal": lambda noise, rng: np.exp(rng.normal(0, 0.7, noise.shape), out=noise),
    "half 3 times": lambda noise, rng: noise[:, noise.shape[1] // 2 :].fill(3),
}


def simulate(studies, variants, seeds, noise="equal"):
    """Losses of equal variants, (studies, variants, seeds), with a seed's share in all of them."""
    rng = np.random.default_rng([variants, seeds, *noise.encode()])
    deviations = np.ones((studies, variants))
    NOISES[noise](deviations, rng)
    losses = rng.normal(size=(studies, variants, seeds)) * deviations[:, :, None]
    return losses + rng.normal(0, 3, (studies, 1, seeds))


def share_of_false_alarms(p_values):
    return np.mean((p_values <= LEVEL).any(1))


def holm(p_values):
    """Holm's correction, one study at a time and as the books have it."""
    corrected = np.empty_like(p_values)
    for row, p in zip(corrected, p_values, strict=True):
        highest = 0
        for rank, number in enumerate(np.argsort(p)):
            highest = max(highest, (len(p) - rank) * p[number])
            row[number] = min(highest, 1)
    return corrected


def pooled_alone(losses):
    """The first of the two tests alone."""
    _, variants, seeds = losses.shape
    residuals = losses - losses.mean(1, keepdims=True)
    residuals -= residuals.mean(2, keepdims=True)
    freedom = (variants - 1) * (seeds - 1)
    noise = np.sqrt((residuals**2).sum((1, 2)) / freedom)
    differences = (losses[:, 1:] - losses[:, :1]).mean(2)
    t = np.abs(differences) / (noise[:, None] * math.sqrt(2 / seeds))
    return holm(2 * stats.t.sf(t, freedom))


def paired_alone(losses):
    """A paired t-test for each variant."""
    return holm(stats.ttest_rel(losses[:, 1:], losses[:, :1], axis=2).pvalue)


def bootstrap_over_seeds(losses):
    """0 where the percentile interval of all resamples of the paired differences leaves 0 out."""
    differences = losses[:, 1:] - losses[:, :1]
    seeds = differences.shape[2]
    draws = np.array(list(itertools.product(range(seeds), repeat=seeds)))
    means = differences[:, :, draws].mean(3)
    low, high = np.quantile(means, [0.025, 0.975], axis=2)
    return np.where((low > 0) | (high < 0), 0.0, 1.0)


def check_false_alarms(noise, studies):
    for variants, seeds in itertools.product((2, 3, 5, 9), (2, 3, 5, 8)):
        found = judge(simulate(studies, variants, seeds, noise))
        error = math.sqrt(LEVEL * (1 - LEVEL) / studies)
        rate = share_of_false_alarms(found.p_values)
        assert rate <= LEVEL + 3 * error, f"{variants} variants, {seeds} seeds: {rate:.1%}"


@pytest.mark.parametrize("noise", NOISES)
def test_equal_variants_are_called_different_in_at_most_a_twentieth_of_studies(noise):
    check_false_alarms(noise, studies=2_500)


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
def test_equal_variants_are_called_different_as_rarely_in_many_more_studies(noise):
    check_false_alarms(noise, studies=25_000)


def test_failed_trials_make_no_false_alarms():
    for noise in ("equal", "one 5 times", "reference 5 times"):
        losses = simulate(2_500, 5, 5, noise)
        for variant, seed in ((0, 4), (1, 0), (1, 1), (2, 3), (2, 4), (4, 0)):
            losses[:, variant, seed] = np.nan
        assert share_of_false_alarms(judge(losses).p_values) <= 0.06


def test_a_bootstrap_over_three_seeds_calls_equal_variants_different_in_a_quarter_of_studies():
    assert share_of_false_alarms(bootstrap_over_seeds(simulate(2_000, 2, 3))) > 0.2
    assert share_of_false_alarms(bootstrap_over_seeds(simulate(2_000, 9, 3))) > 0.5


def test_pooling_alone_is_right_for_equal_noise_and_far_too_sure_for_other():
    assert share_of_false_alarms(pooled_alone(simulate(2_000, 9, 3))) <= 0.05
    for noise, at_least in (("one 5 times", 0.12), ("reference 5 times", 0.2)):
        losses = simulate(2_000, 9, 3, noise)
        assert share_of_false_alarms(pooled_alone(losses)) > at_least
        assert share_of_false_alarms(judge(losses).p_values) <= 0.06


@pytest.mark.parametrize(
    ("variants", "seeds", "difference", "expected"),
    [(9, 3, 3, 0.29), (9, 3, 5, 0.74), (9, 5, 3, 0.85), (9, 8, 2, 0.81), (3, 3, 5, 0.79)],
)
def test_real_differences_are_found_far_more_often_than_by_paired_tests(
    variants, seeds, difference, expected
):
    losses = simulate(2_000, variants, seeds)
    losses[:, 1] -= difference
    power = np.mean(judge(losses).p_values[:, 0] <= LEVEL)
    assert power == pytest.approx(expected, abs=0.035)
    assert power > 1.25 * np.mean(paired_alone(losses)[:, 0] <= LEVEL)


def test_two_variants_are_compared_by_a_paired_t_test():
    losses = simulate(200, 2, 4)
    found = judge(losses)
    paired = stats.ttest_rel(losses[:, 1], losses[:, 0], axis=1)
    np.testing.assert_allclose(found.p_values[:, 0], paired.pvalue)
    low, high = paired.confidence_interval(0.95)
    np.testing.assert_allclose(found.means[:, 0] - found.margins[:, 0], low)
    np.testing.assert_allclose(found.means[:, 0] + found.margins[:, 0], high)


def test_several_variants_share_their_noise_and_are_judged_by_the_stricter_test():
    losses = simulate(200, 5, 4)
    found = judge(losses)
    pooled = pooled_alone(losses)
    assert found.degrees_of_freedom == 12
    assert (found.p_values >= pooled * (1 - 1e-9)).all()
    is_pooled = np.isclose(found.p_values, pooled)
    assert 0.3 < is_pooled.mean() < 0.95

    distances = losses - (losses.sum(1, keepdims=True) - losses) / 4  # from the others' mean
    welch = stats.ttest_ind_from_stats(
        *(losses[:, 1:].mean(2), distances[:, 1:].std(2, ddof=1), 4),
        *(losses[:, :1].mean(2), distances[:, :1].std(2, ddof=1), 4),
        equal_var=False,
    )
    corrected = np.minimum(welch.pvalue * math.sqrt(5), 1)
    np.testing.assert_allclose(found.p_values, np.maximum(pooled, corrected))


@pytest.mark.parametrize("shifts", [(0, 0, 0, 0), (3, 0, 0, 0), (2, 3, 4, 5)])
def test_intervals_agree_with_verdicts_and_hold_the_true_differences(shifts):
    losses = simulate(2_000, 5, 3)
    losses[:, 1:] += np.array(shifts)[:, None]
    found = judge(losses)
    leaves_zero_out = np.abs(found.means) > found.margins
    np.testing.assert_array_equal(leaves_zero_out, found.p_values <= LEVEL)
    assert (np.mean(np.abs(found.means - shifts) <= found.margins, axis=0) >= 0.95).all()


def test_missing_losses_are_left_out_of_an_additive_fit():
    losses = simulate(1, 4, 5)
    for variant, seed in ((0, 4), (1, 0), (1, 1), (3, 2)):
        losses[:, variant, seed] = np.nan
    found = judge(losses)
    variant, seed = np.nonzero(~np.isnan(losses[0]))
    design = np.zeros((16, 9))
    design[np.arange(16), variant] = design[np.arange(16), 4 + seed] = 1
    values = losses[0, variant, seed]
    solution, _, rank, _ = np.linalg.lstsq(design, values)
    assert found.degrees_of_freedom == 16 - rank == 8
    squares = np.sum((values - design @ solution) ** 2)
    assert found.noise[0] == pytest.approx(math.sqrt(squares / 8))
    assert found.pairs.tolist() == [2, 4, 3]
    expected = np.mean(losses[0, 1, 2:4] - losses[0, 0, 2:4])
    assert found.means[0, 0] == pytest.approx(expected)


def table(losses):
    """Two dimensions of losses as `compare` takes them."""
    return {f"v{number}": dict(enumerate(row)) for number, row in enumerate(losses.tolist())}


def test_a_comparison_names_what_is_better_and_what_is_worse():
    losses = simulate(1, 4, 5)[0] / 100
    losses[1] -= 0.2
    losses[2] += 0.2
    comparison = compare(table(losses), reference="v0")
    assert [d.verdict for d in comparison.differences.values()] == ["better", "worse", "can't tell"]
    assert list(comparison.differences) == ["v1", "v2", "v3"]
    assert comparison.differences["v1"].mean == pytest.approx(np.mean(losses[1] - losses[0]))
    for difference in comparison.differences.values():
        assert difference.low < difference.mean < difference.high
        assert difference.pairs == 5
        assert (difference.p <= LEVEL) == (difference.verdict != "can't tell")
    assert 0.004 < comparison.noise < 0.02
    assert comparison.degrees_of_freedom == 12

    from_another = compare(table(losses), reference="v1").differences
    assert list(from_another) == ["v0", "v2", "v3"]
    assert from_another["v0"].mean == -comparison.differences["v1"].mean
    assert {d.verdict for d in from_another.values()} == {"worse"}


@pytest.mark.parametrize(("variants", "seeds"), [(2, 3), (5, 3), (4, 6)])
def test_the_difference_a_study_could_find_is_found_in_four_of_five(variants, seeds):
    comparison = compare(table(simulate(1, variants, seeds)[0]), reference="v0")
    losses = simulate(4_000, variants, seeds)
    losses[:, 1] -= comparison.detectable / comparison.noise
    found = judge(losses)
    power = np.mean((found.p_values[:, 0] <= LEVEL) & (found.means[:, 0] < 0))
    assert power == pytest.approx(POWER, abs=0.03)


def test_one_seed_never_makes_a_verdict():
    comparison = compare({"a": {0: 1.5, 1: 1.6}, "b": {1: 9.0, 2: 9.1}, "c": {5: 1.0}}, "a")
    assert comparison.differences["b"] == (1, pytest.approx(7.4), None, None, None, "can't tell")
    assert comparison.differences["c"] == (0, None, None, None, None, "can't tell")
    assert comparison.noise is comparison.detectable is None
    assert compare({"a": {0: 1.5}}, "a").differences == {}

    others = {"b": {0: 1.5, 1: 1.51, 2: 1.49}, "c": {0: 1.6, 1: 1.62, 2: 1.57}}
    with_noise = compare({"a": {0: 1.1}, **others}, "a")
    assert with_noise.noise == pytest.approx(np.std([0.1, 0.11, 0.08], ddof=1) / math.sqrt(2))
    assert [d.verdict for d in with_noise.differences.values()] == ["can't tell"] * 2
    assert with_noise.detectable is None


def test_variants_that_chance_does_not_touch_are_equal_or_not():
    comparison = compare({name: {0: 1.5, 1: 1.25} for name in "ab"} | {"c": {0: 1.0, 1: 0.75}}, "a")
    assert comparison.differences["b"].verdict == "can't tell"
    assert comparison.differences["c"].verdict == "better"


def test_what_can_not_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"`reference` must be one of \['a'\]. .*reference='b'"):
        compare({"a": {0: 1.0}}, "b")
    with pytest.raises(ValueError, match=r"must be finite. Received: losses\['b'\]=\{0: nan\}"):
        compare({"a": {0: 1.0}, "b": {0: math.nan}}, "a")


def dependent(count, correlation, seed):
    """A row of numbers of mean 0, each correlated with the one before it: AR(1)."""
    noise = np.random.default_rng(seed).normal(size=count + 500)
    return lfilter([1], [1, -correlation], noise)[500:]


def coverage(count, correlation, repeats=200, **arguments):
    """The share of intervals that hold the true mean."""
    hits = 0
    for seed in range(repeats):
        _, low, high = mean_difference(dependent(count, correlation, seed), **arguments)
        hits += low <= 0 <= high
    return hits / repeats


@pytest.mark.parametrize(("count", "correlation"), [(20_000, 0.95), (3_000, 0.8), (40, 0.0)])
def test_intervals_over_blocks_hold_the_true_mean_of_dependent_tokens(count, correlation):
    assert 0.91 <= coverage(count, correlation) <= 0.98  # standard error of the rate 0.015


def test_intervals_over_single_tokens_would_be_too_narrow():
    assert coverage(1_000, 0.9, repeats=20, block=1) < 0.6


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
