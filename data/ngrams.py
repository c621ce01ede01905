"""Models that count: what a token's nearest past says of it, without any training."""

from collections.abc import Iterable, Sequence

import numpy as np

_SPECIAL = 2  # ids 0 and 1 of `data.tokenizer`: padding, and what is out of the vocabulary
_UNKNOWN = 1
_PIECE = 2**20  # training tokens counted at a time


def ngram_losses(
    training_rows: Iterable[Sequence[int]],
    evaluation_rows: Iterable[Sequence[int]],
    vocabulary_size: int,
    orders: int = 6,
) -> list[float]:
    """The losses of n-gram models, by interpolated Witten-Bell smoothing.

    A model of order n predicts a token w from the n - 1 before it, h. It mixes how often w followed
    h with what the next lower order says, which knows h without its first token, h':

        p_n(w | h) = (c(h w) + T(h) p_{n-1}(w | h')) / (c(h) + T(h))

    c counts in the training rows; T(h) is how many different tokens followed h. The more they are,
    the likelier is a further one. After an h that was never seen, p_n is p_{n-1}. Order 0 guesses:
    each token that can occur is as likely. These are all of the vocabulary but padding, which is
    never predicted, and [UNK] (id 1), unless it stands in the rows, as with a vocabulary that is
    smaller than the text's: then it is a token like any other, for these models as for the others.

    Every token but the first of its row is counted and predicted, from what precedes it in its row.
    `Examples.token_rows` gives the rows of the tokens that a model of this project predicts. A
    model that reads windows sees less of a row than these models do: they look back over its edge.

    The training text is counted piece by piece, and only where its contexts also stand in the
    evaluation rows: memory grows with these.

    Args:
        training_rows: token ids to count, row by row; arrays may be memory maps.
        evaluation_rows: token ids to predict, row by row.
        vocabulary_size: number of different ids, the two special tokens among them.
        orders: the highest order, at least 1. Default 6.

    Returns:
        Mean cross-entropies of the predicted tokens in nats, by order: the first is that of
        guessing, then come orders 1 to `orders`.

    Raises:
        ValueError: no evaluation row of at least two tokens.

    Example: what guessing, a unigram and a bigram model that saw "2 3" give 3 after 2.

    >>> losses = ngram_losses([[2, 3]], [[2, 3]], vocabulary_size=5, orders=2)
    >>> np.exp(-np.array(losses)).round(3).tolist()
    [0.333, 0.667, 0.833]

    References: Witten and Bell (1991), The Zero-Frequency Problem; Chen and Goodman (1999), An
    Empirical Study of Smoothing Techniques for Language Modeling,
    https://doi.org/10.1006/csla.1999.0128.
    """
    tokens, is_first = _flat(evaluation_rows)
    predicted = ~is_first
    if not predicted.any():
        raise ValueError("`evaluation_rows` must hold a row of at least two tokens. Received none.")
    known, scored = [], []  # for each order the keys that stand there, and those of `tokens`
    for keys in _keys(tokens, is_first, vocabulary_size, orders, known):
        known.append(np.unique(keys[keys >= 0]))
        scored.append(keys[predicted])
    counts = _count(training_rows, vocabulary_size, orders, known)

    has_unknown = _UNKNOWN in counts[0][0] or _UNKNOWN in tokens[predicted]
    possible = vocabulary_size - _SPECIAL + has_unknown
    p = np.full(np.count_nonzero(predicted), 1 / possible)
    losses = [-float(np.mean(np.log(p)))]
    for keys, (grams, times) in zip(scored, counts, strict=True):
        contexts = keys // vocabulary_size
        size = contexts.max() + 1
        totals = np.bincount(grams // vocabulary_size, times, minlength=size)  # c(h)
        kinds = np.bincount(grams // vocabulary_size, minlength=size)  # T(h)
        at = np.flatnonzero(contexts >= 0)
        at = at[totals[contexts[at]] > 0]
        numbers, of = _find(grams, keys[at]), contexts[at]
        seen = np.where(numbers < 0, 0, times[numbers])  # c(h w)
        p[at] = (seen + kinds[of] * p[at]) / (totals[of] + kinds[of])
        losses.append(-float(np.mean(np.log(p))))
    return losses


def _flat(rows):
    """All rows one after the other, and where each of them begins."""
    rows = [np.asarray(row) for row in rows if len(row)]
    if not rows:
        return np.zeros(0, "int64"), np.zeros(0, bool)
    tokens = rows[0] if len(rows) == 1 else np.concatenate(rows)  # a memory map stays on disk
    is_first = np.zeros(len(tokens), bool)
    is_first[np.cumsum([0, *map(len, rows[:-1])])] = True
    return tokens, is_first


def _keys(tokens, is_first, vocabulary_size, orders, known):
    """For each order the key of the n-gram that ends with each token; -1 where there is none.

    It is the number of the context, times `vocabulary_size`, plus the token. The number of a
    context is its place in `known`, the sorted keys of the order before.
    """
    keys = tokens.astype("int64")
    yield keys
    for order in range(1, orders):
        contexts = np.roll(_find(known[order - 1], keys), 1)
        contexts[is_first] = -1
        contexts[0] = -1  # what stands before is not here
        keys = np.where(contexts < 0, -1, contexts * vocabulary_size + tokens)
        yield keys


def _find(known, keys):
    """The place of each key in `known`, which is sorted; -1 where it is not there."""
    if not len(known):
        return np.full(len(keys), -1)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[places] == keys, places, -1)


def _count(rows, vocabulary_size, orders, known):
    """For each order the keys of n-grams after a known context, sorted, and how often each is."""
    counts = [(np.zeros(0, "int64"), np.zeros(0))] * orders
    tokens, is_first = _flat(rows)
    for begin in range(0, len(tokens), _PIECE):
        past = max(begin - orders + 1, 0)
        piece = slice(past, begin + _PIECE)
        counted = ~is_first[piece]
        counted[: begin - past] = False
        steps = _keys(tokens[piece], is_first[piece], vocabulary_size, orders, known)
        for order, keys in enumerate(steps):
            old, times = counts[order]
            new = keys[counted & (keys >= 0)]
            grams, places = np.unique(np.concatenate([old, new]), return_inverse=True)
            counts[order] = grams, np.bincount(places, np.append(times, np.ones(len(new))))
    return counts
