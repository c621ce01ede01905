"""Long sentences in pieces that a model can read."""

from collections.abc import Iterable, Sequence


def cut_windows(sentences: Iterable[Sequence], length: int) -> list[Sequence]:
    """Cuts each sentence into windows of at most `length` tokens, one after the other.

    Example:

    >>> cut_windows([[2, 3, 4], [5]], length=2)
    [[2, 3], [4], [5]]
    """
    return [
        sentence[start : start + length]
        for sentence in sentences
        for start in range(0, len(sentence), length)
    ]
