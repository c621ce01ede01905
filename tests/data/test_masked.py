"""Texts with hidden tokens: which ones, what becomes of them, and what can be reached."""

from collections import Counter

import numpy as np
import pytest

from data.corpora import TOY_SENTENCES, load_corpus
from data.masked import MaskedTexts
from data.tokenizer import MASK, CharTokenizer, WordTokenizer

MASK_ID, PIECES = 40, 38  # ids 2 to 39


def make_texts(lengths, context_length=50, seed=0, pieces=PIECES, **arguments):
    token_ids = np.random.default_rng(seed).integers(2, 2 + pieces, sum(lengths))
    bounds = np.cumsum([0, *lengths])
    return MaskedTexts(token_ids, bounds, context_length, MASK_ID, pieces, **arguments)


def batches(dataset, count=None):
    return list((dataset if count is None else dataset.take(count)).as_numpy_iterator())


@pytest.fixture
def toy():
    tokenizer = WordTokenizer.from_texts(TOY_SENTENCES).with_extra_tokens(MASK)
    return MaskedTexts.read(load_corpus("toy"), tokenizer, 4), tokenizer


@pytest.mark.parametrize("pieces", [PIECES, 2])
def test_fifteen_percent_are_chosen_and_most_of_them_hidden(pieces):
    texts = make_texts([40] * 200, pieces=pieces)
    fates = Counter()
    originals = {row.tobytes(): row for row in np.array(texts.token_rows())}
    for token_ids, targets, weights in batches(texts.training_batches(20, seed=1), 100):
        assert ((targets > 0) == (weights == 1)).all()
        assert ((targets > 0).sum(axis=1) == 6).all()
        whole = np.where(targets > 0, targets, token_ids)
        assert all(row.astype("int64").tobytes() in originals for row in whole)
        for read, target in zip(token_ids[targets > 0], targets[targets > 0], strict=True):
            fates["hidden" if read == MASK_ID else "kept" if read == target else "another"] += 1
            assert 2 <= read < 2 + pieces or read == MASK_ID
    shares = {name: count / fates.total() for name, count in fates.items()}
    assert shares == pytest.approx({"hidden": 0.8, "another": 0.1, "kept": 0.1}, abs=0.02)


def test_of_every_text_at_least_one_token_is_chosen_and_padding_never():
    texts = make_texts([2, 3, 5, 9, 17])
    for token_ids, targets, _ in batches(texts.training_batches(3, seed=0), 20):
        lengths = (np.where(targets > 0, targets, token_ids) > 0).sum(axis=1)
        expected = [0 if n == 0 else max(1, round(0.15 * n)) for n in lengths.tolist()]
        assert (targets > 0).sum(axis=1).tolist() == expected


