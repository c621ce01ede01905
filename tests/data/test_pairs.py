"""Pairs in batches: their shapes, their order, and what the decoder reads."""

import itertools
from collections import Counter

import numpy as np
import pytest

from data.batch_shapes import choose_bounds
from data.corpora import CorpusError, load_corpus
from data.pairs import Pairs
from data.tokenizer import CharTokenizer

END_OF_SOURCE, BEGIN, END = 40, 50, 51


def make_pairs(lengths, context_length=30, seed=0):
    """Random pairs whose sources and targets have so many tokens, their ends among them."""
    random = np.random.default_rng(seed)
    sides = []
    for side, end in ((0, END_OF_SOURCE), (1, END)):
        rows = [[*random.integers(2, 40, pair[side] - 1), end] for pair in lengths]
        sides.append(np.array(list(itertools.chain.from_iterable(rows)), "int32"))
    return Pairs(*sides, context_length, BEGIN, (END_OF_SOURCE, END))


def random_lengths(count, longest, seed=0):
    return np.random.default_rng(seed).integers(2, longest + 1, (count, 2)).tolist()


def batches(dataset, count=None):
    return list((dataset if count is None else dataset.take(count)).as_numpy_iterator())


def read_back(batch):
    """The pairs of a batch, without padding."""
    inputs, targets, weights = batch
    rows = zip(inputs["source_ids"], targets, weights, strict=True)
    return [
        (tuple(source[source > 0].tolist()), tuple(target[target > 0].tolist()))
        for source, target, weight in rows
        if weight.any()
    ]


def test_the_decoder_reads_what_is_right_and_predicts_the_next():
    pairs = make_pairs([(3, 4), (2, 2)])
    inputs, targets, weights = batches(pairs.evaluation_batches(2))[0]
    assert targets.shape == inputs["target_ids"].shape == weights.shape == (2, 4)
    for read, target, weight in zip(inputs["target_ids"], targets, weights, strict=True):
        length = int(weight.sum())
        assert read[0] == BEGIN
        assert read[1:length].tolist() == target[: length - 1].tolist()
        assert target[length - 1] == END
        assert not read[length:].any()
        assert not target[length:].any()
        assert weight[:length].all()
    for source in inputs["source_ids"]:
        assert source[source > 0][-1] == END_OF_SOURCE


def test_every_pair_comes_once_an_epoch_and_once_in_evaluation():
    pairs = make_pairs(random_lengths(101, 25), context_length=25)
    expected = Counter(
        (tuple(source.tolist()), tuple(target.tolist()))
        for source, target in map(pairs.pair, range(pairs.pairs))
    )
    per_epoch = pairs.steps_per_epoch(8)
    for epoch in range(2):
        some = batches(pairs.training_batches(8, 3, first_step=epoch * per_epoch), per_epoch)
        assert Counter(itertools.chain.from_iterable(map(read_back, some))) == expected
    in_order = batches(pairs.evaluation_batches(8))
    assert Counter(itertools.chain.from_iterable(map(read_back, in_order))) == expected
    found = np.concatenate([targets[weights > 0] for _, targets, weights in in_order])
    np.testing.assert_array_equal(found, pairs.targets)


def test_a_batch_is_a_function_of_seed_and_step():
    pairs = make_pairs(random_lengths(60, 20))
    some = batches(pairs.training_batches(7, seed=5), 25)
    later = batches(pairs.training_batches(7, seed=5, first_step=11), 14)
    for (inputs, targets, _), (others, same, _) in zip(some[11:], later, strict=True):
        np.testing.assert_array_equal(targets, same)
        for name in inputs:
            np.testing.assert_array_equal(inputs[name], others[name])
    per_epoch = pairs.steps_per_epoch(7)
    first, second = (sorted(map(read_back, some[n * per_epoch :][:per_epoch])) for n in (0, 1))
    assert first != second  # other pairs beside each other
    other_seed = batches(pairs.training_batches(7, seed=6), per_epoch)
    assert [*map(read_back, other_seed)] != [*map(read_back, some[:per_epoch])]


def test_there_are_at_most_four_shapes_and_padding_is_counted(monkeypatch):
    monkeypatch.setattr("data.pairs.SHAPE_TOKENS", 0)
    pairs = make_pairs(random_lengths(200, 30))
    found = batches(pairs.evaluation_batches(1))
    shapes = {(b[0]["source_ids"].shape[1], b[1].shape[1]) for b in found}
    assert shapes == {(source, target) for _, source, target in pairs.shapes}
    assert len(shapes) == 4
    rooms = sum(b[0]["source_ids"].size + b[1].size for b in found)
    tokens = sum((b[0]["source_ids"] > 0).sum() + (b[1] > 0).sum() for b in found)
    assert pairs.padding == pytest.approx(1 - tokens / rooms)


