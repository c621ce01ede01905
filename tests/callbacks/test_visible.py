"""Tokens as people can see them."""

import pytest

from callbacks.visible import visible


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" ", "␣"),
        (" \n\t", "␣↵⇥"),
        ("love", "love"),
        (" love", "␣love"),
        ("  ", "␣␣"),
        ("two words", "two words"),
        ("", ""),
    ],
)
def test_white_space_that_begins_a_token_has_signs(token, shown):
    assert visible(token) == shown