@pytest.mark.parametrize("runs_on", [False, True])
def test_a_batch_is_a_function_of_seed_and_step(runs_on):
    lengths = [237] if runs_on else [9, 12, 30, 8, 14]
    texts = make_texts(lengths, context_length=20, runs_on=runs_on)
    some = batches(texts.training_batches(4, seed=7), 12)
    later = batches(texts.training_batches(4, seed=7, first_step=5), 7)
    for one, other in zip(some[5:], later, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    other_seed = batches(texts.training_batches(4, seed=8), 12)
    assert any((a[0] != b[0]).any() for a, b in zip(some, other_seed, strict=True))
    # The same texts, hidden in other places.
    per_epoch = texts.steps_per_epoch(4)
    assert (some[0][1] != some[per_epoch][1]).any()


def test_an_epoch_holds_every_text_once():
    texts = make_texts([9, 12, 20, 8, 14, 31, 2], context_length=20)
    rows = Counter()
    for token_ids, targets, _ in batches(texts.training_batches(3, 0), texts.steps_per_epoch(3)):
        for row in np.where(targets > 0, targets, token_ids):
            rows[tuple(row[row > 0].tolist())] += 1
    assert rows.pop(()) == 1  # the last batch is filled up
    assert rows == Counter(tuple(row.tolist()) for row in texts.token_rows())


def test_a_running_text_is_cut_elsewhere_in_each_epoch():
    text = np.arange(2, 102)
    texts = MaskedTexts(text, [0, 100], 10, mask_id=200, num_pieces=150, runs_on=True)
    begins = set()
    for token_ids, targets, _ in batches(texts.training_batches(5, 0), 40):
        whole = np.where(targets > 0, targets, token_ids)
        assert (np.diff(whole, axis=1) == 1).all()
        begins |= set(whole[:, 0].tolist())
    assert len(begins) > 60


def test_short_texts_are_read_once_for_each_token_and_long_ones_once():
    texts = make_texts([3, 9, 10, 40])
    (batch,) = batches(texts.evaluation_batches(30))
    token_ids, targets, weights = batch
    assert [(row > 0).sum() for row in targets[:14]] == [1] * 12 + [2, 6]
    assert not targets[14:].any()
    assert (token_ids[targets > 0] == MASK_ID).all()
    assert (weights == (targets > 0)).all()
    np.testing.assert_array_equal(targets[targets > 0], texts.targets)
    assert texts.count == len(texts.targets) == 3 + 9 + 2 + 6
    np.testing.assert_array_equal(texts.targets[:12], texts.token_ids[:12])


def test_evaluation_is_the_same_in_batches_of_any_size():
    texts = make_texts([3, 9, 10, 40, 25])
    for size in (1, 4, 50):
        found = [targets[targets > 0] for _, targets, _ in batches(texts.evaluation_batches(size))]
        np.testing.assert_array_equal(np.concatenate(found), texts.targets)


def test_what_is_chosen_is_spread_over_long_texts():
    texts = make_texts([100] * 300, context_length=100)
    places = np.concatenate([np.nonzero(t)[1] for _, t, _ in batches(texts.evaluation_batches(64))])
    counts = np.bincount(places, minlength=100)
    assert counts.sum() == 300 * 15
    assert 15 < counts.min() < counts.max() < 85


def test_the_best_possible_is_that_of_counting(toy):
    texts, _ = toy
    assert texts.best_possible() == {"loss": 0.0, "accuracy": 1.0, "perplexity": 1.0}
    two = WordTokenizer(["a", "b", "c"]).with_extra_tokens(MASK)
    ids = [id_ for line in ("a b", "a c", "a c", "b c") for id_ in two.encode(line)]
    figures = MaskedTexts(ids, [0, 2, 4, 6, 8], 4, two.special_id(MASK), 3).best_possible()
    # a _: b, c, c; _ c: a, a, b; the other two are certain.
    third = -(2 * np.log(2 / 3) + np.log(1 / 3))
    assert figures["loss"] == pytest.approx(2 * third / 8)
    assert figures["accuracy"] == 6 / 8


def test_where_several_tokens_are_hidden_the_best_possible_is_not_known():
    assert make_texts([4, 10]).best_possible() is None


def test_pieces_and_surroundings_are_those_of_the_targets(toy, tmp_path):
    texts, tokenizer = toy
    pieces = list(texts.predicted_pieces(load_corpus("toy"), tokenizer))
    assert tokenizer.encode(" ".join(pieces)) == texts.targets.tolist()
    before, after = texts.surroundings(5)  # the second word of the second sentence
    assert tokenizer.decode([*before, 0, *after]) == "i artificial intelligence"

    path = tmp_path / "text.txt"
    path.write_text("".join(map(chr, range(97, 123))) * 9)
    corpus = load_corpus(str(path))
    letters = CharTokenizer.from_texts([corpus.text]).with_extra_tokens(MASK)
    texts = MaskedTexts.read(corpus, letters, 50)
    pieces = list(texts.predicted_pieces(corpus, letters))
    assert letters.encode("".join(pieces)) == texts.targets.tolist()
    before, after = texts.surroundings(12)
    whole = [*before, int(texts.targets[12]), *after]
    visible = [i for i, id_ in enumerate(whole) if id_ != letters.special_id(MASK)]
    assert len(whole) == 50
    begin = whole[visible[0]] - visible[0]
    assert all((whole[i] - 2) % 26 == (begin + i - 2) % 26 for i in visible)


def test_samples_hide_one_token_of_a_line(toy):
    texts, tokenizer = toy
    samples = texts.prompts(load_corpus("toy"), tokenizer)
    lines = [tokenizer.encode(line) for line in TOY_SENTENCES]
    for prompt, (hidden,) in samples:
        assert prompt.count(tokenizer.special_id(MASK)) == 1
        whole = [hidden if id_ == tokenizer.special_id(MASK) else id_ for id_ in prompt]
        assert whole in lines


def test_texts_of_one_token_are_left_out():
    texts = make_texts([1, 3, 1, 21], context_length=20)
    assert texts.lengths.tolist() == [3, 20]
