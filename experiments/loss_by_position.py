"""How the loss falls as more of the text is read: `evaluate.py --by position`."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.console import console, make_table
from experiments.evaluation import Evaluation
from experiments.pictures import look

_MOST_RANGES = 11  # that fit on a line


def loss_by_position(result: Evaluation) -> list[dict]:
    """The loss at each place in the context, by how many tokens are read there.

    Returns:
        For each number of tokens that something was predicted from, in rising order: "context",
        that number; "tokens", how many were predicted; and "loss", their mean in nats.
    """
    found = result.predictions
    counts = np.bincount(found.positions)
    sums = np.bincount(found.positions, weights=found.losses)
    return [
        {
            "context": place + 1,
            "tokens": int(counts[place]),
            "loss": float(sums[place] / counts[place]),
        }
        for place in np.flatnonzero(counts).tolist()
    ]


def in_ranges(rows: Sequence[dict], longest: int) -> list[dict | None]:
    """The same for ranges of contexts that double: 1, 2, 3 to 4, 5 to 8 and so on to `longest`.

    Returns:
        For each range "first" and "last", its contexts, and "tokens" and "loss" as before; None
        where nothing was predicted.
    """
    found = []
    for first, last in _ranges(longest):
        inside = [row for row in rows if first <= row["context"] <= last]
        tokens = sum(row["tokens"] for row in inside)
        loss = sum(row["tokens"] * row["loss"] for row in inside) / max(tokens, 1)
        of_range = {"first": first, "last": last, "tokens": tokens, "loss": loss}
        found.append(of_range if tokens else None)
    return found


def _ranges(longest):
    factor = 2
    while True:
        ends = [1]
        while ends[-1] < longest:
            ends.append(min(ends[-1] * factor, longest))
        if len(ends) <= _MOST_RANGES:
            return [(first + 1, last) for first, last in zip([0, *ends], ends, strict=False)]
        factor *= 2


def print_by_position(results: Sequence[Evaluation]) -> None:
    """Prints a row a model, the loss for each range of contexts."""
    rows = [loss_by_position(result) for result in results]
    longest = max(row[-1]["context"] for row in rows)
    names = [f"{a}" if a == b else f"{a}-{b}" for a, b in _ranges(longest)]
    table = make_table("tokens read", *names)
    counts = None
    for result, of_model in zip(results, rows, strict=True):
        ranges = in_ranges(of_model, longest)
        table.add_row(result.score.name, *("" if r is None else f"{r['loss']:.3f}" for r in ranges))
        last, counts = counts, ["" if r is None else _short(r["tokens"]) for r in ranges]
        if counts != last:
            table.add_row("  of predicted tokens", *counts)
    console.print("\nloss by place in the context")
    console.print(table)


def _short(count):
    """A count in five characters at most."""
    thousands = count / 1000
    if count < 10_000:
        return f"{count}"
    return f"{thousands:.0f}k" if thousands < 1000 else f"{thousands / 1000:.0f}M"


def draw_by_position(results: Sequence[Evaluation]) -> Figure:
    """A line a model, loss against the tokens read."""
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    axes = figure.subplots()
    longest = 1
    for number, result in enumerate(results):
        rows = loss_by_position(result)
        longest = max(longest, rows[-1]["context"])
        ranges = [r for r in in_ranges(rows, rows[-1]["context"]) if r is not None]
        style = look(number)
        # Each place, faint, and over it the ranges, in whose middle a marker stands.
        places = [row["context"] for row in rows], [row["loss"] for row in rows]
        axes.plot(*places, color=style["color"], linewidth=0.7, alpha=0.35)
        middles = [(r["first"] * r["last"]) ** 0.5 for r in ranges]
        axes.plot(middles, [r["loss"] for r in ranges], label=result.score.name, **style)
    axes.set_xscale("log", base=2)
    ticks = [2**n for n in range(longest.bit_length())]
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("tokens of the text that are read (place in the context)")
    axes.set_ylabel("loss (nats a token)")
    axes.set_title("Loss by place in the context (faint: each place by itself)")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
