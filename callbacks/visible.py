"""Tokens and texts as people can see them."""

import html

_VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\r": "↵", "\t": "⇥"})


def visible(token: str) -> str:
    """A token with signs for the white space that it begins with.

    Example:

    >>> visible(" "), visible("love"), visible(" love")
    ('␣', 'love', '␣love')
    """
    word = token.lstrip()
    return token[: len(token) - len(word)].translate(_VISIBLE) + word


def as_cell(text: str) -> str:
    """A text as Markdown shows it unchanged inside a table.

    Example:

    >>> as_cell("a | b")
    'a \\\\| b'
    """
    return html.escape(" ".join(text.split()), quote=False).translate(_ESCAPES)


_ESCAPES = str.maketrans({character: f"\\{character}" for character in "\\`*_|[]#"})
