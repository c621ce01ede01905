"""The arithmetic of an honest comparison: differences, intervals and verdicts."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.05  # equal variants are called different in at most this share of studies
POWER = 0.8

_TINY = 1e-40  # instead of no noise at all
_STUDIES = 1_000  # simulated, for what such a study can find
_RESAMPLES = 9_999
_FEWEST_BLOCKS, _MOST_BLOCKS = 30, 1_000


class Difference(NamedTuple):
    """What is known of one variant against the reference.

    Attributes:
        pairs: how many seeds both have.
        mean: the variant's loss less the reference's, mean over these seeds; None without any.
        low: lower end of the interval; None with fewer than two pairs.
        high: upper end of the interval; None with fewer than two pairs.
        p: p value, corrected for all comparisons of the study; None with fewer than two pairs.
        verdict: "better" (a lower loss), "worse" or "can't tell". The interval holds 0 exactly
            where it is "can't tell".
    """

    pairs: int
    mean: float | None
    low: float | None
    high: float | None
    p: float | None
    verdict: str


class Comparison(NamedTuple):
    """What a study tells of its variants. Losses are in the unit that they came in.

    Attributes:
        reference: the variant that the others are compared with.
        differences: a `Difference` for each other variant, by its name.
        noise: standard deviation of a loss from seed to seed, without what a seed does to all
            variants alike, pooled over the variants; None where nothing tells it.
        degrees_of_freedom: what `noise` rests on; (variants - 1) (seeds - 1) if none is missing.
        detectable: the difference that such a study finds in 80 % of cases, if one variant differs
            from the reference, no other does, and all have this noise. It is for a variant with
            as many pairs as any here. None where no variant has two.
    """

    reference: str
    differences: dict[str, Difference]
    noise: float | None
    degrees_of_freedom: int
    detectable: float | None


def compare(losses: Mapping[str, Mapping[int, float]], reference: str) -> Comparison:
    """Compares variants with a reference, paired by seed.

    A seed gives each variant the same batches, so part of the noise is shared: a loss is taken as
    the sum of what the variant, the seed and chance do. A variant's difference is the mean over
    the seeds that it shares with the reference. Two tests judge it:

    1. The noise of the study: what variant and seed leave unexplained, pooled over all variants,
       so that few seeds give many degrees of freedom. Student's t, with Holm's correction for
       several comparisons.
    2. The noise of these two variants alone: for each, how its distance from the mean of the
       others changes with the seed. Welch's t, at 5 % divided by the root of the number of
       variants. Where one variant is noisier than the rest the first test is far too sure of it,
       and this one guards it. With two variants both would see the same: there is the first only.

    A variant is "better" or "worse" if both say so. Of studies of equal variants at most 5 % then
    have a verdict other than "can't tell", also where one of them, or the reference, has five times
    the noise of the others: simulations in the tests show it, for up to nine variants and eight
    seeds, and that neither a bootstrap over seeds nor the first test alone would hold it.

    The interval agrees with the verdict. It reaches as far as the stricter of the two tests
    demands, of the first at the level at which Holm's procedure ends. So it holds the true
    difference in at least 95 % of cases, and is wider than if there were this comparison alone.

    Args:
        losses: the loss of each seed of each variant, finite numbers. Seeds may be missing.
        reference: the variant to compare the others with, a key of `losses`.

    Raises:
        ValueError: a reference that is not among the variants, or a loss that is not finite.

    Example: a learning rate that helps, and one of which two seeds can't tell enough.

    >>> comparison = compare(
    ...     {
    ...         "0.001": {0: 1.56, 1: 1.58, 2: 1.55, 3: 1.57},
    ...         "0.002": {0: 1.49, 1: 1.52, 2: 1.49, 3: 1.50},
    ...         "0.004": {0: 1.55, 1: 1.56},
    ...     },
    ...     reference="0.001",
    ... )
    >>> for name, difference in comparison.differences.items():
    ...     print(f"{name}: {difference.mean:.3f}, {difference.verdict}")
    0.002: -0.065, better
    0.004: -0.015, can't tell

    References: Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure; Welch (1947),
    The Generalization of "Student's" Problem when Several Different Population Variances Are
    Involved.
    """
    if reference not in losses:
        raise ValueError(
            f"`reference` must be one of {list(losses)}. Received: reference={reference!r}."
        )
    for name, of_seeds in losses.items():
        if not np.isfinite(list(of_seeds.values())).all():
            raise ValueError(
                f"`losses` must be finite. Received: losses[{name!r}]={dict(of_seeds)}."
            )
    names = [reference, *(name for name in losses if name != reference)]
    seeds = sorted(set().union(*losses.values()))
    table = np.array([[losses[name].get(seed, np.nan) for seed in seeds] for name in names])
    found = judge(table[None])
    noise = float(found.noise[0]) if found.degrees_of_freedom else None
    arrays = (found.pairs, found.means[0], found.margins[0], found.p_values[0])
    differences = {
        name: _difference(*(array[number].item() for array in arrays))
        for number, name in enumerate(names[1:])
    }
    detectable = _detectable(table, noise) if max(found.pairs, default=0) > 1 else None
    return Comparison(reference, differences, noise, found.degrees_of_freedom, detectable)


class Judgement(NamedTuple):
    """What `judge` finds: for each of R studies and V - 1 variants, those after the first."""

    pairs: np.ndarray  # (V - 1,)
    means: np.ndarray  # (R, V - 1), nan without pairs
    margins: np.ndarray  # (R, V - 1), half of the intervals; nan with fewer than two pairs
    p_values: np.ndarray  # (R, V - 1), corrected; nan with fewer than two pairs
    noise: np.ndarray  # (R,)
    degrees_of_freedom: int


def judge(losses: np.ndarray) -> Judgement:
    """The arithmetic of `compare`, for many studies of one layout at once.

    Args:
        losses: (R, V, S), studies by variants by seeds, the reference first; nan where a loss is
            missing, in all studies alike.

    Example:

    >>> found = judge(np.array([[[1.56, 1.58, 1.55], [1.50, 1.53, 1.49]]]))
    >>> print(found.means.round(3), found.margins.round(3), found.p_values.round(3))
    [[-0.057]] [[0.014]] [[0.003]]
    """
    there = ~np.isnan(losses[0])  # (V, S)
    pairs = np.sum(there[1:] & there[0], axis=1)
    sums = np.nansum(losses[:, 1:] - losses[:, :1], axis=2)  # a difference is nan if a loss is
    means = np.divide(sums, pairs, out=np.full(sums.shape, np.nan), where=pairs > 0)
    margins, p_values = np.full((2, *means.shape), np.nan)
    there = _telling(there)
    noise, freedom, variances = _noise(losses, there)

    of = pairs > 1  # those that can be judged
    if of.any():
        errors = noise[:, None] * np.sqrt(2 / pairs[of])
        p, level = _holm(_p_values(means[:, of], errors, freedom))
        margin = stats.t.isf(level[:, None] / 2, freedom) * errors

        variants = there.any(1).sum()
        if variants > 2:
            one, other = variances[:, 1:][:, of], variances[:, :1]
            freedoms = np.maximum(there.sum(1) - 1, 1)
            welch = (one + other) ** 2 / (one**2 / freedoms[1:][of] + other**2 / freedoms[0])
            errors = np.sqrt((one + other) / pairs[of])
            correction = math.sqrt(variants)
            p = np.maximum(p, correction * _p_values(means[:, of], errors, welch))
            margin = np.maximum(margin, stats.t.isf(LEVEL / 2 / correction, welch) * errors)
        margins[:, of], p_values[:, of] = margin, np.minimum(p, 1)
    return Judgement(pairs, means, margins, p_values, noise, freedom)


def _telling(there):
    """The cells that tell of noise: of variants with two seeds, and seeds with two variants."""
    while True:
        kept = there & (there.sum(1, keepdims=True) > 1) & (there.sum(0) > 1)
        if (kept == there).all():
            return kept
        there = kept


def _noise(losses, there):
    """What variants and seeds leave unexplained: noise (R,), what it rests on, variances (R, V).

    The variances are of each variant's distance from the mean of the others of the same seed. That
    is the variant's own variance and a share of theirs: a little too much, on the safe side.
    """
    variant, seed = np.nonzero(there)
    counts = there.sum(1)  # (V,)
    is_of = np.eye(len(counts))[variant]  # (cells, V)

    def centred(values):  # (..., cells), each less the mean of its variant
        return values - (values @ is_of / np.maximum(counts, 1))[..., variant]

    seeds = centred(np.eye(there.shape[1])[:, seed])  # (S, cells)
    _, sizes, basis = np.linalg.svd(seeds, full_matrices=False)
    basis = basis[sizes > 1e-9]
    residuals = centred(losses[:, there])  # (R, cells)
    residuals -= residuals @ basis.T @ basis
    freedom = len(variant) - int(np.count_nonzero(counts)) - len(basis)
    noise = np.sqrt(np.sum(residuals**2, axis=1) / max(freedom, 1))

    others = there.sum(0)[seed] - 1
    squares = (residuals * (others + 1) / others) ** 2
    variances = squares @ is_of / np.maximum(counts - 1, 1)
    return noise, freedom, np.maximum(variances, _TINY)


def _p_values(means, errors, freedom):
    return 2 * stats.t.sf(np.abs(means) / np.maximum(errors, _TINY), freedom)


def _holm(p_values):
    """Corrected p values, (R, m), and the level at which each study's last test was made, (R,)."""
    count = p_values.shape[1]
    order = np.argsort(p_values, axis=1)
    steps = np.arange(count, 0, -1)
    corrected = np.maximum.accumulate(np.take_along_axis(p_values, order, 1) * steps, axis=1)
    found = np.sum(corrected <= LEVEL, axis=1)
    corrected = np.take_along_axis(corrected, np.argsort(order, axis=1), 1)
    return corrected, LEVEL / np.maximum(count - found, 1)


