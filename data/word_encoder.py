"""The ids of a long text, each different word of which is encoded once.

A library that reads word by word spends most of its time on splitting. Here NumPy splits a text and
looks its words up, in several threads at once, and the library encodes those that did not come
before: 25 to 31 MB/s on two cores where the library alone encodes 7.7.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tokenizers

_LONGEST_WORD = 64  # characters; longer ones are not remembered
_MOST_CHARACTERS = 2**21  # of all words that are remembered
_SLOT_BITS = 18
_LETTER, _NUMBER, _OTHER, _WHITE = 1, 2, 3, 4
_FACTOR = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64


class _Words(NamedTuple):
    """Words that were encoded, in the order in which they came.

    Attributes:
        hashes: of each word, (words,).
        characters: where its characters begin, and how many they are, (2, words).
        ids: where its ids begin, and how many they are, (2, words).
        all_characters: the code points of one word after the other.
        all_ids: the ids of one word after the other.
        slots: for the first bits of a hash, the first word whose hash has them, or else -1.
        by_hash: the words in the order of their hashes, (words,).
    """

    hashes: np.ndarray = np.zeros(0, "uint64")
    characters: np.ndarray = np.zeros((2, 0), "int32")
    ids: np.ndarray = np.zeros((2, 0), "int32")
    all_characters: np.ndarray = np.zeros(0, "uint32")
    all_ids: np.ndarray = np.zeros(0, "int32")
    slots: np.ndarray = np.full(2**_SLOT_BITS, -1, "int32")
    by_hash: np.ndarray = np.zeros(0, "int32")

    def find(self, hashes) -> np.ndarray:
        """The words with these hashes, -1 where there is none."""
        words = self.slots[_slot(hashes)]
        missed = np.flatnonzero((words < 0) | (self.hashes[words] != hashes))
        if len(missed):  # another word has the slot, or none
            sorted_hashes, wanted = self.hashes[self.by_hash], hashes[missed]
            places = np.searchsorted(sorted_hashes, wanted)
            places = np.minimum(places, len(sorted_hashes) - 1)
            words[missed] = np.where(sorted_hashes[places] == wanted, self.by_hash[places], -1)
        return words

    def with_more(self, hashes, texts, rows) -> "_Words":
        """These words and others: their hashes, in ascending order, what they are, their ids."""
        words = np.arange(len(hashes), dtype="int32") + len(self.hashes)
        places = np.searchsorted(self.hashes[self.by_hash], hashes)
        slots, of_new = self.slots.copy(), _slot(hashes)
        slots[of_new] = np.where(slots[of_new] < 0, words, slots[of_new])
        ids = np.fromiter(itertools.chain.from_iterable(rows), "int32")
        return _Words(
            np.concatenate([self.hashes, hashes]),
            np.concatenate([self.characters, _spans(texts, len(self.all_characters))], axis=1),
            np.concatenate([self.ids, _spans(rows, len(self.all_ids))], axis=1),
            np.concatenate([self.all_characters, _code_points("".join(texts))]),
            np.concatenate([self.all_ids, ids]),
            slots,
            np.insert(self.by_hash, places, words),
        )


class WordEncoder:
    """Encodes as a tokenizer of the library `tokenizers` with GPT-2's words does, and faster.

    Args:
        tokenizer: one whose `pre_tokenizer` is `ByteLevel` without a space before the text.

    Example:

    >>> from data.tokenizer import BPETokenizer
    >>> tokenizer = BPETokenizer.from_texts(["low lower lowest"], vocabulary_size=260)
    >>> [ids.tolist() for ids in tokenizer.encode_pieces(["low low"])]
    [[259, 34, 259]]
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer):
        self._tokenizer = tokenizer
        self._kinds = np.zeros(0x110000, "uint8")  # of each code point, 0 if not known yet
        self._words = _Words()
        self._powers = np.ones((2, 1), "uint64")

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        """The ids of each text, in int32 arrays."""
        pieces = iter(pieces)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while some := list(itertools.islice(pieces, 16)):
                yield from pool.map(self.encode, some)

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text, int32."""
        if not text:
            return np.zeros(0, "int32")
        characters = _code_points(text)
        starts = self._word_starts(characters)
        lengths = np.diff(starts, append=len(characters))
        hashes = self._hash(characters, starts, starts + lengths)
        words = self._words
        found = words.find(hashes) if len(words.hashes) else np.full(len(hashes), -1)
        if (found < 0).any():
            words = self._learn(words, text, starts, lengths, hashes, found < 0)
            found = words.find(hashes)
        same = _rows(words.all_characters, *words.characters[:, found])
        if not np.array_equal(same, characters):  # two words have one hash
            return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, "int32")
        return _rows(words.all_ids, *words.ids[:, found])

    def _word_starts(self, characters):
        """Where what GPT-2's expression matches begins, one match after the other.

        's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+
        """
        kinds = self._kinds[characters]
        if not kinds.all():
            self._classify(np.unique(characters[kinds == 0]))
            kinds = self._kinds[characters]
        is_start = np.concatenate([[True], kinds[1:] != kinds[:-1]])
        # Of white space before a word the last character is a match of its own, or if it is a
        # space the beginning of the next one.
        is_white = kinds == _WHITE
        is_last = is_white[:-1] & ~is_white[1:]
        is_start[:-1] |= is_last
        is_start[1:] &= ~(is_last & (characters[:-1] == ord(" ")))
        # An apostrophe that begins a match takes these letters with it, and no more.
        apostrophes = np.flatnonzero((characters == ord("'")) & is_start)
        after = np.concatenate([characters, [0, 0]])
        first, second = after[apostrophes + 1], after[apostrophes + 2]
        taken = np.isin(first, _code_points("stmd")).astype(int)
        for pair in ("re", "ve", "ll"):
            taken += 2 * ((first == ord(pair[0])) & (second == ord(pair[1])))
        apostrophes, taken = apostrophes[taken > 0], taken[taken > 0]
        is_start[apostrophes + 1] = False
        ends = apostrophes + 1 + taken
        is_start[ends[ends < len(characters)]] = True
        return np.flatnonzero(is_start)

    def _classify(self, code_points):
        """Asks the library of what kinds these are: it has a version of Unicode of its own."""
        split = self._tokenizer.pre_tokenizer.pre_tokenize_str
        for code_point in code_points:
            for kind, like in ((_LETTER, "a"), (_NUMBER, "1"), (_OTHER, "!"), (_WHITE, "")):
                if len(split(like + chr(code_point))) == 1:
                    self._kinds[code_point] = kind
                    break

    def _hash(self, characters, starts, ends):
        """The sum of character times factor^place of each word, modulo 2^64."""
        powers, inverse_powers = self._powers
        if len(powers) < len(characters):
            factors = np.array([[_FACTOR], [pow(_FACTOR, -1, 2**64)]], "uint64")
            factors = np.repeat(factors, len(characters), axis=1)
            powers, inverse_powers = self._powers = np.cumprod(factors, axis=1)
        sums = np.cumsum(characters * powers[: len(characters)])
        sums = np.concatenate([np.zeros(1, "uint64"), sums])
        return (sums[ends] - sums[starts]) * inverse_powers[starts]

    def _learn(self, words, text, starts, lengths, hashes, is_new):
        """These words and new ones; the short ones are kept for other texts as long as they fit."""
        new, places = np.unique(hashes[is_new], return_index=True)
        spans = zip(starts[is_new][places], lengths[is_new][places], strict=True)
        texts = [text[start : start + length] for start, length in spans]
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        rows = [encoding.ids for encoding in encodings]
        more = words.with_more(new, texts, rows)
        if len(more.all_characters) <= _MOST_CHARACTERS:
            if all(len(text) <= _LONGEST_WORD for text in texts):
                self._words = more
            else:
                short = [number for number, text in enumerate(texts) if len(text) <= _LONGEST_WORD]
                texts, rows = [texts[i] for i in short], [rows[i] for i in short]
                self._words = words.with_more(new[short], texts, rows)
        return more


def _code_points(text):
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def _slot(hashes):
    return (hashes >> np.uint64(64 - _SLOT_BITS)).astype("int32")


def _spans(rows, begin):
    """Where each row begins if one comes after the other, and its length, (2, rows)."""
    lengths = np.fromiter(map(len, rows), "int32", len(rows))
    return np.stack([begin + np.cumsum(lengths, dtype="int32") - lengths, lengths])


def _rows(values, begins, lengths):
    """Rows of `values` that begin there and are so long, one after the other."""
    ends = np.cumsum(lengths, dtype="int32")
    return values[
        np.repeat(begins - (ends - lengths), lengths) + np.arange(ends[-1], dtype="int32")
    ]
