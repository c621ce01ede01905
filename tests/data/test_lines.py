"""Lines as rows of their own: their batches."""

import itertools

import numpy as np
import pytest

from data.corpora import load_corpus
from data.lines import Lines
from data.tokenizer import CharTokenizer, WordTokenizer

MIXED = [[5, 6, 7, 8, 9], [5], [6, 7], [], [8, 9, 5, 6]]
GIVEN = [3, 0, 1, 0, 0]


@pytest.fixture
def lines():
    return Lines(MIXED, context_length=4, given=GIVEN)


def rows_of(lines, batches):
    """The numbers of the lines in some batches of a `Lines` whose rows begin with their number."""
    return [token_ids[:, 0].tolist() for token_ids, _, _ in batches.as_numpy_iterator()]


def numbered(count):
    return Lines([[number, 1] for number in range(2, 2 + count)], context_length=4)


def test_what_is_given_is_read_and_not_predicted(lines):
    (batch,) = lines.evaluation_batches(3).as_numpy_iterator()
    token_ids, targets, weights = batch
    assert token_ids.tolist() == [[5, 6, 7, 8], [6, 7, 0, 0], [8, 9, 5, 6]]
    assert targets.tolist() == [[0, 0, 8, 9], [7, 0, 0, 0], [9, 5, 6, 0]]
    assert weights.tolist() == [[0, 0, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]]
    assert [array.dtype.name for array in batch] == ["int32", "int32", "float32"]
    assert lines.targets.tolist() == [8, 9, 7, 9, 5, 6]
    assert lines.count == 6


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_everything_is_evaluated_once_and_in_order(lines, batch_size):
    batches = list(lines.evaluation_batches(batch_size).as_numpy_iterator())
    assert len(batches) == lines.steps_per_epoch(batch_size)
    found = np.concatenate([targets[weights > 0] for _, targets, weights in batches])
    assert found.tolist() == lines.targets.tolist()


@pytest.mark.parametrize("length", range(2, 12))
def test_of_a_long_line_every_token_but_the_given_is_predicted_once(length):
    line = list(range(2, 12))
    for given in range(10):
        lines = Lines([line], length, given=[given])
        assert lines.targets.tolist() == line[max(given, 1) :]
        for token_ids, targets, weights in lines.evaluation_batches(2).as_numpy_iterator():
            np.testing.assert_array_equal(targets[weights > 0], token_ids[weights > 0] + 1)


@pytest.mark.parametrize(("count", "batch_size"), [(16, 8), (10, 4), (3, 8), (1, 1)])
def test_each_epoch_holds_every_line_once_in_another_order(count, batch_size):
    lines = numbered(count)
    steps = lines.steps_per_epoch(batch_size)
    rows = [
        token_ids[weights.any(axis=1), 0].tolist()
        for token_ids, _, weights in lines.training_batches(batch_size, seed=0)
        .take(3 * steps)
        .as_numpy_iterator()
    ]
    epochs = [
        list(itertools.chain(*rows[start : start + steps])) for start in range(0, 3 * steps, steps)
    ]
    assert [sorted(epoch) for epoch in epochs] == 3 * [list(range(2, 2 + count))]
    assert count < 10 or len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_a_batch_of_lines_depends_on_seed_and_step_alone(step):
    lines = numbered(20)

    def take(seed, first_step, count):
        return rows_of(lines, lines.training_batches(3, seed, first_step).take(count))

    assert take(7, step, 3) == take(7, 0, step + 3)[step:]
    assert take(8, step, 3) != take(7, step, 3)


def test_all_batches_of_lines_have_one_static_shape(lines):
    for dataset in (lines.training_batches(8, 0), lines.evaluation_batches(8)):
        assert [spec.shape.as_list() for spec in dataset.element_spec] == [[8, 4]] * 3


@pytest.mark.parametrize("tokenizer", [WordTokenizer, CharTokenizer])
@pytest.mark.parametrize("context_length", [5, 12, 40])
def test_the_predicted_pieces_are_the_targets(tokenizer, context_length):
    corpus = load_corpus("sort")
    tokenizer = tokenizer.from_texts([corpus.text])
    lines = Lines.read(corpus, tokenizer, context_length)
    pieces = list(lines.predicted_pieces(corpus, tokenizer))
    assert pieces == tokenizer.tokens(lines.targets)
    answers = [line.split("=")[1] for line in corpus.sentences]
    assert "".join(pieces) == "".join(answers).replace(tokenizer.separator or "\0", "")


def test_rows_begin_with_the_last_token_that_is_given(lines):
    rows = [row.tolist() for row in lines.token_rows()]
    assert rows == [[7, 8, 9], [6, 7], [8, 9, 5, 6]]
    assert [token for row in rows for token in row[1:]] == lines.targets.tolist()


def test_a_batch_teaches_what_is_predicted():
    assert Lines(MIXED, 4, GIVEN).tokens_per_batch(3) == 6
    assert Lines(MIXED, 4, GIVEN).tokens_per_batch(6) == 12


def test_lines_of_one_token_or_given_as_a_whole_teach_nothing():
    assert Lines([], 4).count == Lines([[5], []], 4).count == Lines([[5, 6]], 4, [2]).count == 0
