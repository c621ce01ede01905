"""Tokens as people can see them."""

_VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\r": "↵", "\t": "⇥"})


def visible(token: str) -> str:
    """A token of white space as signs; any other as it is.

    Example:

    >>> visible(" "), visible("love")
    ('␣', 'love')
    """
    return token.translate(_VISIBLE) if token.isspace() else token
