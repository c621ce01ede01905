"""Tokens as people can see them."""

_VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\r": "↵", "\t": "⇥"})


def visible(token: str) -> str:
    """A token with signs for the white space that it begins with.

    Example:

    >>> visible(" "), visible("love"), visible(" love")
    ('␣', 'love', '␣love')
    """
    word = token.lstrip()
    return token[: len(token) - len(word)].translate(_VISIBLE) + word
