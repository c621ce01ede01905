"""Texts that are made: what their lines are, and that they stay as they are."""

from collections import Counter

import pytest

from data.corpora import BUILT_IN, load_corpus

SHA256 = {
    "toy": "dc1c9b9ad802c3fe5e21bf53f592fe23d61b975d3db21ed35ff7cb1e5157f332",
    "sort": "11370ea1900a06cf4aed8ad6f745ce898d8204e0bc3ec51adb6468ccb5dae013",
    "induction": "d1fd726b4844ca15d45dc5ad322fc4be303d50349fd463cdcfd7f87be5c8b05b",
    "positions": "22a38949367d529df4b7d905e01ed407297e8bee043a4a06acc6e9e7663dec63",
    "babble": "efd52717308ae154ba93bf8270881ee90daacba7f0e243d18f36e5a148e2ad25",
    "reverse": "7855da264903add02bb8342209e62d70778a982a15f3a9a608d504ed62a60839",
    "dates": "7b507df585e93b94b5fc402c4a465f9058c67935d4eed330a24919d5a3efc4c3",
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_text_that_is_built_in_is_the_same_for_ever(name):
    assert load_corpus(name).sha256 == SHA256[name]


def test_every_sequence_is_sorted_once():
    lines = load_corpus("sort").sentences
    assert len(set(lines)) == len(lines) == 3**6
    for line in lines:
        digits, answer = line.split(" = ")
        assert len(digits.split()) == 6
        assert sorted(digits.split()) == answer.split()


def test_tokens_are_repeated_with_many_periods():
    lines = [line.split() for line in load_corpus("induction").sentences]
    periods = [line.index(line[0], 1) for line in lines]
    assert set(periods) == set(range(8, 21))
    for line, period in zip(lines, periods, strict=True):
        assert len(line) == 65
        assert len(set(line)) == period
        assert line[period:] == line[:-period]
    assert len({tuple(line[:8]) for line in lines}) == len(lines)


def test_what_came_first_is_asked_of_every_order():
    lines = load_corpus("positions").sentences
    assert len(set(lines)) == len(lines) == 8 * 7 * 6 * 5
    for line in lines:
        *letters, mark, answer = line.split()
        assert len(set(letters)) == 4
        assert (mark, answer) == ("=", letters[0])


def test_words_come_as_often_as_their_rank_says():
    words = load_corpus("babble").text.split()
    counts = [count for _, count in Counter(words).most_common()]
    assert len(counts) == 300
    for rank in (1, 2, 10, 50):
        assert counts[rank - 1] * rank == pytest.approx(counts[0], rel=0.15)
