"""A study in pictures: one glance each, readable without colour."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.comparison.findings import baselines
from experiments.comparison.results import Results, Row, mean_of, shown
from experiments.pictures import look

BETTER, WORSE, UNSURE = "#0072B2", "#D55E00", "#737373"


def write(results: Results, folder: Path) -> dict[str, str]:
    """Draws the pictures into a folder; returns their names, and what each shows."""
    if not shown(results):
        return {}
    pictures = {
        "loss.png": ("Loss against steps: mean and range over the seeds", draw_curves(results)),
        "cost.png": ("Loss against parameters, and against training time", draw_costs(results)),
    }
    if results.comparison is not None and results.comparison.differences:
        what = f"Differences to {results.study.reference}, with 95 % intervals"
        pictures = {"differences.png": (what, draw_differences(results)), **pictures}
    for name, (_, figure) in pictures.items():
        figure.savefig(folder / name, dpi=120)
    return {name: what for name, (what, _) in pictures.items()}


def styles(results: Results) -> dict[str, dict]:
    """For each variant what sets its line apart; the same in every picture."""
    names = [name for name in results.study.variants if name in shown(results)]
    return {name: look(number) for number, name in enumerate(names)}


def mean_curve(row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Steps, and the mean, lowest and highest loss over the seeds at each; (E,) each.

    Only at steps at which every seed was evaluated.
    """
    curves = [
        dict(zip(run.evaluations["steps"], run.evaluations["losses"], strict=True))
        for run in row.runs.values()
    ]
    steps = sorted(set.intersection(*map(set, curves)))
    losses = np.array([[curve[step] for step in steps] for curve in curves])  # (seeds, E)
    return np.array(steps), losses.mean(0), losses.min(0), losses.max(0)


def loss_range(results: Results) -> tuple[float, float]:
    """From where to where losses are shown: not the first ones, beside which all would be flat."""
    means = [mean_curve(row)[1] for row in shown(results).values()]
    low, high = min(mean.min() for mean in means), max(mean[len(mean) // 4] for mean in means)
    margin = max(high - low, 1e-3) * 0.1
    return low - margin, high + margin


def baseline_lines(results: Results) -> list[tuple[str, float]]:
    """The baselines in the range that is shown, the lowest first: names and losses.

    Where names would stand on each other, the highest line has those of all.
    """
    bottom, top = loss_range(results)
    lines = []
    for name, loss in baselines(results):
        if not bottom < loss < top:
            continue
        if lines and loss - lines[-1][1] < 0.04 * (top - bottom):
            names, close = lines[-1]
            lines[-1] = ("", close)
            name = f"{names}, {name}"
        lines.append((name, loss))
    return lines


def draw_curves(results: Results) -> Figure:
    """Loss against steps: the mean over the seeds as a line, their range as a band."""
    figure, axes = _new(results, height=5)
    style = styles(results)
    for name, row in shown(results).items():
        steps, mean, low, high = mean_curve(row)
        marks = max(len(steps) // 8, 1)
        axes.plot(steps, mean, label=name, markevery=marks, **style[name])
        axes.fill_between(steps, low, high, color=style[name]["color"], alpha=0.2, linewidth=0)
    axes.set_ylim(*loss_range(results))
    for name, loss in baseline_lines(results):
        axes.axhline(loss, color="0.5", linewidth=0.8, linestyle=(0, (1, 3)))
        axes.annotate(
            name, (0.995, loss), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=8, color="0.35",
        )  # fmt: skip
    axes.set_title("Loss against steps: mean and range over the seeds", loc="left")
    axes.set_xlabel("steps")
    axes.set_ylabel("loss, nats a token")
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_differences(results: Results) -> Figure:
    """The forest plot: each variant's difference to the reference, with its interval."""
    found = results.comparison.differences
    names = [name for name in shown(results) if name in found and found[name].pairs]
    names.reverse()  # the lowest loss on top
    figure, axes = _new(results, height=1.6 + 0.42 * len(names))
    for place, name in enumerate(names):
        difference = found[name]
        colour = {"better": BETTER, "worse": WORSE}.get(difference.verdict, UNSURE)
        is_sure = difference.verdict != "can't tell"
        if difference.low is not None:
            ends = [[difference.mean - difference.low], [difference.high - difference.mean]]
            axes.errorbar(difference.mean, place, xerr=ends, color=colour, capsize=4, linewidth=2)
        axes.plot(
            difference.mean, place, "o", color=colour, markersize=8,
            markerfacecolor=colour if is_sure else "white",
        )  # fmt: skip
        axes.annotate(
            difference.verdict, (1.01, place), xycoords=("axes fraction", "data"), va="center",
            fontsize=9, color=colour,
        )  # fmt: skip
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"loss less that of {results.study.reference}, nats a token (left is better)")
    return figure


def draw_costs(results: Results) -> Figure:
    """Loss against the number of parameters and against the seconds of training."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    style = styles(results)
    for name, row in shown(results).items():
        look = {"color": style[name]["color"], "marker": style[name]["marker"]}
        losses = [run.loss for run in row.runs.values()]
        for axes, values in (
            (left, [run.parameters for run in row.runs.values()]),
            (right, [run.evaluations["seconds"][-1] for run in row.runs.values()]),
        ):
            axes.plot(values, losses, linestyle="", alpha=0.35, markersize=5, **look)
            label = name if axes is left else None
            axes.plot(
                np.mean(values), mean_of(row), linestyle="", label=label, markersize=9, **look
            )
    left.set_xlabel("parameters")
    right.set_xlabel("seconds of training, evaluations left out")
    left.set_ylabel("loss, nats a token")
    left.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    left.tick_params(axis="x", labelrotation=20)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _new(results, height):
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