def test_where_a_shape_would_save_little_there_are_fewer():
    lengths = random_lengths(200, 30)
    assert len(make_pairs(lengths).shapes) == 1
    assert len(make_pairs(lengths * 100).shapes) == 4


def padded(lengths, bounds):
    """How many tokens groups take that end at these bounds."""
    longer, total, last = lengths.max(axis=1), 0, 0
    for bound in bounds:
        group = lengths[(longer > last) & (longer <= bound)]
        total += len(group) * group.max(axis=0).sum() if len(group) else 0
        last = bound
    return total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("most", [1, 2, 3])
def test_bounds_are_those_of_least_padding(seed, most):
    lengths = np.random.default_rng(seed).integers(1, 9, (12, 2))
    values = sorted(set(lengths.max(axis=1).tolist()))
    best = min(
        padded(lengths, [*inner, values[-1]])
        for count in range(most)
        for inner in itertools.combinations(values[:-1], count)
    )
    bounds = choose_bounds(lengths, most)
    assert len(bounds) <= most
    assert padded(lengths, bounds) == best


def test_what_is_too_long_is_left_out_and_never_cut():
    pairs = make_pairs([(3, 3), (11, 2), (2, 11), (10, 10)], context_length=10)
    assert (pairs.pairs, pairs.left_out) == (2, 2)
    found = list(
        itertools.chain.from_iterable(map(read_back, batches(pairs.evaluation_batches(4))))
    )
    assert sorted(map(len, found[0])) == [3, 3]
    assert sorted(map(len, found[1])) == [10, 10]
    assert len(pairs.answers()) == 2
    assert len(pairs.answers(with_left_out=True)) == 4


def test_a_source_may_have_several_answers():
    # ab -> x, b -> y, ab -> z
    sources, targets = [2, 3, 40, 3, 40, 2, 3, 40], [7, 51, 8, 51, 9, 51]
    pairs = Pairs(sources, targets, 9, BEGIN, (END_OF_SOURCE, END))
    assert pairs.answers() == {(2, 3): [(7,), (9,)], (3,): [(8,)]}
    assert pairs.questions() == ([[2, 3], [3]], [[[7], [9]], [[8]]])


# Files of pairs


def write(tmp_path, content, name="pairs.tsv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\nno tab\n", "line 2: expected a source, a tab and a target, found no tab"),
        ("a\tb\tc\n", "line 1: expected a source, a tab and a target, found 2 tabs"),
        ("a\tb\n\n\tb\n", "line 3: expected a source, a tab and a target, found an empty source"),
        (
            "a\tb\r\na\t \r\n",
            "line 2: expected a source, a tab and a target, found an empty target",
        ),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path, content, message):
    with pytest.raises(CorpusError, match=message):
        load_corpus(write(tmp_path, content))


def test_windows_line_ends_and_byte_order_marks_are_no_part_of_a_pair(tmp_path):
    corpus = load_corpus(write(tmp_path, b"\xef\xbb\xbfa b\tc\r\n\r\nd\te f\r\n"))
    assert list(corpus.pairs()) == [("a b", "c"), ("d", "e f")]


def test_all_answers_of_a_source_stay_on_one_side_and_shares_are_exact(tmp_path):
    lines = [f"s{number % 200}\tt{number}\n" for number in range(1000)]
    corpus = load_corpus(write(tmp_path, "".join(lines)))
    training, validation = corpus.split(0.25, at_lines=True)
    sides = [{source for source, _ in part.pairs()} for part in (training, validation)]
    assert [len(side) for side in sides] == [150, 50]
    assert not sides[0] & sides[1]
    assert [len(list(part.pairs())) for part in (training, validation)] == [750, 250]
    # Whatever their order in the file.
    other = load_corpus(write(tmp_path, "".join(reversed(lines)), "other.tsv"))
    assert {source for source, _ in other.split(0.25, at_lines=True)[1].pairs()} == sides[1]


def test_dates_are_split_by_what_they_mean():
    training, validation = load_corpus("dates").split(0.1, at_lines=True)
    days = [{target for _, target in part.pairs()} for part in (training, validation)]
    assert not days[0] & days[1]
    assert len(days[1]) / (len(days[0]) + len(days[1])) == pytest.approx(0.1, abs=0.001)


def test_ids_are_kept_on_disk_and_read_in_the_order_of_the_file(tmp_path, keras_home):
    corpus = load_corpus(
        write(tmp_path, "".join(f"{a}{b}\t{b}{a}\n" for a in "abc" for b in "abc"))
    )
    letters = CharTokenizer("abc").with_extra_tokens("[BEGIN]", "[END]")
    for _ in range(2):
        pairs = Pairs.read(corpus, letters, 8)
        answers = pairs.answers()
        assert [letters.decode(source) for source in answers] == [s for s, _ in corpus.pairs()]
        assert [letters.decode(t) for (t,) in answers.values()] == [t for _, t in corpus.pairs()]
        assert len(list(keras_home.rglob("*.npy"))) == 2
