"""Encoding each different word once, beside the library that encodes them all."""

import numpy as np
import pytest

from data import word_encoder
from data.tokenizer import BPETokenizer
from data.word_encoder import WordEncoder

SIGNS = list(
    "abcst REVEreveldm'''   \t\n\r0123²½Ⅷ_.!?-é\u0301日本語🙂\u00a0\u2003\x85\x1c\x1f\u200b"
)
TEXTS = [
    "".join(np.random.default_rng(seed).choice(SIGNS, length))
    for seed, length in enumerate([1, 2, 3, 5, 10, 1_000, 100_000] * 20)
    if length < 100_000 or seed < 20
]
TOKENIZER = BPETokenizer.from_texts(TEXTS[5:8], 400)
LIBRARY = TOKENIZER._tokenizer


def assert_same(encoder, texts):
    for text in texts:
        if text:  # words too: two may have the ids of one
            words = LIBRARY.pre_tokenizer.pre_tokenize_str(text)
            starts = encoder._word_starts(word_encoder._code_points(text))
            assert starts.tolist() == [start for _, (start, _) in words], repr(text[:100])
        expected = LIBRARY.encode(text, add_special_tokens=False).ids
        assert encoder.encode(text).tolist() == expected, repr(text[:100])


def test_ids_are_those_of_the_library():
    assert_same(WordEncoder(LIBRARY), TEXTS)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "don't",
            "'s",
            "'start",
            "''s",
            "'S",
            " 's",
            "\t's",
            "'re're'r",
            "1've",
            "'ll'l",
            "'d'm't",
            "a'",
            "'",
        ),
        *(
            "  a",
            " \ta",
            "\t a",
            "a \n",
            "a  \n\n  b",
            " ",
            "  ",
            "a\u00a0b",
            " !a",
            "!'s",
            "_a",
            "",
        ),
    ],
)
def test_words_begin_where_they_do_for_the_library(text):
    assert_same(WordEncoder(LIBRARY), [text])


def test_characters_are_of_the_kinds_that_the_library_says():
    code_points = [*range(0x3000), *range(0x3000, 0x110000, 37)]
    characters = [chr(code) for code in code_points if not 0xD800 <= code < 0xE000]
    for before in ("a", "1", "!", " "):
        assert_same(WordEncoder(LIBRARY), ["".join(before + sign for sign in characters)])


def test_words_with_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(word_encoder, "_FACTOR", 1)  # so that anagrams have one
    encoder = WordEncoder(LIBRARY)
    assert_same(encoder, ["art rat tar", "rat", "art"])
    assert len(encoder._words.hashes) == 2  # as long as the word, with a space before it or not


def test_what_is_remembered_is_no_more_than_fits(monkeypatch):
    monkeypatch.setattr(word_encoder, "_MOST_CHARACTERS", 200)
    monkeypatch.setattr(word_encoder, "_LONGEST_WORD", 3)
    encoder = WordEncoder(LIBRARY)
    assert_same(encoder, TEXTS[:6])
    assert_same(encoder, ["one two three one", "one two three one"])
    words = encoder._words
    assert 0 < len(words.all_characters) <= 200
    assert words.characters[1].max() <= 3


def test_pieces_come_in_their_order():
    texts = [*TEXTS[:100], "", "end"]
    found = WordEncoder(LIBRARY).encode_pieces(texts)
    expected = [LIBRARY.encode(text, add_special_tokens=False).ids for text in texts]
    assert [ids.tolist() for ids in found] == expected


def test_words_with_one_slot_are_found_too(monkeypatch):
    encoder = WordEncoder(LIBRARY)
    encoder._words = word_encoder._Words(slots=np.array([-1], "int32"))
    monkeypatch.setattr(word_encoder, "_slot", lambda hashes: np.zeros(len(hashes), "int32"))
    assert_same(encoder, TEXTS)
