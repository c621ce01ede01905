"""What is shown of a text."""

import pytest

from data.corpora import TOY_SENTENCES, load_corpus
from data.samples import known_lines, sample_probe, sample_prompts
from data.tokenizer import WordTokenizer


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a b c\nb\n\nc a\nnew b c a", [[2, 3, 4], [4, 2]]),
        ("a b c a new b c new", [[2, 3, 4]]),
        ("new a new b\n\n", [[1, 2, 1, 3]]),
        ("a\nb\n", []),
        ("a b " * 30_000, [2_500 * [2, 3]]),
    ],
)
def test_known_lines_are_shown_or_else_known_parts_of_lines(tmp_path, text, lines):
    path = tmp_path / "text.txt"
    path.write_text(text)
    tokenizer = WordTokenizer(["a", "b", "c"])
    assert known_lines(load_corpus(str(path)), tokenizer, context_length=3) == lines


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


def test_prompts_with_unknown_tokens_are_taken_only_where_there_are_no_others():
    assert sample_prompts([[2, 3, 1, 4, 5]], 5) == [([2, 3], [1])]
    assert sample_prompts([[2, 1, 3]], 3) == [([2], [1])]
    assert sample_prompts([[1, 3, 4]], 3) == [([1, 3], [4])]
