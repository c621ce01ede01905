"""Tokenizers and token ids that were made once, kept on disk for the next time.

They lie in `data.fetching.cache_folder()`, each in a file named by the hash of all that it is made
of: the text, the tokenizer, the version of the library and `VERSION`. So what is found is never out
of date, and may be deleted at any time (`data.kept_files`).
"""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import tokenizers

from data.corpora import Corpus
from data.fetching import cache_folder
from data.kept_files import HASH_BYTES, is_whole, new_file, where_possible
from data.progress import show_progress
from data.tokenizer import Tokenizer

VERSION = 2  # to be raised when what a tokenizer or these files hold gets another meaning


def cached_tokenizer(corpus: Corpus, kind: type[Tokenizer], *arguments) -> Tokenizer:
    """A tokenizer made of a text.

    Args:
        corpus: the text, or a part of one.
        kind: the tokenizer's class.
        arguments: what its `from_texts` takes after the texts.

    Example:

    >>> from data.corpora import load_corpus
    >>> from data.tokenizer import WordTokenizer
    >>> cached_tokenizer(load_corpus("toy"), WordTokenizer, 3).words
    ['i', 'love', 'deep']
    """
    path = _path(".json", corpus.key, kind.__name__, arguments)
    if is_whole(path):
        return kind.from_config(json.loads(path.read_bytes()[:-HASH_BYTES]))
    pieces = show_progress(corpus.pieces(), corpus.length, "learning the tokens")
    tokenizer = kind.from_texts(pieces, *arguments)
    with where_possible(), new_file(path) as file:
        file.write(json.dumps(tokenizer.get_config()).encode())
    return tokenizer


def cached_token_ids(corpus: Corpus, tokenizer: Tokenizer, end_id: int | None = None) -> np.ndarray:
    """The ids of a text, which stay on disk, in a NumPy file, until they are needed.

    Args:
        corpus: the text, or a part of one.
        tokenizer: what encodes it, piece by piece (`Corpus.pieces`).
        end_id: what to put after each piece, where the pieces are texts of their own. Default
            None: nothing.

    Returns:
        A memory map, (tokens,), uint16 where the vocabulary allows or else int32. An array in
        memory where no file can be written.

    Example:

    >>> from data.corpora import load_corpus
    >>> from data.tokenizer import CharTokenizer
    >>> tokenizer = CharTokenizer(" abcdefghijklmnopqrstuvwxyz\\n")
    >>> cached_token_ids(load_corpus("toy"), tokenizer)[:6].tolist()
    [11, 2, 14, 17, 24, 7]
    """
    made_of = [corpus.key, type(tokenizer).__name__, tokenizer.get_config()]
    path = _path(".npy", *made_of, *([] if end_id is None else [end_id]))
    if is_whole(path):
        return np.lib.format.open_memmap(path, mode="r")
    dtype = np.dtype("uint16" if tokenizer.vocabulary_size <= 2**16 else "int32")
    with where_possible():
        with new_file(path) as file:
            count = 0
            _write_header(file, dtype, count)
            for token_ids in _encode(corpus, tokenizer, end_id):
                file.write(token_ids.astype(dtype).data)
                count += len(token_ids)
            file.seek(0)
            _write_header(file, dtype, count)  # NumPy leaves room: as long as the first one
        return np.lib.format.open_memmap(path, mode="r")
    parts = [token_ids.astype(dtype) for token_ids in _encode(corpus, tokenizer, end_id)]
    return np.concatenate([np.array([], dtype), *parts])


def _encode(corpus, tokenizer, end_id):
    pieces = show_progress(corpus.pieces(), corpus.length, "encoding the text")
    if end_id is None:
        return tokenizer.encode_pieces(pieces)
    return _encode_each(pieces, tokenizer, end_id)


def _encode_each(pieces, tokenizer, end_id):
    pieces = iter(pieces)
    while some := list(itertools.islice(pieces, 1024)):
        rows = tokenizer.encode_batch(some)
        yield np.array([id_ for row in rows for id_ in (*row, end_id)], "int32")


def _write_header(file, dtype, count):
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
    np.lib.format.write_array_header_1_0(file, {**header, "shape": (count,)})


def _path(suffix: str, *made_of) -> Path:
    content = json.dumps([VERSION, tokenizers.__version__, *made_of])
    return cache_folder() / (hashlib.sha256(content.encode()).hexdigest()[:32] + suffix)
