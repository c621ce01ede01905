"""When something is worth doing: at which epochs, or as often as its share of the time allows."""

import time

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


class TimeShare:
    """Sees to it that something takes at most a share of the time.

    Args:
        share: between 0 and 1.

    Raises:
        ValueError: a share out of its range.

    Example:

    >>> pace = TimeShare(0.05)
    >>> pace.begin()
    >>> if pace.allows_more():
    ...     with pace:  # measures how long it takes
    ...         pass
    """

    def __init__(self, share: float):
        if not 0 <= share <= 1:
            raise ValueError(
                f"`time_share` must be between 0 and 1. Received: time_share={share!r}."
            )
        self.share = share

    def begin(self) -> None:
        """Starts the clock; nothing has been spent."""
        self._begin = time.perf_counter()
        self._spent = 0.0

    def allows_more(self) -> bool:
        """Whether what was spent so far is no more than the share."""
        return self._spent <= self.share * (time.perf_counter() - self._begin)

    def __enter__(self):
        self._entered = time.perf_counter()

    def __exit__(self, *exception):
        self._spent += time.perf_counter() - self._entered
