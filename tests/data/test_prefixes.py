"""Prefixes of sentences: their batches, and the best that is possible on them."""

import itertools
import math

import numpy as np
import pytest

from data.corpora import TOY_SENTENCES, load_corpus
from data.prefixes import Prefixes
from data.tokenizer import WordTokenizer

TOY_PAIRS = [
    ("i", "love"),
    ("i love", "deep"),
    ("i love deep", "learning"),
    ("i", "love"),
    ("i love", "artificial"),
    ("i love artificial", "intelligence"),
    ("deep", "learning"),
    ("deep learning", "is"),
    ("deep learning is", "fun"),
    ("artificial", "intelligence"),
    ("artificial intelligence", "is"),
    ("artificial intelligence is", "cool"),
    ("i", "love"),
    ("i love", "models"),
    ("models", "learn"),
    ("models learn", "patterns"),
]


@pytest.fixture
def toy_prefixes(tokenizer):
    return Prefixes(tokenizer.encode_batch(TOY_SENTENCES), context_length=4)


def numbered_prefixes(count):
    """Prefixes that can be told apart: n is followed by 100 n."""
    return Prefixes([[n, 100 * n] for n in range(1, count + 1)], context_length=2)


def write_out(prefixes):
    """All prefixes as one batch of arrays."""
    return next(prefixes.evaluation_batches(prefixes.count).as_numpy_iterator())


def take(dataset, count):
    """The numbers of the prefixes in each of the first `count` batches."""
    return [batch[0].numpy()[:, 0].tolist() for batch in dataset.take(count)]


def test_the_toy_corpus_gives_exactly_the_pairs_of_the_scheme(tokenizer, toy_prefixes):
    token_ids, targets, _ = write_out(toy_prefixes)
    pairs = [tokenizer.decode(ids) for ids in (*token_ids, *targets)]
    assert list(zip(pairs[:16], pairs[16:], strict=True)) == TOY_PAIRS
    assert tokenizer.tokens(toy_prefixes.targets) == [target for _, target in TOY_PAIRS]


def test_only_the_last_token_of_a_prefix_counts(toy_prefixes):
    for token_ids, targets, weights in zip(*write_out(toy_prefixes), strict=True):
        length = np.count_nonzero(token_ids)
        assert token_ids[:length].all()
        assert weights.tolist() == np.eye(3)[length - 1].tolist()
        assert np.flatnonzero(targets).tolist() == [length - 1]


def test_batches_are_as_wide_as_the_longest_prefix_and_of_fixed_types(toy_prefixes):
    arrays = write_out(toy_prefixes)
    assert [array.shape for array in arrays] == [(16, 3)] * 3
    assert [array.dtype for array in arrays] == ["int32", "int32", "float32"]


def test_a_long_sentence_is_cut_before_its_prefixes_are_made():
    token_ids, targets, weights = write_out(Prefixes([[2, 3, 4, 5, 6]], context_length=3))
    assert token_ids.tolist() == [[2, 0], [2, 3], [5, 0]]
    assert targets.tolist() == [[3, 0], [0, 4], [6, 0]]
    assert weights.tolist() == [[1, 0], [0, 1], [1, 0]]


def test_prefixes_that_do_not_reach_the_answer_are_left_out():
    prefixes = Prefixes([[2, 3, 4, 5], [6], [2, 9]], context_length=4, given=[2, 0, 0])
    assert prefixes.rows.tolist() == [0, 0, 1]
    assert prefixes.lengths.tolist() == [2, 3, 1]
    assert prefixes.targets.tolist() == [4, 5, 9]
    assert [row.tolist() for row in prefixes.token_rows()] == [[3, 4, 5], [2, 9]]


@pytest.mark.parametrize("length", range(2, 12))
def test_of_a_long_sentence_prefixes_of_every_piece_are_left_out_up_to_the_answer(length):
    sentence = list(range(2, 12))
    for given in range(10):
        targets = Prefixes([sentence], length, given=[given]).targets.tolist()
        whole = Prefixes([sentence], length).targets.tolist()
        assert targets == [token for token in whole if token >= 2 + given]


def test_of_a_made_text_only_the_answers_are_asked_for():
    corpus = load_corpus("positions")
    tokenizer = WordTokenizer.from_texts([corpus.text])
    prefixes = Prefixes.read(corpus, tokenizer, context_length=6)
    answers = [line.split()[-1] for line in corpus.sentences]
    assert tokenizer.tokens(prefixes.targets) == answers
    assert list(prefixes.predicted_pieces(corpus, tokenizer)) == answers


@pytest.mark.parametrize("sentences", [[], [[]], [[2], [3]]])
def test_sentences_of_one_token_give_no_prefixes(sentences):
    assert Prefixes(sentences, context_length=4).count == 0