def _difference(pairs, mean, margin, p):
    if pairs < 2:
        return Difference(pairs, mean if pairs else None, None, None, None, "can't tell")
    low, high = mean - margin, mean + margin
    verdict = "better" if high < 0 else "worse" if low > 0 else "can't tell"
    return Difference(pairs, mean, low, high, p, verdict)


def _detectable(table, noise):
    """How far a variant must differ: see `Comparison`."""
    studies = np.random.default_rng(0).normal(size=(_STUDIES, *table.shape))
    studies[:, np.isnan(table)] = np.nan
    found = judge(studies)
    number = np.argmax(found.pairs)
    needed = found.margins[:, number] - found.means[:, number]  # to be found in each study
    return noise * float(np.quantile(needed, POWER))


def mean_difference(differences: np.ndarray, block: int = 500) -> tuple[float, float, float]:
    """The mean difference of two models on one text, and its 95 % interval.

    The losses of neighbouring tokens depend on each other: a name that one model does not know
    costs it every letter, and again when the name returns. An interval over single tokens is then
    too narrow. So the text is cut into blocks, and the blocks are drawn with replacement, again
    and again (block bootstrap). The interval holds what 95 % of the drawn means are within, a
    little more where blocks are few, as Student's t allows for (Hesterberg's expanded
    percentiles). It says what another text of this kind could have given, for these two files; it
    knows nothing of what another seed would have trained.

    Args:
        differences: a loss less another for each predicted token, in the order of the text, (N,).
        block: how many tokens a block holds, at least 1. Default 500: longer than the contexts
            that models here read, and more than 200 blocks in 100,000 tokens. In a short text
            blocks are shorter, so that there are 30; in a long one longer: there are at most 1,000.

    Returns:
        (mean, low, high), in the unit of `differences`. The same for the same differences: the
        drawing has a fixed seed. With fewer than two tokens nothing is known: low and high are nan.

    Raises:
        ValueError: no differences, or not one row of them, or a block of less than one token.

    Example:

    >>> mean, low, high = mean_difference(np.random.default_rng(0).normal(0.1, 1, 20_000))
    >>> print(f"{mean:.3f} ({low:.3f} to {high:.3f})")
    0.105 (0.090 to 0.120)

    References: Künsch (1989), The Jackknife and the Bootstrap for General Stationary Observations;
    Hesterberg (2015), https://doi.org/10.1080/00031305.2015.1089789.
    """
    differences = np.asarray(differences, "float64")
    if differences.ndim != 1 or not len(differences) or block < 1:
        raise ValueError(
            "`differences` must be one row of at least one number, `block` at least 1. "
            f"Received: differences.shape={differences.shape}, block={block}."
        )
    mean, count = float(np.mean(differences)), len(differences)
    if count < 2:
        return mean, math.nan, math.nan
    blocks = np.clip(count // block, min(_FEWEST_BLOCKS, count), _MOST_BLOCKS)
    starts = np.arange(blocks) * count // blocks  # lengths differ by one token at most
    means = np.add.reduceat(differences, starts) / np.diff(starts, append=count)
    widened = math.sqrt(blocks / (blocks - 1)) * stats.t.ppf(0.975, blocks - 1)
    interval = stats.bootstrap(
        (means,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=1_000,
        confidence_level=1 - 2 * stats.norm.sf(widened),
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return mean, float(interval.low), float(interval.high)
