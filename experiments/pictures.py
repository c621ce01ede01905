"""What the pictures of several models have in common: looks, and a file."""

from matplotlib.figure import Figure

from experiments.cli import UsageError

# Okabe and Ito's colours, which colour-blind people tell apart; without colour the markers do.
_COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "os^Dv*XP<>phd"  # 13: as many as a study shows
_LINES = ("-", "--", "-.", ":")


def look(number: int) -> dict:
    """How the line of model number `number`, counted from 0, is drawn, for `Axes.plot`.

    Example:

    >>> look(0)["marker"], look(1)["marker"]
    ('o', 's')
    """
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linestyle": _LINES[number % len(_LINES)],
        "markersize": 5,
        "linewidth": 1.5,
    }


def save(figure: Figure, path: str) -> None:
    """Writes a picture; a UsageError says why it can't be written."""
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(
            f"argument --output: expected a file to write, got {path} ({error.strerror})"
        ) from error
