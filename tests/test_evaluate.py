"""`evaluate.py`: scores that can be checked by hand, pictures, and refusals."""

import json
import math
import socket

import keras
import numpy as np
import pytest
from PIL import Image

from data.corpora import TOY_SENTENCES, load_corpus
from data.prefixes import Prefixes
from experiments import evaluation
from experiments.cli import UsageError
from losses import MaskedCrossentropy
from metrics import MeanCrossentropy
from models import EncoderLanguageModel
from tests.conftest import run_script


@pytest.fixture(scope="module")
def rows(toy_run, tmp_path_factory):
    """What `evaluate.py` prints and writes about the two models of a run."""
    folder = tmp_path_factory.mktemp("scores")
    files = [toy_run / "last.keras", toy_run / "best.keras"]
    result = run_script(
        "evaluate.py", *files, "--json", folder / "s.json", "--markdown", folder / "s.md"
    )
    assert result.returncode == 0, result.stderr
    return {
        "output": result.stdout,
        "errors": result.stderr,
        "json": json.loads((folder / "s.json").read_text())["models"],
        "markdown": (folder / "s.md").read_text(),
    }


def token_losses(model):
    """-log p(next word) of every prefix of the toy corpus, one prefix at a time."""
    losses = []
    for sentence in TOY_SENTENCES:
        words = sentence.split()
        for length in range(1, len(words)):
            (row,) = model.next_token_probabilities([" ".join(words[:length])])
            losses.append(-math.log(row[model.tokenizer.encode(words[length])[0]]))
    return losses


