"""`evaluate.py` on what writes targets: scores that can be checked by hand, and refusals."""

import json
import math

import keras
import numpy as np
import pytest

import evaluate
from data.corpora import load_corpus
from data.tokenizer import CharTokenizer, SymbolTokenizer
from experiments import evaluation
from experiments.cli import UsageError
from experiments.worst_predictions import worst_predictions
from models import EncoderDecoderModel
from tests.conftest import resave, run_script

# Two answers to one source, and a source that a context of 6 has no room for.
PAIRS = "ab\tA B\nab\tB\nba\tB A\nb\tB\nabababab\tA\n"


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return EncoderDecoderModel(
        SymbolTokenizer(["A", "B"]).with_extra_tokens("[BEGIN]", "[END]"),
        context_length=6,
        source_tokenizer=CharTokenizer("ab").with_extra_tokens("[END]"),
        d_model=8,
    )


@pytest.fixture
def files(model, tmp_path):
    """A file of pairs, and a model that was validated on it and knows where it was."""
    pairs, run = tmp_path / "pairs.tsv", tmp_path / "run"
    pairs.write_text(PAIRS)
    text = {"source": "pairs.tsv", "sha256": load_corpus(str(pairs)).sha256}
    settings = {"validation_split": 0.0}
    model.provenance = {"corpus": "lost", "validation": text, "settings": settings}
    run.mkdir()
    model.save(run / "best.keras")
    (run / "config.json").write_text(
        json.dumps({"provenance": {"validation": {**text, "source": str(pairs)}}})
    )
    return pairs, run / "best.keras"


def loss_by_hand(model, source, target):
    source_ids = [
        *model.source_tokenizer.encode(source),
        model.source_tokenizer.special_id("[END]"),
    ]
    begin, end = map(model.tokenizer.special_id, ("[BEGIN]", "[END]"))
    target_ids = [*model.tokenizer.encode(target), end]
    inputs = {
        "source_ids": np.array([source_ids]),
        "target_ids": np.array([[begin, *target_ids[:-1]]]),
    }
    (logits,) = keras.ops.convert_to_numpy(model(inputs))
    log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return [-row[id_] for row, id_ in zip(log_p, target_ids, strict=True)]


@pytest.mark.slow
def test_scores_are_those_of_a_computation_by_hand(files, model, tmp_path):
    _, path = files
    found = tmp_path / "scores.json"
    result = run_script("evaluate.py", path, "--json", found, "--beams", 2, "--worst", 2)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line for line in result.stdout.splitlines() if str(files[0]) not in line]
    assert max(map(len, lines)) <= 100
    assert "1 of 4 sources are too long for it and count as wrong" in result.stdout
    (row,) = json.loads(found.read_text())["models"]
    pairs = [("ab", "A B"), ("ab", "B"), ("ba", "B A"), ("b", "B")]
    losses = [loss for pair in pairs for loss in loss_by_hand(model, *pair)]
    assert row["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    # A space before each phone, and the end, which is written as nothing.
    characters = sum(2 * len(target.split()) + 1 for _, target in pairs)
    assert row["bits_per_character"] == pytest.approx(sum(losses) / math.log(2) / characters)
    assert (row["sources"], row["too_long"], row["beams"]) == (4, 1, 2)
    assert row["text"] == f"all of {files[0]}"
    right = [written in answers for written, answers in by_source(model, beams=2)]
    assert row["exact_match"] == np.mean([*right, False])
    assert row["word_error_rate"] == 1 - row["exact_match"]
    right = [written in answers for written, answers in by_source(model, beams=1)]
    assert row["greedy"]["exact_match"] == np.mean([*right, False])
    losses_of_worst = [row["loss"] for row in row["worst"]]
    assert losses_of_worst == pytest.approx(sorted(losses, reverse=True)[:2], rel=1e-5)


def by_source(model, beams):
    sources = {"ab": ("A B", "B"), "ba": ("B A",), "b": ("B",)}
    return list(zip(model.translate(list(sources), beams), sources.values(), strict=True))


def test_a_right_target_is_one_of_several_and_its_distance_that_of_the_closest(model, monkeypatch):
    def written(texts):
        ids = [[(model.tokenizer.encode(text), -1.0, True)] for text in texts]
        monkeypatch.setattr(type(model), "_search", lambda *_, **__: ids)

    encode = model.tokenizer.encode
    answers = [[encode("A B"), encode("B")], [encode("B A")]]
    written(["B", "A A A"])
    found = model.score_targets([[2, 3], [3]], answers)
    assert found == (0.5, 2 / 3)  # of B and B A: an A in place of B, and one too many
    written(["A B", "B A"])
    assert model.score_targets([[2, 3], [3]], answers) == (1, 0)


def test_the_worst_predictions_say_what_the_source_was(files, model):
    result = evaluation.evaluate_model(str(files[1]), model)
    assert {row.before.split(" → ")[0] for row in worst_predictions(result, 20)} == {
        "ab",
        "ba",
        "b",
    }


def test_a_validation_text_that_has_changed_is_refused(files, model):
    pairs, path = files
    pairs.write_text("ab\tB\n")
    with pytest.raises(UsageError, match=r"pairs\.tsv has changed since the model was validated"):
        evaluation.evaluate_model(str(path), model)


def test_pairs_are_for_what_writes_targets_alone(files, toy_run):
    pairs, path = files
    with pytest.raises(UsageError, match=r"--corpus: .*best\.keras: expected pairs .*, got toy"):
        evaluate.main([str(path), "--corpus", "toy"])
    with pytest.raises(UsageError, match=r"--corpus: .*: expected no pairs, got .*pairs\.tsv"):
        evaluate.main([str(toy_run / "best.keras"), "--corpus", str(pairs)])


@pytest.mark.slow
def test_cross_attention_is_drawn_for_a_source_alone_or_with_its_target(files, tmp_path):
    sizes = []
    for text in ("ab", "ab\tA B A"):
        picture = tmp_path / "cross.png"
        evaluate.main([str(files[1]), "--attention", text, "--output", str(picture)])
        sizes.append(picture.stat().st_size)
    assert all(sizes)
    with pytest.raises(UsageError, match="argument --attention: The source must hold only"):
        evaluate.main([str(files[1]), "--attention", "xyz", "--output", str(picture)])


def test_a_file_that_asks_for_a_stack_too_many_is_refused(files, tmp_path):
    def deepen(config):
        config["config"]["num_layers"] = 40  # less than the arrays of both stacks together

    path = resave(tmp_path / "deep.keras", files[1], deepen)
    with pytest.raises(UsageError, match="expected weights for the 80 layers"):
        evaluate.main([path])
