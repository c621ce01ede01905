"""Pieces of a text to show what a model makes of them."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from data.corpora import Corpus, split_lines
from data.cut_windows import cut_windows
from data.tokenizer import Tokenizer


def known_lines(corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> list[list[int]]:
    """Lines of at least two tokens, 2,000 at most, spread over the first 4 million characters.

    Of a line the first 10,000 characters. Those without a token out of the vocabulary, if there are
    any; or else their windows without one; or else all.

    Example:

    >>> from data.corpora import load_corpus
    >>> from data.tokenizer import WordTokenizer
    >>> known_lines(load_corpus("toy"), WordTokenizer(["i", "love", "models"]), context_length=4)
    [[2, 3, 4]]
    """
    lines = split_lines("".join(itertools.islice(corpus.pieces(), 64)))
    encoded = tokenizer.encode_batch(line[:10_000] for line in lines[:: 1 + len(lines) // 2000])
    encoded = [ids for ids in encoded if len(ids) > 1]
    windows = [ids for ids in cut_windows(encoded, context_length) if len(ids) > 1]
    known = (
        [ids for ids in some if tokenizer.unknown_id not in ids] for some in (encoded, windows)
    )
    return next(filter(None, known), encoded)


def sample_prompts(
    sentences: Iterable[list[int]], context_length: int, count: int = 8
) -> list[tuple[list[int], list[int]]]:
    """Some beginnings of sentences, with what follows them, to see what a model makes of them.

    Args:
        sentences: token ids, one list a sentence.
        context_length: longest window of a sentence, in tokens.
        count: how many prompts at most.

    Returns:
        Pairs of a prompt and the different tokens that follow it in `sentences`, three at most,
        spread evenly over these. Prompts with an unknown token are taken only where there are no
        others; and so are, of what is left, those of a single token.

    Example:

    >>> sample_prompts([[2, 3, 4, 5], [2, 3, 9]], context_length=4)
    [([2, 3], [4, 9]), ([2, 3, 4], [5])]
    """
    followers = {}
    for window in cut_windows(sentences, context_length):
        for length in range(1, len(window)):
            followers.setdefault(tuple(window[:length]), {})[window[length]] = None
    known = [p for p in followers if Tokenizer.unknown_id not in p] or list(followers)
    prompts = [p for p in known if len(p) > 1] or known
    chosen = np.unique(np.linspace(0, len(prompts) - 1, count).round().astype(int))
    return [(list(prompts[i]), list(followers[prompts[i]])[:3]) for i in chosen]


def sample_probe(sentences: Sequence[list[int]], context_length: int) -> list[int]:
    """The beginning of the first sentence of four tokens or more, without its last one.

    Example:

    >>> sample_probe([[7, 8], [2, 3, 4, 5]], context_length=4)
    [2, 3, 4]
    """
    long = next((ids for ids in sentences if len(ids) >= 4), sentences[0])
    return long[: min(len(long), context_length, 9) - 1]