def test_the_best_possible_on_the_toy_corpus_is_known_exactly(toy_prefixes):
    assert toy_prefixes.best_possible() == pytest.approx(
        {
            "loss": 3 * math.log(3) / 16,
            "accuracy": 14 / 16,
            "perplexity": math.exp(3 * math.log(3) / 16),
        }
    )


def test_the_best_possible_weighs_followers_by_how_often_they_come():
    prefixes = Prefixes([[2, 3], [2, 3], [2, 3], [2, 4]], context_length=2)
    figures = prefixes.best_possible()
    assert figures["loss"] == pytest.approx(-(3 * math.log(3 / 4) + math.log(1 / 4)) / 4)
    assert figures["accuracy"] == 3 / 4


@pytest.mark.parametrize(("count", "batch_size"), [(16, 8), (10, 4), (3, 8), (5, 5), (1, 1)])
def test_each_epoch_holds_every_prefix_once(count, batch_size):
    prefixes = numbered_prefixes(count)
    steps = prefixes.steps_per_epoch(batch_size)
    batches = take(prefixes.training_batches(batch_size, seed=7), 3 * steps)
    for epoch in range(3):
        epoch_batches = batches[epoch * steps : (epoch + 1) * steps]
        shown = [id_ for id_ in itertools.chain(*epoch_batches) if id_]
        assert sorted(shown) == list(range(1, count + 1))


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"), [(16, 8, [8, 8]), (10, 4, [4, 4, 2]), (3, 8, [3])]
)
def test_only_the_last_batch_of_an_epoch_is_filled_up_with_padding(count, batch_size, sizes):
    prefixes = numbered_prefixes(count)
    training = take(prefixes.training_batches(batch_size, seed=0), 2 * len(sizes))
    evaluation = take(prefixes.evaluation_batches(batch_size), -1)
    assert prefixes.steps_per_epoch(batch_size) == len(sizes)
    for batches, expected in ((training, 2 * sizes), (evaluation, sizes)):
        assert [len(batch) for batch in batches] == [batch_size] * len(expected)
        assert [np.count_nonzero(batch) for batch in batches] == expected


def test_a_prefix_keeps_its_own_target_and_weight():
    for token_ids, targets, weights in numbered_prefixes(10).training_batches(4, seed=0).take(6):
        np.testing.assert_array_equal(targets, 100 * token_ids)
        np.testing.assert_array_equal(weights, token_ids > 0)


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_two_datasets_of_one_seed_agree(seed):
    first, second = (take(numbered_prefixes(20).training_batches(8, seed), 9) for _ in range(2))
    assert first == second


def test_another_seed_or_epoch_has_another_order():
    prefixes = numbered_prefixes(64)
    (first,), (other,) = (take(prefixes.training_batches(64, seed), 1) for seed in (0, 1))
    epochs = take(prefixes.training_batches(64, seed=0), 4)
    assert first != other
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert sorted(first) not in epochs


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
@pytest.mark.parametrize("count", [16, 20])
def test_a_batch_depends_on_seed_and_step_alone(count, step):
    dataset = numbered_prefixes(count).training_batches(8, seed=3)
    assert take(dataset.skip(step), 2) == take(dataset, step + 2)[step:]


@pytest.mark.parametrize("count", [3, 16, 17])
@pytest.mark.parametrize(
    "dataset", [lambda e: e.training_batches(8, 0), lambda e: e.evaluation_batches(8)]
)
def test_all_batches_have_one_static_shape(count, dataset):
    specification = dataset(numbered_prefixes(count)).element_spec
    assert [spec.shape.as_list() for spec in specification] == [[8, 1]] * 3


def test_evaluation_goes_through_the_prefixes_in_order(toy_prefixes):
    for _ in range(2):
        batches = list(toy_prefixes.evaluation_batches(5))
        for array, parts in zip(write_out(toy_prefixes), zip(*batches, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate(parts)[:16], array)
            assert not np.concatenate(parts)[16:].any()


def test_a_text_becomes_the_prefixes_of_its_lines(tokenizer, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("i love\n\n deep learning is\n")
    text = load_corpus(str(path))
    prefixes = Prefixes.read(text, tokenizer, context_length=4)
    assert tokenizer.decode(prefixes.targets) == "love learning is"
    assert list(prefixes.predicted_pieces(text, tokenizer)) == ["love", "learning", "is"]


def test_the_predicted_pieces_are_the_targets_of_a_text_that_is_cut_too(tokenizer):
    toy = load_corpus("toy")
    prefixes = Prefixes.read(toy, tokenizer, context_length=3)
    pieces = list(prefixes.predicted_pieces(toy, tokenizer))
    assert pieces == tokenizer.tokens(prefixes.targets)
    assert len(pieces) == 12


def test_a_batch_of_prefixes_teaches_a_token_a_row(toy_prefixes):
    assert toy_prefixes.tokens_per_batch(8) == 8
