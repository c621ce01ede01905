"""Which pairs share a batch: those of similar lengths, in few shapes."""

import numpy as np


def choose_bounds(lengths: np.ndarray, most: int, price: int = 0) -> list[int]:
    """Cuts pairs into groups of similar lengths, so that padding is least.

    The length of a pair is that of its longer side. A group is padded to its longest source and
    its longest target.

    Args:
        lengths: of sources and of targets, (pairs, 2).
        most: how many groups there may be.
        price: how many tokens of padding a further group must save. Default 0.

    Returns:
        The longest pair of each group, from the shortest group to the longest.

    Example:

    >>> choose_bounds(np.array([[1, 2], [2, 2], [9, 9], [8, 9], [9, 1]]), most=2)
    [2, 9]
    """
    values, group = np.unique(lengths.max(axis=1), return_inverse=True)
    count = len(values)
    if not count:
        return [0]
    pairs = np.bincount(group)  # of each length
    longest = np.zeros((count, 2), "int64")
    np.maximum.at(longest, group, lengths)
    # [i, j]: the tokens that the pairs of values i to j - 1 take, padded together.
    costs = np.full((count + 1, count + 1), np.inf)
    for i in range(count):
        sizes = np.maximum.accumulate(longest[i:]).sum(axis=1)
        costs[i, i + 1 :] = np.cumsum(pairs[i:]) * sizes
    # Dynamic programming: the least cost of the first j values in one group more each time.
    best, cuts, totals = np.append(0, np.full(count, np.inf)), [], []
    for number in range(1, most + 1):
        options = best[:, None] + costs  # where the last group begins, and where it ends
        best = options.min(axis=0)
        cuts.append(options.argmin(axis=0))
        totals.append(best[-1] + price * number)
    bounds, end = [], count
    for cut in cuts[np.argmin(totals) :: -1]:
        bounds.append(int(values[end - 1]))
        end = cut[end]
    return bounds[::-1]
