"""Pairs that are made and not read: small tasks of turning one text into another.

Each is one function without arguments that gives the same text for ever. What is random comes from
`random.Random(0).random()`, the one thing that Python promises to keep.

A line is a pair by itself: the source, a tab and the target, to be read as characters. No source
has two targets, so all of it can be learnt.
"""

import functools
import random
import string

REVERSE_LENGTHS, REVERSE_PAIRS = (4, 10), 10_000


@functools.cache
def reverse() -> str:
    """Ten thousand words of four to ten random letters, each with its letters in reverse.

    No two words are alike. Where a letter of the target is found depends on how long the source
    is: a decoder must look at other places of it than its own.

    Example:

    >>> reverse().splitlines()[0]
    'tkgnkuhmp\\tpmhukngkt'
    """
    rng = random.Random(0)
    letters = string.ascii_lowercase
    least, most = REVERSE_LENGTHS
    words = {}  # the keys of a dict keep their order
    while len(words) < REVERSE_PAIRS:
        length = least + int(rng.random() * (most + 1 - least))
        words["".join(_one_of(rng, letters) for _ in range(length))] = None
    return _text((word, word[::-1]) for word in words)


def _one_of(rng, items):
    return items[int(rng.random() * len(items))]


def _text(pairs) -> str:
    return "".join(f"{source}\t{target}\n" for source, target in pairs)
