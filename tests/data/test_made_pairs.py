"""Pairs that are made: what they are, and that they stay as they are."""

import hashlib
import string
from collections import Counter

import pytest

from data import made_pairs

SHA256 = {
    "reverse": "7855da264903add02bb8342209e62d70778a982a15f3a9a608d504ed62a60839",
}


def pairs(name):
    """The lines of a text, each as a source and a target."""
    return [tuple(line.split("\t")) for line in getattr(made_pairs, name)().splitlines()]


@pytest.mark.parametrize("name", SHA256)
def test_pairs_are_the_same_for_ever(name):
    text = getattr(made_pairs, name)()
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", SHA256)
def test_no_source_comes_twice(name):
    sources = [source for source, _ in pairs(name)]
    assert len(set(sources)) == len(sources)


def test_words_of_all_lengths_are_reversed():
    rows = pairs("reverse")
    assert len(rows) == 10_000
    for source, target in rows:
        assert list(target) == list(reversed(source))
    lengths = Counter(len(source) for source, _ in rows)
    assert sorted(lengths) == list(range(4, 11))
    assert min(lengths.values()) > 1000
    assert {letter for source, _ in rows for letter in source} == set(string.ascii_lowercase)
