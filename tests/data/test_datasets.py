"""From token ids to batches, prompts and the best possible figures."""

import itertools
import math

import numpy as np
import pytest

from data.corpora import TOY_SENTENCES, load_corpus
from data.datasets import (
    best_possible,
    cut_windows,
    evaluation_dataset,
    make_examples,
    make_prefixes,
    make_windows,
    sample_probe,
    sample_prompts,
    steps_per_epoch,
    training_dataset,
)

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
    return make_prefixes(tokenizer.encode_batch(TOY_SENTENCES), context_length=4)


def numbered_prefixes(count):
    """Prefixes that can be told apart: n is followed by 100 n."""
    return make_prefixes([[n, 100 * n] for n in range(1, count + 1)], context_length=2)


def write_out(prefixes):
    """All prefixes as one batch of arrays."""
    return next(evaluation_dataset(prefixes, prefixes.count).as_numpy_iterator())


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


@pytest.mark.parametrize(
    ("sentences", "length", "windows"),
    [
        ([[2, 3, 4, 5, 6]], 2, [[2, 3], [4, 5], [6]]),
        ([[2, 3, 4, 5]], 4, [[2, 3, 4, 5]]),
        ([[2, 3], [], [4]], 9, [[2, 3], [4]]),
        ([], 3, []),
    ],
)
def test_windows_hold_every_token_once_and_never_cross_a_sentence(sentences, length, windows):
    assert cut_windows(sentences, length) == windows


