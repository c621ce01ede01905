"""Texts that are made and not read: small tasks whose best answer is known.

Each is one function without arguments that gives the same text for ever. What is random comes from
`random.Random(0).random()`, the one thing that Python promises to keep.

A line is an example by itself, of words between spaces. Where a line has a `=`, what stands before
it is given and what comes after it is the answer.
"""

import bisect
import functools
import itertools
import random
import string

SORT_LENGTH, SORT_DIGITS = 6, 3
INDUCTION_TOKENS, INDUCTION_LENGTH, INDUCTION_LINES = 32, 65, 6000
INDUCTION_PERIODS = (8, 20)
BABBLE_WORDS, BABBLE_LENGTH = 300, 60_000
POSITIONS_LETTERS, POSITIONS_LENGTH = 8, 4


@functools.cache
def sort() -> str:
    """Every sequence of six digits of 0, 1 and 2, shuffled, each followed by its digits in order.

    The same task as in Karpathy's minGPT (demo.ipynb), whose rows have no mark between the two.

    Example:

    >>> sort().splitlines()[0]
    '2 0 0 1 0 2 = 0 0 0 1 2 2'
    """
    digits = string.digits[:SORT_DIGITS]
    rows = _shuffled(random.Random(0), itertools.product(digits, repeat=SORT_LENGTH))
    return _text(f"{' '.join(row)} = {' '.join(sorted(row))}" for row in rows)


@functools.cache
def induction() -> str:
    """Lines of random tokens that are repeated again and again, each line with its own period.

    A period has 8 to 20 different tokens of 32. The first one can't be foreseen; after it every
    token is the one that followed the last time. To know it, a model must find the token before in
    the past and look one further: two steps, for two layers.

    Example:

    >>> line = induction().split("\\n")[0].split()
    >>> len(line), line.index(line[0], 1), line[:3] == line[19:22]
    (65, 19, True)

    Reference: Olsson et al. (2022), In-context Learning and Induction Heads,
    https://arxiv.org/abs/2209.11895.
    """
    rng = random.Random(0)
    tokens = _syllables()[:INDUCTION_TOKENS]
    least, most = INDUCTION_PERIODS

    def line():
        period = _shuffled(rng, tokens)[: least + int(rng.random() * (most + 1 - least))]
        return " ".join(itertools.islice(itertools.cycle(period), INDUCTION_LENGTH))

    return _text(line() for _ in range(INDUCTION_LINES))


@functools.cache
def positions() -> str:
    """Every order of every four of eight letters, shuffled; the answer is which one came first.

    The mark asks, and to who can't tell positions apart the letters before it are a set: any of
    the four may have been the first.

    Example:

    >>> positions().splitlines()[0]
    'f g b h = f'
    """
    letters = string.ascii_lowercase[:POSITIONS_LETTERS]
    rows = _shuffled(random.Random(0), itertools.permutations(letters, POSITIONS_LENGTH))
    return _text(f"{' '.join(row)} = {row[0]}" for row in rows)


@functools.cache
def babble() -> str:
    """A running text of 300 made-up words, which come as often as their rank says (Zipf's law).

    To be read as characters. Which word comes next can't be foreseen, but once it has begun, how it
    ends can: all that is worth knowing is in the last few characters.

    Example:

    >>> babble()[:60]
    'vamikapa yizi dika deke galitiwe fo lozo nidimo vamikapa res'
    """
    rng = random.Random(0)
    syllables = _syllables()
    words = []
    while len(words) < BABBLE_WORDS:
        word = "".join(_one_of(rng, syllables) for _ in range(1 + int(rng.random() * 4)))
        if word not in words:
            words.append(word)
    ends = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    drawn = (words[bisect.bisect(ends, rng.random() * ends[-1])] for _ in range(BABBLE_LENGTH))
    return " ".join(drawn) + "\n"


def _one_of(rng, items: list):
    return items[int(rng.random() * len(items))]


def _shuffled(rng, items) -> list:
    """The items in a random order (Fisher and Yates)."""
    items = list(items)
    for last in range(len(items) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        items[last], items[other] = items[other], items[last]
    return items


def _syllables() -> list[str]:
    """The 64 words that the longer texts are made of."""
    return [a + b for a, b in itertools.product("bdfgklmnprstvwyz", "aeio")]


def _text(lines) -> str:
    return "\n".join(lines) + "\n"
