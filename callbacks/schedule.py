"""At which epochs something is worth doing."""

import numpy as np


def spread_epochs(epochs: int, count: int = 40) -> list[int]:
    """About `count` of the epochs 0 to `epochs` - 1, dense early and sparse later.

    A model changes most at the beginning, so a film of its training needs most pictures there.
    The first and the last epoch are always among them; with `count` epochs or fewer, all are.

    Example:

    >>> spread_epochs(1000, count=8)
    [0, 2, 6, 18, 51, 138, 372, 999]
    >>> spread_epochs(3)
    [0, 1, 2]
    """
    if epochs <= count:
        return list(range(epochs))
    chosen = np.array([])
    points = max(count, 2)
    while len(chosen) < count:  # early points round to the same epoch: add points until enough
        chosen = np.unique(np.geomspace(1, epochs, points).round().astype(int)) - 1
        points += 1
    return chosen.tolist()