def test_a_long_sentence_is_cut_before_its_prefixes_are_made():
    token_ids, targets, weights = write_out(make_prefixes([[2, 3, 4, 5, 6]], context_length=3))
    assert token_ids.tolist() == [[2, 0], [2, 3], [5, 0]]
    assert targets.tolist() == [[3, 0], [0, 4], [6, 0]]
    assert weights.tolist() == [[1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize("sentences", [[], [[]], [[2], [3]]])
def test_sentences_of_one_token_give_no_prefixes(sentences):
    assert make_prefixes(sentences, context_length=4).count == 0


def test_the_best_possible_on_the_toy_corpus_is_known_exactly(toy_prefixes):
    assert best_possible(toy_prefixes) == pytest.approx(
        {
            "loss": 3 * math.log(3) / 16,
            "accuracy": 14 / 16,
            "perplexity": math.exp(3 * math.log(3) / 16),
        }
    )


def test_the_best_possible_weighs_followers_by_how_often_they_come():
    prefixes = make_prefixes([[2, 3], [2, 3], [2, 3], [2, 4]], context_length=2)
    figures = best_possible(prefixes)
    assert figures["loss"] == pytest.approx(-(3 * math.log(3 / 4) + math.log(1 / 4)) / 4)
    assert figures["accuracy"] == 3 / 4


@pytest.mark.parametrize(("count", "batch_size"), [(16, 8), (10, 4), (3, 8), (5, 5), (1, 1)])
def test_each_epoch_holds_every_prefix_once(count, batch_size):
    prefixes = numbered_prefixes(count)
    steps = steps_per_epoch(prefixes, batch_size)
    batches = take(training_dataset(prefixes, batch_size, seed=7), 3 * steps)
    for epoch in range(3):
        epoch_batches = batches[epoch * steps : (epoch + 1) * steps]
        shown = [id_ for id_ in itertools.chain(*epoch_batches) if id_]
        assert sorted(shown) == list(range(1, count + 1))


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"), [(16, 8, [8, 8]), (10, 4, [4, 4, 2]), (3, 8, [3])]
)
def test_only_the_last_batch_of_an_epoch_is_filled_up_with_padding(count, batch_size, sizes):
    prefixes = numbered_prefixes(count)
    training = take(training_dataset(prefixes, batch_size, seed=0), 2 * len(sizes))
    evaluation = take(evaluation_dataset(prefixes, batch_size), -1)
    assert steps_per_epoch(prefixes, batch_size) == len(sizes)
    for batches, expected in ((training, 2 * sizes), (evaluation, sizes)):
        assert [len(batch) for batch in batches] == [batch_size] * len(expected)
        assert [np.count_nonzero(batch) for batch in batches] == expected


def test_a_prefix_keeps_its_own_target_and_weight():
    for token_ids, targets, weights in training_dataset(numbered_prefixes(10), 4, seed=0).take(6):
        np.testing.assert_array_equal(targets, 100 * token_ids)
        np.testing.assert_array_equal(weights, token_ids > 0)


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_two_datasets_of_one_seed_agree(seed):
    first, second = (take(training_dataset(numbered_prefixes(20), 8, seed), 9) for _ in range(2))
    assert first == second


def test_another_seed_or_epoch_has_another_order():
    prefixes = numbered_prefixes(64)
    (first,), (other,) = (take(training_dataset(prefixes, 64, seed), 1) for seed in (0, 1))
    epochs = take(training_dataset(prefixes, 64, seed=0), 4)
    assert first != other
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert sorted(first) not in epochs


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
@pytest.mark.parametrize("count", [16, 20])
def test_a_batch_depends_on_seed_and_step_alone(count, step):
    dataset = training_dataset(numbered_prefixes(count), 8, seed=3)
    assert take(dataset.skip(step), 2) == take(dataset, step + 2)[step:]


@pytest.mark.parametrize("count", [3, 16, 17])
@pytest.mark.parametrize(
    "dataset", [lambda e: training_dataset(e, 8, 0), lambda e: evaluation_dataset(e, 8)]
)
def test_all_batches_have_one_static_shape(count, dataset):
    specification = dataset(numbered_prefixes(count)).element_spec
    assert [spec.shape.as_list() for spec in specification] == [[8, 1]] * 3


def test_evaluation_goes_through_the_prefixes_in_order(toy_prefixes):
    for _ in range(2):
        batches = list(evaluation_dataset(toy_prefixes, 5))
        for array, parts in zip(write_out(toy_prefixes), zip(*batches, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate(parts)[:16], array)
            assert not np.concatenate(parts)[16:].any()


def test_a_text_becomes_prefixes_of_its_lines_or_windows_of_all_of_it(tokenizer, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("i love\n\n deep learning is\n")
    text = load_corpus(str(path))
    prefixes = make_examples(text, tokenizer, 4, every_token=False)
    assert tokenizer.decode(prefixes.targets) == "love learning is"
    windows = make_examples(text, tokenizer, 4, every_token=True)
    assert tokenizer.decode(windows.token_ids) == "i love deep learning is"
    assert windows.length == 4


def test_prompts_are_the_beginnings_with_all_that_follows_them(tokenizer):
    prompts = sample_prompts(tokenizer.encode_batch(TOY_SENTENCES), context_length=4)
    assert [(tokenizer.decode(prompt), tokenizer.tokens(ids)) for prompt, ids in prompts] == [
        ("i love", ["deep", "artificial", "models"]),
        ("i love deep", ["learning"]),
        ("i love artificial", ["intelligence"]),
        ("deep learning", ["is"]),
        ("deep learning is", ["fun"]),
        ("artificial intelligence", ["is"]),
        ("artificial intelligence is", ["cool"]),
        ("models learn", ["patterns"]),
    ]


def test_many_prompts_are_thinned_out_evenly():
    sentences = [[number, 7, 8] for number in range(100, 200)]
    assert sample_prompts(sentences, context_length=3, count=4) == [
        ([number, 7], [8]) for number in (100, 133, 166, 199)
    ]


def test_of_many_followers_the_first_three_are_named():
    sentences = [[2, 3, follower] for follower in (9, 8, 9, 7, 6)]
    assert sample_prompts(sentences, context_length=3) == [([2, 3], [9, 8, 7])]


def test_prompts_of_one_token_are_taken_only_where_there_are_no_others():
    assert sample_prompts([[2, 3], [2, 4], [5, 6]], 4) == [([2], [3, 4]), ([5], [6])]
    assert sample_prompts([[2, 3], [4, 5, 6]], 4) == [([4, 5], [6])]


def test_prompts_stay_inside_the_windows_that_are_trained_on():
    assert sample_prompts([[2, 3, 4, 5, 6, 7]], 3) == [([2, 3], [4]), ([5, 6], [7])]


@pytest.mark.parametrize(
    ("lengths", "context_length", "probe"),
    [
        ([2, 4, 5], 4, [40, 41, 42]),
        ([12], 16, [120, 121, 122, 123, 124, 125, 126, 127]),
        ([6], 3, [60, 61]),
        ([4], 2, [40]),
        ([2, 3], 4, [20]),
    ],
)
def test_the_probe_is_the_beginning_of_the_first_sentence_of_four(lengths, context_length, probe):
    sentences = [list(range(10 * length, 11 * length)) for length in lengths]
    assert sample_probe(sentences, context_length) == probe


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
    windows = make_windows(text, length)
    dataset = evaluation_dataset(windows, batch_size=2)
    read = read_windows(dataset)
    assert list(itertools.chain(*(ids for ids, _ in read))) == text[:-1]
    assert list(itertools.chain(*(targets for _, targets in read))) == text[1:]
    assert all(len(ids) == min(length, tokens - 1) for ids, _ in read[:-1])
    assert windows.count == tokens - 1
    assert len(list(dataset)) == steps_per_epoch(windows, 2)
    for token_ids, targets, weights in dataset:
        assert (targets.numpy()[weights.numpy() == 0] == 0).all()
        assert token_ids.shape == targets.shape == weights.shape == (2, min(length, tokens - 1))


@pytest.mark.parametrize(("tokens", "passes"), [(50, 40), (9, 5), (17, 40), (24, 40)])
def test_windows_start_anywhere_and_each_token_predicts_the_next(tokens, passes):
    windows = make_windows(range(tokens), context_length=8)
    starts = set()
    for token_ids, targets, weights in training_dataset(windows, 16, seed=0).take(passes):
        np.testing.assert_array_equal(targets, token_ids + 1)
        np.testing.assert_array_equal(np.diff(token_ids), 1)
        assert (weights.numpy() == 1).all()
        starts.update(token_ids[:, 0].numpy().tolist())
    assert starts == set(range(tokens - 8))


@pytest.mark.parametrize(("tokens", "per_pass"), [(1001, 99), (1009, 99), (1010, 100)])
def test_the_windows_of_a_pass_are_shuffled_and_do_not_overlap(tokens, per_pass):
    windows = make_windows(range(tokens), context_length=10)
    dataset = training_dataset(windows, 9, seed=0).take(per_pass)  # 9 passes
    starts = np.concatenate([token_ids[:, 0] for token_ids, _, _ in dataset])
    passes = starts.reshape(9, per_pass)
    for row in passes:
        np.testing.assert_array_equal(np.sort(row) - row.min(), 10 * np.arange(per_pass))
        assert np.abs(np.corrcoef(row, np.arange(per_pass))[0, 1]) < 0.4
    assert len({row.min() for row in passes}) == 9
    assert len({tuple(np.argsort(row)) for row in passes}) == 9


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_batch_of_windows_depends_on_seed_and_step_alone(step):
    windows = make_windows(range(500), context_length=8)
    dataset = training_dataset(windows, 4, seed=3)
    assert take(dataset.skip(step), 2) == take(dataset, step + 2)[step:]
    assert take(training_dataset(windows, 4, seed=4), 2) != take(dataset, 2)


def test_windows_of_a_file_are_those_of_the_same_ids_in_memory(tmp_path):
    in_memory = np.random.default_rng(0).integers(2, 60_000, 5_000, "uint16")
    np.save(tmp_path / "ids.npy", in_memory)
    on_disk = np.load(tmp_path / "ids.npy", mmap_mode="r")
    for make in (
        lambda w: training_dataset(w, 12, seed=3).take(9),
        lambda w: evaluation_dataset(w, 12),
    ):
        batches = [
            list(make(make_windows(ids, 64)).as_numpy_iterator())
            for ids in (on_disk, in_memory, in_memory.tolist())
        ]
        for one, other, third in zip(*batches, strict=True):
            for arrays in zip(one, other, third, strict=True):
                assert [array.dtype for array in arrays] == [arrays[0].dtype] * 3
                np.testing.assert_array_equal(arrays[0], arrays[1])
                np.testing.assert_array_equal(arrays[0], arrays[2])


def test_a_run_of_this_version_has_the_same_windows_for_ever():
    windows = make_windows(range(1000), context_length=8)
    token_ids = [
        batch[0][:, 0].numpy().tolist() for batch in training_dataset(windows, 4, 3).take(3)
    ]
    assert token_ids == [[396, 940, 412, 676], [12, 380, 620, 284], [172, 876, 228, 300]]


@pytest.mark.parametrize(
    "dataset", [lambda w: training_dataset(w, 8, 0), lambda w: evaluation_dataset(w, 8)]
)
def test_all_batches_of_windows_have_one_static_shape(dataset):
    specification = dataset(make_windows(range(50), 6)).element_spec
    assert [spec.shape.as_list() for spec in specification] == [[8, 6]] * 3
    assert [spec.dtype.name for spec in specification] == ["int32", "int32", "float32"]


def test_an_epoch_of_windows_holds_as_many_tokens_as_the_text():
    assert steps_per_epoch(make_windows(range(1001), 10), batch_size=10) == 10
    assert steps_per_epoch(make_windows(range(1002), 10), batch_size=10) == 11
