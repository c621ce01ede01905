"""Whether a model is right as often as it says: `evaluate.py --calibration`."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from experiments.console import console, make_table
from experiments.evaluation import Evaluation
from experiments.pictures import look

BINS = 10


class Calibration(NamedTuple):
    """How sure a model was, and how often it was right.

    Attributes:
        error: the expected calibration error, 0 to 1: the distance between how often the model was
            right and how sure it was, in each bin, weighed by the bin's share of the tokens.
        bins: the ten bins of confidence, 0 to 10 %, 10 to 20 % and so on. Each has "first" and
            "last", its bounds; "tokens", how many fell into it; "confidence", how sure the model
            was on average; and "accuracy", how often it was right. The last two are None where
            nothing fell into it.
    """

    error: float
    bins: list[dict]


def calibration(result: Evaluation) -> Calibration:
    """Sorts tokens by the confidence of their prediction, the probability of the likeliest token.

    A confidence on the border of two bins belongs to the upper one.

    Reference: Guo et al. (2017), On Calibration of Modern Neural Networks,
    https://arxiv.org/abs/1706.04599, section 2.
    """
    found = result.predictions
    numbers = found.confidences.astype("float64")
    is_right = found.ranks == 0
    places = np.clip(np.nan_to_num(numbers * BINS), 0, BINS - 1).astype(int)
    bins, error = [], 0.0
    for place in range(BINS):
        inside = places == place
        tokens = int(inside.sum())
        confidence = accuracy = None
        if tokens:
            confidence, accuracy = float(numbers[inside].mean()), float(is_right[inside].mean())
            error += tokens / len(numbers) * abs(accuracy - confidence)
        bounds = {"first": place / BINS, "last": (place + 1) / BINS}
        bins.append({**bounds, "tokens": tokens, "confidence": confidence, "accuracy": accuracy})
    return Calibration(error, bins)


def print_calibration(results: Sequence[Evaluation]) -> None:
    """Prints for each model the error and a row for each bin that holds something."""
    for result in results:
        found = calibration(result)
        console.print(
            f"\ncalibration of {result.score.name}: an expected calibration error of "
            f"{found.error:.2%}",
            soft_wrap=True,
        )
        table = make_table("confidence", "tokens", "mean confidence", "right", "right - confidence")
        for row in found.bins:
            if row["tokens"]:
                table.add_row(
                    f"{row['first']:.0%} to {row['last']:.0%}",
                    f"{row['tokens']:,}",
                    f"{row['confidence']:.1%}",
                    f"{row['accuracy']:.1%}",
                    f"{row['accuracy'] - row['confidence']:+.1%}",
                )
        console.print(table)


def draw_calibration(results: Sequence[Evaluation]) -> Figure:
    """A reliability diagram, and below it how many tokens each bin holds."""
    figure = Figure(figsize=(6, 7.5), dpi=150, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    perfect = {"color": "0.5", "linewidth": 1.5, "linestyle": (0, (1, 1.5))}
    above.plot([0, 100], [0, 100], label="as often right as sure", **perfect)
    above.text(96, 4, "more sure than right", ha="right", color="0.35", fontsize=9)
    above.text(4, 60, "more right than sure", color="0.35", fontsize=9)
    for number, result in enumerate(results):
        found = calibration(result)
        filled = [row for row in found.bins if row["tokens"]]
        style, label = look(number), f"{result.score.name} (error {found.error:.1%})"
        points = [[100 * row[name] for row in filled] for name in ("confidence", "accuracy")]
        above.plot(*points, label=label, **style)
        total = sum(row["tokens"] for row in found.bins)
        shares = [100 * row["tokens"] / total for row in found.bins]
        middles = [50 * (row["first"] + row["last"]) for row in found.bins]
        below.plot(middles, shares, **style)
    above.set(xlim=(0, 100), ylim=(0, 100), ylabel="right (% of the tokens)")
    above.set_title("Reliability diagram")
    above.legend(loc="upper left")
    below.set(xlabel="confidence: probability of the likeliest token (%)", ylabel="tokens (%)")
    below.set_ylim(bottom=0)
    for axes in (above, below):
        axes.set_xticks(range(0, 101, 10))
        axes.grid(alpha=0.3)
    return figure