def test_scores_are_those_of_a_computation_by_hand(rows, toy_run):
    model = keras.saving.load_model(toy_run / "best.keras")
    losses = token_losses(model)
    score = next(row for row in rows["json"] if row["path"].endswith("best.keras"))
    characters = sum(len(s) - len(s.split()[0]) for s in TOY_SENTENCES)  # words and separators
    assert score["loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert score["perplexity"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    assert score["bits_per_character"] == pytest.approx(sum(losses) / math.log(2) / characters)
    assert score["parameters"] == sum(w.size for w in model.get_weights())
    assert score["file_bytes"] == (toy_run / "best.keras").stat().st_size
    assert 0 <= score["top1"] <= 14 / 16 + 1e-6
    assert score["top1"] <= score["top5"] <= 1
    assert score["tokens_per_second"] > 0
    assert score["unknown"] == 0


def test_rows_come_sorted_in_every_format_and_within_100_columns(rows):
    names = [row["name"] for row in rows["json"]]
    assert sorted(names) == ["toy", "toy/last"]
    assert [row["loss"] for row in rows["json"]] == sorted(row["loss"] for row in rows["json"])
    assert [line.split("|")[1].strip() for line in rows["markdown"].splitlines()[2:]] == names
    lines = rows["output"].splitlines()
    assert [line.split()[0] for line in lines[1:3]] == names
    assert lines[4] == f"scored on all of toy: {', '.join(names)}"
    assert max(map(len, lines)) <= 100
    assert rows["errors"] == ""


def test_words_out_of_the_vocabulary_are_counted(toy_run, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("i love zebras\nmodels learn\n")
    model = keras.saving.load_model(toy_run / "best.keras")
    path = str(toy_run / "best.keras")
    score = evaluation.evaluate_model(path, model, str(text)).score
    assert score.unknown == pytest.approx(1 / 3)


def test_a_model_is_scored_on_the_validation_part_of_its_own_corpus(tokenizer, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TOY_SENTENCES))
    corpus = evaluation.load_corpus(str(text))
    provenance = {
        "corpus": {"source": corpus.source, "sha256": corpus.sha256},
        "settings": {"validation_split": 0.34},
    }
    model = EncoderLanguageModel(tokenizer, context_length=4, provenance=provenance)
    path = tmp_path / "best.keras"
    model.save(path)
    held_out = Prefixes(
        [tokenizer.encode(s) for s in ("i love models", "models learn patterns")], 4
    )
    score = evaluation.evaluate_model(str(path), model).score
    model.compile(loss=MaskedCrossentropy(), weighted_metrics=[MeanCrossentropy()])
    expected = model.evaluate(held_out.evaluation_batches(2), verbose=0, return_dict=True)
    assert score.loss == pytest.approx(expected["loss"], rel=1e-5)
    assert score.text == f"the last 34% of {text}"

    text.write_text("something else entirely\n")
    with pytest.raises(UsageError, match=r"text\.txt has changed since"):
        evaluation.evaluate_model(str(path), model)

    text.unlink()
    with pytest.raises(UsageError, match=r"best\.keras: can't read what the model was .*--corpus"):
        evaluation.evaluate_model(str(path), model)


@pytest.fixture
def moved(model, tmp_path, monkeypatch):
    """A run on a text that was called "text.txt", seen from another folder: text and model."""
    text, run = tmp_path / "text.txt", tmp_path / "logs" / "run"
    text.write_text("\n".join(TOY_SENTENCES))
    sha256 = load_corpus(str(text)).sha256
    provenance = {
        "corpus": {"source": "text.txt", "sha256": sha256},
        "settings": {"validation_split": 0.34},
    }
    model.provenance = provenance
    run.mkdir(parents=True)
    model.save(run / "best.keras")
    corpus = {"source": str(text), "sha256": sha256}
    (run / "config.json").write_text(json.dumps({"provenance": {"corpus": corpus}}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return text, run / "best.keras"


def test_a_run_finds_its_text_from_any_folder(moved, model):
    text, path = moved
    score = evaluation.evaluate_model(str(path), model).score
    assert score.text == f"the last 34% of {text}"


def test_another_text_of_that_name_is_no_obstacle(moved, model, tmp_path):
    text, path = moved
    (tmp_path / "elsewhere" / "text.txt").write_text("something else entirely\n")
    assert evaluation.evaluate_model(str(path), model).score.text == f"the last 34% of {text}"


def test_a_model_without_its_run_finds_its_text_beside_it_or_asks(moved, model, tmp_path):
    text, path = moved
    alone = tmp_path / "elsewhere" / "best.keras"
    path.rename(alone)
    with pytest.raises(UsageError, match=r"^\S+best\.keras: can't read .*text\.txt.*--corpus$"):
        evaluation.evaluate_model(str(alone), model)
    # A run on another text has nothing to say.
    config = {"provenance": {"corpus": {"source": str(text), "sha256": "another"}}}
    for content in (json.dumps(config), "no JSON", "[]", "[" * 100_000):
        (alone.parent / "config.json").write_text(content)
        with pytest.raises(UsageError, match=r"best\.keras: can't read .*; expected --corpus$"):
            evaluation.evaluate_model(str(alone), model)
    text.rename(alone.parent / "text.txt")
    assert evaluation.evaluate_model(str(alone), model).score.text.endswith("elsewhere/text.txt")


def test_a_model_from_an_address_asks_for_a_corpus_and_calls_nobody(model, keras_home, tmp_path):
    sha256 = load_corpus("toy").sha256
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/text.txt"
        model.provenance = {
            "corpus": {"source": address, "sha256": sha256},
            "settings": {"validation_split": 0.1},
        }
        with pytest.raises(UsageError, match=rf"^a\.keras: .*{address}: .*; expected --corpus$"):
            evaluation.evaluate_model("a.keras", model)
        with pytest.raises(BlockingIOError):
            server.accept()


ODD = [
    None,
    True,
    7,
    -1.5,
    "x",
    "",
    "\0",
    "\ud800",
    "file://\ud800",
    ".",
    [],
    ["corpus"],
    [1],
    {},
    {"source": 3},
]


@pytest.mark.parametrize("part", ["whole", "corpus", "source", "sha256", "settings", "split"])
def test_a_provenance_of_any_other_shape_asks_for_a_corpus(model, part):
    for odd in ODD:
        good = load_corpus("toy")
        corpus = {"source": "toy", "sha256": good.sha256}
        provenance = {"corpus": corpus, "settings": {"validation_split": 0.1}}
        if part in ("source", "sha256"):
            corpus[part] = odd
        elif part == "split":
            provenance["settings"]["validation_split"] = odd
        else:
            provenance[part] = odd
        model.provenance = odd if part == "whole" else provenance
        with pytest.raises(UsageError, match=r"^odd\.keras: .*; expected --corpus$") as error:
            evaluation.evaluate_model("odd.keras", model)
        assert "\n" not in str(error.value)


def test_the_command_asks_for_a_corpus_where_a_file_does_not_say_its_own(model, tmp_path):
    model.provenance = {"corpus": "toy", "settings": [1, 2]}
    model.save(tmp_path / "odd.keras")
    result = run_script("evaluate.py", tmp_path / "odd.keras")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"evaluate.py: error: {tmp_path / 'odd.keras'}: the model does not say what it was trained "
        "on; expected --corpus\n"
    )


def test_attention_is_drawn_with_every_layer_and_head(toy_run, tmp_path):
    output = tmp_path / "attention.png"
    evaluation.draw_attention(str(toy_run / "best.keras"), "i love deep learning", str(output))
    picture = np.asarray(Image.open(output).convert("RGB"))
    assert picture.shape[0] > 300
    assert picture.shape[1] > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_what_is_not_read_is_said_in_one_line(toy_run, tmp_path):
    text = "i love zebras and deep learning"
    picture = tmp_path / "attention.png"
    arguments = ["--attention", text, "--output", picture]
    result = run_script("evaluate.py", toy_run / "best.keras", *arguments)
    assert result.returncode == 0
    assert result.stderr == (
        "evaluate.py: warning: Not in the model's vocabulary, read as [UNK]: zebras, and.\n"
    )
    assert result.stdout.splitlines()[0] == "the model reads the last 4 words only"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: MODEL.keras"),
        (["missing.keras"], "missing.keras: expected a saved .keras model, found nothing"),
        (["README.md"], "README.md: expected a saved model, whose name ends in .keras"),
        (["README.md", "--batch-size", "0"], "argument --batch-size: expected a whole number"),
        (["{best}", "--json", "no/such/folder.json"], "argument --json: expected a file in a"),
        (["{best}", "--attention", "i"], "argument --attention: expected --output beside it"),
        (["{best}", "--output", "a.png"], "argument --output: expected one of --attention, --by"),
        (["{best}", "--attention", "i", "--output", "a.doc"], "argument --output: expected a name"),
        (["{best}", "{best}", "--attention", "i", "--output", "a.png"], "expected one model"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(toy_run, arguments, message):
    arguments = [str(a).format(best=toy_run / "best.keras") for a in arguments]
    result = run_script("evaluate.py", *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_an_empty_text_or_an_unreadable_corpus_is_refused(toy_run, tmp_path):
    best = str(toy_run / "best.keras")
    with pytest.raises(UsageError, match="argument --attention: The prompt must hold"):
        evaluation.draw_attention(best, " ", str(tmp_path / "a.png"))
    with pytest.raises(UsageError, match=r"argument --corpus: nothing\.txt: expected"):
        evaluation.evaluate_models([best], "nothing.txt")
    words = tmp_path / "words.txt"
    words.write_text("one\nword\na\nline\n")
    with pytest.raises(UsageError, match=r"words\.txt: expected a line of at least two words"):
        evaluation.evaluate_models([best], str(words))
    assert not list(tmp_path.glob("*.png"))


def test_the_file_of_a_stranger_is_refused(tmp_path):
    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(UsageError, match=r"other\.keras: expected a model of this project"):
        evaluation.evaluate_models([str(path)])
