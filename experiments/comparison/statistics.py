"""The arithmetic of an honest comparison: differences, intervals and verdicts."""

import math

import numpy as np
from scipy import stats

_RESAMPLES = 9_999
_FEWEST_BLOCKS, _MOST_BLOCKS = 30, 1_000


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
