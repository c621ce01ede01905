"""Long sentences in pieces."""

import pytest

from data.cut_windows import cut_windows


@pytest.mark.parametrize(
    ("sentences", "length", "windows"),
    [
        ([[2, 3, 4, 5, 6]], 2, [[2, 3], [4, 5], [6]]),
        ([[2, 3, 4, 5]], 4, [[2, 3, 4, 5]]),
        ([[2, 3], [], [4]], 9, [[2, 3], [4]]),
        ([], 3, []),
    ],
)
def test_windows_hold_every_token_once_and_never_cross_a_sentence(sentences, length, windows):
    assert cut_windows(sentences, length) == windows
