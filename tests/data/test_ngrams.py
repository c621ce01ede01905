"""Models that count: worked by hand, against a slow one, and on a real text."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from data import ngrams
from data.corpora import load_corpus
from data.ngrams import ngram_losses
from data.prefixes import Prefixes
from data.tokenizer import CharTokenizer
from data.windows import Windows
from tests.conftest import PROJECT

SHAKESPEARE = PROJECT.parent / "shared" / "data" / "tinyshakespeare.txt"


def slow_probability(training_rows, context, token, order, possible):
    """The equation as it stands, with nothing kept."""
    if order == 0:
        return 1 / possible
    lower = slow_probability(training_rows, context, token, order - 1, possible)
    length = order - 1
    if len(context) < length:
        return lower
    context = list(context[len(context) - length :])
    followers = Counter(
        row[i]
        for row in training_rows
        for i in range(max(length, 1), len(row))
        if list(row[i - length : i]) == context
    )
    if not followers:
        return lower
    kinds = len(followers)
    return (followers[token] + kinds * lower) / (sum(followers.values()) + kinds)


def slow_losses(training_rows, evaluation_rows, possible, orders):
    losses = defaultdict(list)
    for row in evaluation_rows:
        for i in range(1, len(row)):
            for order in range(orders + 1):
                p = slow_probability(training_rows, row[:i], row[i], order, possible)
                losses[order].append(-math.log(p))
    return [np.mean(losses[order]) for order in range(orders + 1)]


def probability(training_rows, context, token, vocabulary_size, order):
    """What the fast model of an order gives a token after a context of two tokens or more."""
    with_token, without = (
        (len(row) - 1) * ngram_losses(training_rows, [row], vocabulary_size, order)[order]
        for row in ([*context, token], context)
    )
    return math.exp(without - with_token)


def test_an_example_worked_by_hand():
    # Predicted in training: 3 2 3 4. Unigrams: c(3) = 2 of 4, T = 3; guessing has 3 tokens.
    training = [[2, 3, 2, 3, 4]]
    unigram = {2: (1 + 3 / 3) / 7, 3: (2 + 3 / 3) / 7, 4: (1 + 3 / 3) / 7}
    # After 2: 3 and 3. After 3: 2 and 4. After 4: nothing.
    bigram_23 = (2 + 1 * unigram[3]) / (2 + 1)
    bigram_34 = (1 + 2 * unigram[4]) / (2 + 2)
    bigram_42 = unigram[2]
    # After 2 3: 2 and 4. After 3 4: nothing.
    trigram_234 = (1 + 2 * bigram_34) / (2 + 2)
    losses = ngram_losses(training, [[2, 3, 4, 2]], vocabulary_size=5, orders=3)
    assert losses == pytest.approx(
        [
            math.log(3),
            -np.mean(np.log([unigram[3], unigram[4], unigram[2]])),
            -np.mean(np.log([bigram_23, bigram_34, bigram_42])),
            -np.mean(np.log([bigram_23, trigram_234, bigram_42])),
        ]
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_losses_are_those_of_the_equation(seed):
    rng = np.random.default_rng(seed)
    training, evaluation = (
        [rng.integers(2, 6, rng.integers(1, 12)).tolist() for _ in range(12)] for _ in range(2)
    )
    expected = slow_losses(training, evaluation, possible=5, orders=5)
    assert ngram_losses(training, evaluation, 7, orders=5) == pytest.approx(expected)


def test_a_text_counted_in_pieces_gives_the_same_numbers(monkeypatch):
    rng = np.random.default_rng(0)
    rows = [rng.integers(2, 6, length) for length in (100, 1, 30, 2)]
    whole = ngram_losses(rows, [rows[0][20:60]], 6)
    for piece in (1, 3, 7, 64):
        monkeypatch.setattr(ngrams, "_PIECE", piece)
        assert ngram_losses(rows, [rows[0][20:60]], 6) == whole


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_probabilities_of_all_tokens_sum_to_one(order):
    training = [[2, 3, 4, 2, 3, 5, 1, 3], [4, 2, 1, 2, 3, 4]]  # with [UNK]
    for context in ([2, 3], [3, 4, 2], [5, 5], [4, 2, 1, 2]):
        total = sum(probability(training, context, token, 7, order) for token in range(1, 7))
        assert total == pytest.approx(1)


def test_the_unknown_token_counts_where_it_stands_and_nowhere_else():
    def guess(training, evaluation):
        return math.exp(ngram_losses([training], [evaluation], 7, orders=1)[0])

    assert guess([2, 3], [2, 3]) == pytest.approx(5)
    assert guess([2, 1], [2, 3]) == pytest.approx(6)
    assert guess([2, 3], [2, 1]) == pytest.approx(6)
    assert guess([1, 3], [1, 3]) == pytest.approx(5)  # never predicted


def test_rows_do_not_know_of_each_other():
    training = [[2, 3, 4, 5], [5, 4, 3, 2]]
    evaluation = [[4, 5], [5, 4], [2, 3, 4]]
    losses = ngram_losses(training, evaluation, 6, orders=4)
    assert ngram_losses(training[::-1], evaluation[::-1], 6, orders=4) == pytest.approx(losses)


def test_what_was_never_seen_is_guessed():
    assert ngram_losses([], [[2, 3, 4]], 6, orders=2) == pytest.approx(3 * [math.log(4)])
    with pytest.raises(ValueError, match=r"hold a row of at least two tokens. Received none"):
        ngram_losses([[2, 3]], [[2], []], 6)


@pytest.mark.parametrize(
    "examples",
    [
        Windows([2, 3, 4, 5, 6], context_length=2),
        Prefixes([[2, 3, 4, 5, 6], [4], [3, 1]], context_length=3),
    ],
    ids=["windows", "prefixes"],
)
def test_the_rows_of_examples_hold_exactly_what_is_predicted(examples):
    rows = examples.token_rows()
    assert np.concatenate([row[1:] for row in rows]).tolist() == examples.targets.tolist()
    assert all((row > 0).all() for row in rows)


def test_shakespeares_characters(keras_home):
    if not SHAKESPEARE.exists():
        pytest.skip(f"needs {SHAKESPEARE}, which is not part of the project")
    training, validation = load_corpus(str(SHAKESPEARE)).split(0.1, at_lines=False)
    tokenizer = CharTokenizer.from_texts(training.pieces())
    rows = [Windows.read(part, tokenizer, 64).token_rows() for part in (training, validation)]
    losses = ngram_losses(*rows, tokenizer.vocabulary_size)
    assert math.exp(losses[0]) == pytest.approx(65)
    assert np.round(losses[1:], 3).tolist() == [3.347, 2.486, 2.049, 1.774, 1.669, 1.698]
