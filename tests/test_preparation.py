"""From a corpus to what is trained on and shown."""

import pytest

from data.corpora import load_corpus
from data.tokenizer import TOKENIZERS
from experiments import flags, preparation, reports, settings, training
from experiments.cli import UsageError

SUMS = 20 * "".join(f"{a}+{b}={a + b}\n" for a in range(5) for b in range(5))
CHINESE = 20 * "春眠不觉晓\n处处闻啼鸟\n夜来风雨声\n花落知多少\n"
BLANK_END = 40 * "i love deep learning\n" + 120 * "\n"
LETTERS = 10 * "a\nb\nc\nd\n"


def prepare(tmp_path, text, *arguments):
    """The settings, the corpus and the data of a text."""
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    parsed, _ = flags.parse_settings(["--corpus", str(path), *map(str, arguments)])
    corpus = load_corpus(str(path))
    return parsed, corpus, preparation.prepare_data(parsed, corpus)


def test_every_tokenizer_that_can_be_asked_for_is_there():
    assert set(settings.FIELDS["tokenizer"].metadata["allowed"]) == set(TOKENIZERS)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (SUMS, ["--tokenizer=word"]),
        (CHINESE, ["--tokenizer=word", "--context-length=4"]),
        (BLANK_END, ["--tokenizer=char"]),
        (BLANK_END, ["--tokenizer=bpe", "--vocabulary-size=270"]),
        (LETTERS, ["--tokenizer=char", "--context-length=8"]),
    ],
    ids=["sums", "Chinese", "blank end", "blank end in bytes", "letters"],
)
def test_a_causal_model_is_shown_something_of_any_text(tmp_path, text, arguments):
    parsed, corpus, data = prepare(tmp_path, text, "--model=decoder", *arguments)
    (probe,) = data.probes
    assert len(data.tokenizer.encode(probe)) > 1
    assert len({prompt for prompt, _ in data.samples}) == len(data.samples) > 1
    model = training.build_model(parsed, corpus, data)
    prompts = [prompt for prompt, _ in data.samples]
    assert all(prompt.strip() for prompt in prompts)
    assert len(model.next_token_probabilities(prompts)) == len(prompts)
    assert model.attention(probe)[0] == data.tokenizer.split(probe)


def test_prompts_are_of_the_validation_part_where_its_lines_are_too_short(tmp_path):
    text = 45 * "one\ntwo\n" + 5 * "two\none\n"
    _, _, data = prepare(tmp_path, text, "--model=decoder", "--context-length=4")
    assert data.samples == [("two one", "two"), ("two one two", "one")]


def test_the_few_lines_that_can_be_shown_are_found_among_many(tmp_path):
    text = "".join("to be\n" if number % 300 == 1 else "word\n" for number in range(4_500))
    _, _, data = prepare(tmp_path, text, "--model=encoder")
    assert data.samples == [("to", "be")]
    assert data.probes == ["to"]


@pytest.mark.parametrize("model", ["encoder", "decoder"])
def test_no_prompt_spells_out_that_a_character_is_unknown(model):
    toy = load_corpus("toy")
    arguments = ["--tokenizer=char", "--validation-split=0.2", f"--model={model}"]
    parsed, _ = flags.parse_settings(arguments)
    data = preparation.prepare_data(parsed, toy)
    assert len(data.samples) == 8
    prompts = [prompt for prompt, _ in data.samples]
    assert not any("UNK" in prompt for prompt in prompts)
    assert len(training.build_model(parsed, toy, data).next_token_probabilities(prompts)) == 8


def test_prompts_of_unknown_words_are_taken_where_there_are_no_others(tmp_path):
    text = "".join(f"new{number} a\nodd{number} b\n" for number in range(20))
    _, _, data = prepare(tmp_path, text, "--vocabulary-size=2")
    assert data.samples == [("[UNK]", "a / b")]


@pytest.mark.parametrize("split", [0.25, 0])
@pytest.mark.parametrize("model", ["encoder", "decoder"])
def test_a_model_is_trained_on_shorter_pieces_than_it_is_evaluated_on(tmp_path, model, split):
    text = 40 * "a b c d e f g h i j\n"
    arguments = ["--context-length=8", "--train-length=3", f"--validation-split={split}"]
    _, _, data = prepare(tmp_path, text, f"--model={model}", *arguments)
    lengths = [
        dataset.element_spec[0].shape[1]
        for dataset in (data.training.training_batches(4, 0), data.evaluation.evaluation_batches(4))
    ]
    assert lengths == ([3, 8] if model == "decoder" else [2, 7])


@pytest.mark.parametrize("tokenizer", ["word", "char"])
@pytest.mark.parametrize("model", ["encoder", "decoder"])
@pytest.mark.parametrize("name", ["sort", "induction", "positions", "babble"])
def test_a_made_text_is_shown_up_to_where_something_is_to_be_predicted(name, model, tokenizer):
    arguments = ["--corpus", name, f"--tokenizer={tokenizer}", f"--model={model}"]
    parsed, _ = flags.parse_settings([*arguments, "--context-length=12"])
    data = preparation.prepare_data(parsed, load_corpus(name))
    assert len(data.samples) == 8
    (probe,) = data.probes
    if name in ("sort", "positions") and tokenizer == "word":
        assert "=" in probe
        assert all("=" in prompt for prompt, _ in data.samples)


@pytest.mark.parametrize(
    ("pairs", "arguments", "message"),
    [
        ("ab\tba\n", [], "at least two different sources, for some are kept .*, found one"),
        ("ab\tba\nab\tb\n", [], "at least two different sources, for some are kept .*, found one"),
        (
            "abcd\tdcba\nabce\tecba\n",
            ["--context-length=4", "--validation-split=0"],
            r"a pair of at most 3 tokens on each side, found none among 2 \(see --context-length\)",
        ),
    ],
)
def test_pairs_that_leave_nothing_are_refused(tmp_path, pairs, arguments, message):
    path = tmp_path / "pairs.tsv"
    path.write_text(pairs)
    argv = ["--corpus", str(path), "--tokenizer=char", *arguments]
    parsed, _ = flags.parse_settings(argv)
    with pytest.raises(UsageError, match=message):
        preparation.prepare_data(parsed, load_corpus(str(path)))


@pytest.mark.parametrize(
    ("flag", "known"),
    [
        ("--no-share-vocabulary", "5 characters of sources, 5 characters of targets"),
        ("--share-vocabulary", "5 characters of sources and targets"),
    ],
)
def test_what_is_known_of_pairs_and_what_is_too_long_is_said(tmp_path, capsys, flag, known):
    path = tmp_path / "pairs.tsv"
    path.write_text("abcd\tdcba\nab\tba\nba\tab\nabcde\te\n")
    argv = ["--corpus", str(path), "--tokenizer=char", "--context-length=4", flag]
    parsed, _ = flags.parse_settings([*argv, "--validation-split=0", "--epochs=1"])
    corpus = load_corpus(str(path))
    data = preparation.prepare_data(parsed, corpus)
    reports.print_plan(parsed, data, training.build_model(parsed, corpus, data))
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [
        f"corpus  {path}: 2 pairs to train on, none kept for validation",
        f"known   {known}",
    ]
    assert any(
        line.startswith("left out 2 pairs of training with a side of more than 3 tokens")
        for line in printed
    )
