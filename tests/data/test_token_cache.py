"""Tokenizers and token ids on disk: used when they fit, made again when they don't."""

import os
import time
import warnings

import numpy as np
import pytest

from data import token_cache
from data.corpora import load_corpus
from data.token_cache import cached_token_ids, cached_tokenizer
from data.tokenizer import BPETokenizer, CharTokenizer, WordTokenizer

TEXT = "naïve 日本 one two two three\n" * 5_000


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return load_corpus(str(path))


@pytest.fixture
def refuse(monkeypatch):
    """Makes sure that from now on nothing is learned or encoded."""

    def fail(*arguments):
        raise AssertionError("the cache is not used")

    def refuse_work():
        for kind in (BPETokenizer, CharTokenizer, WordTokenizer):
            monkeypatch.setattr(kind, "from_texts", fail)
            monkeypatch.setattr(kind, "encode_pieces", fail)

    return refuse_work


def kept(home, suffix):
    return sorted(home.rglob(f"*{suffix}"))


@pytest.mark.parametrize(
    ("kind", "arguments"), [(WordTokenizer, (4,)), (CharTokenizer, ()), (BPETokenizer, (280,))]
)
def test_the_second_time_nothing_is_learned_or_encoded(corpus, keras_home, refuse, kind, arguments):
    tokenizer = cached_tokenizer(corpus, kind, *arguments)
    ids = cached_token_ids(corpus, tokenizer)
    assert tokenizer.get_config() == kind.from_texts([TEXT], *arguments).get_config()
    assert ids.tolist() == tokenizer.encode(TEXT)
    refuse()
    again = cached_tokenizer(corpus, kind, *arguments)
    assert isinstance(again, kind)
    assert again.get_config() == tokenizer.get_config()
    assert cached_token_ids(corpus, again).tolist() == ids.tolist()
    assert len(kept(keras_home, ".npy")) == len(kept(keras_home, ".json")) == 1


def test_ids_are_mapped_from_a_file_and_as_small_as_they_can_be(corpus, keras_home):
    ids = cached_token_ids(corpus, CharTokenizer.from_texts([TEXT]))
    assert isinstance(ids, np.memmap)
    assert ids.dtype == "uint16"
    big = CharTokenizer(chr(code) for code in range(2**16) if not 0xD800 <= code < 0xE000)
    assert cached_token_ids(corpus, big).dtype == "uint16"
    bigger = CharTokenizer(map(chr, range(0xE000, 0xE000 + 2**16)))
    assert cached_token_ids(corpus, bigger).dtype == "int32"
    assert all(path.stat().st_size > len(TEXT) for path in kept(keras_home, ".npy"))


