"""Windows of a text: their batches."""

import itertools

import numpy as np
import pytest

from data.corpora import load_corpus
from data.lines import Lines
from data.tokenizer import WordTokenizer
from data.windows import Windows


def take(dataset, count):
    """The numbers of the prefixes in each of the first `count` batches."""
    return [batch[0].numpy()[:, 0].tolist() for batch in dataset.take(count)]


def read_windows(dataset):
    """All (token ids, targets) that count, window by window."""
    return [
        (ids[mask > 0].tolist(), targets[mask > 0].tolist())
        for batch in dataset.as_numpy_iterator()
        for ids, targets, mask in zip(*batch, strict=True)
        if mask.any()
    ]


@pytest.mark.parametrize(("tokens", "length"), [(9, 4), (10, 4), (3, 8), (2, 1), (65, 64)])
def test_evaluation_predicts_every_token_but_the_first_once_and_in_order(tokens, length):
    text = list(range(100, 100 + tokens))
    windows = Windows(text, length)
    dataset = windows.evaluation_batches(batch_size=2)
    read = read_windows(dataset)
    assert list(itertools.chain(*(ids for ids, _ in read))) == text[:-1]
    assert list(itertools.chain(*(targets for _, targets in read))) == text[1:]
    assert all(len(ids) == min(length, tokens - 1) for ids, _ in read[:-1])
    assert windows.count == tokens - 1
    assert len(list(dataset)) == windows.steps_per_epoch(2)
    for token_ids, targets, weights in dataset:
        assert (targets.numpy()[weights.numpy() == 0] == 0).all()
        assert token_ids.shape == targets.shape == weights.shape == (2, min(length, tokens - 1))


@pytest.mark.parametrize(("tokens", "passes"), [(50, 40), (9, 5), (17, 40), (24, 40)])
def test_windows_start_anywhere_and_each_token_predicts_the_next(tokens, passes):
    windows = Windows(range(tokens), context_length=8)
    starts = set()
    for token_ids, targets, weights in windows.training_batches(16, seed=0).take(passes):
        np.testing.assert_array_equal(targets, token_ids + 1)
        np.testing.assert_array_equal(np.diff(token_ids), 1)
        assert (weights.numpy() == 1).all()
        starts.update(token_ids[:, 0].numpy().tolist())
    assert starts == set(range(tokens - 8))


@pytest.mark.parametrize(("tokens", "per_pass"), [(1001, 99), (1009, 99), (1010, 100)])
def test_the_windows_of_a_pass_are_shuffled_and_do_not_overlap(tokens, per_pass):
    windows = Windows(range(tokens), context_length=10)
    dataset = windows.training_batches(9, seed=0).take(per_pass)  # 9 passes
    starts = np.concatenate([token_ids[:, 0] for token_ids, _, _ in dataset])
    passes = starts.reshape(9, per_pass)
    for row in passes:
        np.testing.assert_array_equal(np.sort(row) - row.min(), 10 * np.arange(per_pass))
        assert np.abs(np.corrcoef(row, np.arange(per_pass))[0, 1]) < 0.4
    assert len({row.min() for row in passes}) == 9
    assert len({tuple(np.argsort(row)) for row in passes}) == 9


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_batch_of_windows_depends_on_seed_and_step_alone(step):
    windows = Windows(range(500), context_length=8)
    dataset = windows.training_batches(4, seed=3)
    assert take(dataset.skip(step), 2) == take(dataset, step + 2)[step:]
    assert take(windows.training_batches(4, seed=4), 2) != take(dataset, 2)


def test_windows_of_a_file_are_those_of_the_same_ids_in_memory(tmp_path):
    in_memory = np.random.default_rng(0).integers(2, 60_000, 5_000, "uint16")
    np.save(tmp_path / "ids.npy", in_memory)
    on_disk = np.load(tmp_path / "ids.npy", mmap_mode="r")
    for make in (
        lambda w: w.training_batches(12, seed=3).take(9),
        lambda w: w.evaluation_batches(12),
    ):
        batches = [
            list(make(Windows(ids, 64)).as_numpy_iterator())
            for ids in (on_disk, in_memory, in_memory.tolist())
        ]
        for one, other, third in zip(*batches, strict=True):
            for arrays in zip(one, other, third, strict=True):
                assert [array.dtype for array in arrays] == [arrays[0].dtype] * 3
                np.testing.assert_array_equal(arrays[0], arrays[1])
                np.testing.assert_array_equal(arrays[0], arrays[2])


def test_a_run_of_this_version_has_the_same_windows_for_ever():
    windows = Windows(range(1000), context_length=8)
    token_ids = [
        batch[0][:, 0].numpy().tolist() for batch in windows.training_batches(4, 3).take(3)
    ]
    assert token_ids == [[396, 940, 412, 676], [12, 380, 620, 284], [172, 876, 228, 300]]


@pytest.mark.parametrize(
    "dataset", [lambda w: w.training_batches(8, 0), lambda w: w.evaluation_batches(8)]
)
def test_all_batches_of_windows_have_one_static_shape(dataset):
    specification = dataset(Windows(range(50), 6)).element_spec
    assert [spec.shape.as_list() for spec in specification] == [[8, 6]] * 3
    assert [spec.dtype.name for spec in specification] == ["int32", "int32", "float32"]


def test_an_epoch_of_windows_holds_as_many_tokens_as_the_text():
    assert Windows(range(1001), 10).steps_per_epoch(batch_size=10) == 10
    assert Windows(range(1002), 10).steps_per_epoch(batch_size=10) == 11


def test_a_text_becomes_one_row_of_tokens_whatever_its_lines(tokenizer, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("i love\n\n deep learning is\n")
    text = load_corpus(str(path))
    windows = Windows.read(text, tokenizer, context_length=4)
    assert tokenizer.decode(windows.token_ids) == "i love deep learning is"
    assert windows.length == windows.longest_context == 4
    assert list(windows.predicted_pieces(text, tokenizer)) == ["love", "deep", "learning", "is"]


def test_the_windows_of_a_text_of_lines_are_its_lines():
    corpus = load_corpus("sort")
    tokenizer = WordTokenizer(["0", "1", "2", "="])
    lines = Windows.read(corpus, tokenizer, context_length=12)
    assert isinstance(lines, Lines)
    assert tokenizer.decode(lines.windows[0]) == corpus.sentences[0]


def test_a_batch_of_windows_teaches_all_of_its_tokens():
    assert Windows(range(100), context_length=10).tokens_per_batch(3) == 30
    assert Windows(range(5), context_length=10).tokens_per_batch(3) == 12


def test_a_text_without_two_tokens_has_nothing_to_predict():
    assert Windows([], 4).count == Windows([7], 4).count == 0