def test_a_text_without_tokens_has_no_ids(keras_home, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a ")
    _, space = load_corpus(str(path)).split(0.5, at_lines=False)
    for _ in range(2):
        assert cached_token_ids(space, WordTokenizer(["a"])).shape == (0,)


def one_byte_is_another(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = [
    lambda content: b"",
    lambda content: content[:5],
    lambda content: content[:20_000],
    lambda content: content[:-1],
    lambda content: content + b"x",
    lambda content: one_byte_is_another(content, 9),
    lambda content: one_byte_is_another(content, len(content) // 2),
    lambda content: one_byte_is_another(content, len(content) - 1),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_damaged_is_made_again(corpus, keras_home, damage):
    def made(corpus):
        tokenizer = cached_tokenizer(corpus, BPETokenizer, 300)
        return tokenizer.get_config(), cached_token_ids(corpus, tokenizer).tolist()

    expected = made(corpus)
    (file_of_ids,), (file_of_tokenizer,) = kept(keras_home, ".npy"), kept(keras_home, ".json")
    for path in (file_of_ids, file_of_tokenizer):
        content = path.read_bytes()
        if damage(content) == content:  # a short one
            continue
        path.write_bytes(damage(content))
        with pytest.warns(UserWarning, match=f"{path} was damaged and is made again"):
            again = made(corpus)
        assert again == expected
        assert path.read_bytes() == content


def test_another_version_text_or_tokenizer_has_files_of_its_own(corpus, keras_home, monkeypatch):
    def make(corpus, count):
        tokenizer = cached_tokenizer(corpus, WordTokenizer, count)
        cached_token_ids(corpus, tokenizer)
        return len(kept(keras_home, ".npy")), len(kept(keras_home, ".json"))

    assert make(corpus, 4) == (1, 1)
    assert make(corpus, 4) == (1, 1)
    assert make(corpus, 3) == (2, 2)
    assert make(corpus.split(0.5, at_lines=True)[0], 4) == (3, 3)
    (path,) = corpus.paths
    path.write_text("other words")
    assert make(load_corpus(str(path)), 4) == (4, 4)
    monkeypatch.setattr(token_cache, "VERSION", 0)
    assert make(load_corpus(str(path)), 4) == (5, 5)
    monkeypatch.setattr("tokenizers.__version__", "another")
    assert make(load_corpus(str(path)), 4) == (6, 6)


def test_a_changed_text_is_encoded_anew(corpus, keras_home):
    tokenizer = CharTokenizer.from_texts([TEXT])
    before = cached_token_ids(corpus, tokenizer)
    (path,) = corpus.paths
    path.write_text(TEXT[::-1])
    after = cached_token_ids(load_corpus(str(path)), tokenizer)
    assert after.tolist() == before.tolist()[::-1]


def test_where_nothing_can_be_written_everything_works_without(corpus, keras_home):
    keras_home.write_text("a file where the folder should be")
    with warnings.catch_warnings(record=True, action="default") as said:
        tokenizer = cached_tokenizer(corpus, BPETokenizer, 280)
        ids = cached_token_ids(corpus, tokenizer)
    assert ids.dtype == "uint16"
    assert tokenizer.decode(ids) == TEXT
    folder = keras_home / "mini_transformer"
    assert [str(warning.message) for warning in said] == [
        f"{folder}: can't be written (Not a directory); a text is read anew each time"
    ]


def test_an_error_leaves_nothing_behind(corpus, keras_home, monkeypatch):
    tokenizer = CharTokenizer.from_texts([TEXT])

    def fail(pieces):
        yield np.array([2, 3])
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(tokenizer, "encode_pieces", fail)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        cached_token_ids(corpus, tokenizer)
    assert kept(keras_home, ".npy") == kept(keras_home, ".tmp") == []


def test_what_a_killed_process_left_is_removed_when_it_is_old(corpus, keras_home):
    folder = keras_home / "mini_transformer"
    folder.mkdir(parents=True)
    old, young = folder / "old.1.tmp", folder / "young.2.tmp"
    for path in (old, young):
        path.write_bytes(b"half of it")
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    cached_token_ids(corpus, CharTokenizer.from_texts([TEXT]))
    assert kept(keras_home, ".tmp") == [young]


@pytest.mark.parametrize("kind", [WordTokenizer, CharTokenizer, BPETokenizer])
@pytest.mark.parametrize("name", ["lines", "one line", "spaces"])
def test_a_long_text_in_pieces_has_the_ids_of_the_whole(keras_home, tmp_path, kind, name):
    text = {
        "lines": "naïve 日本!  \n\n don't 12 'll\u00a0\n e\u0301\x85 x\x1c\r\n\r\n\t y \n" * 6_000,
        "one line": "naïve  日本! don't\u2003 12\t\t x\x1f y   z " * 8_000,
        "spaces": "word" + " " * 70_000 + "\n" * 9 + "word " * 30_000,
    }[name]
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode())
    corpus = load_corpus(str(path))
    tokenizer = kind.from_texts([text])
    assert len(list(corpus.pieces())) > 2
    assert cached_token_ids(corpus, tokenizer).tolist() == tokenizer.encode(text)
