"""Files that were saved by earlier versions load for ever."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import models  # noqa: F401  registers the classes, as a user does

FILES = Path(__file__).parent.parent / "files"
EXPECTED = json.loads((FILES / "expected.json").read_text())


def inputs(name):
    """What the kept outputs of a file were made of."""
    if name.startswith("hand"):
        return np.random.default_rng(1).normal(size=(1, 5, 8)).astype("float32")
    token_ids = np.array([[2, 3, 4, 5]], "int32")
    if name == "encoder_decoder.keras":
        return {"source_ids": token_ids, "target_ids": token_ids[:, ::-1]}
    return token_ids


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_of_an_earlier_version_gives_what_it_gave(name):
    model = keras.saving.load_model(FILES / name)
    outputs = model(inputs(name))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    for output, expected in zip(outputs, EXPECTED[name]["outputs"], strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(output), expected, atol=1e-5)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_of_an_earlier_version_hands_each_weight_its_own_optimizer_state(name):
    model = keras.saving.load_model(FILES / name)
    paths = [variable.path for variable in model.trainable_variables]
    assert paths == EXPECTED[name]["trainable_variables"]
    variables = {v.path: keras.ops.convert_to_numpy(v) for v in model.optimizer.variables}
    assert list(variables) == list(EXPECTED[name]["optimizer"])
    for path, expected in EXPECTED[name]["optimizer"].items():
        found = [variables[path].sum(), np.abs(variables[path]).sum()]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("name", [name for name in EXPECTED if not name.startswith("hand")])
def test_a_file_of_an_earlier_version_can_be_saved_again(name, tmp_path):
    model = keras.saving.load_model(FILES / name)
    model.save(tmp_path / name)
    again = keras.saving.load_model(tmp_path / name)
    for output in (model(inputs(name)), again(inputs(name))):
        output = keras.ops.convert_to_numpy(output)
        np.testing.assert_allclose(output, EXPECTED[name]["outputs"][0], atol=1e-5)


def test_the_first_version_still_answers():
    model = keras.saving.load_model(FILES / "encoder.keras")
    ((token, probability),) = model.predict_next("i love deep", k=1)
    assert token == "learning"
    assert probability == pytest.approx(0.998074, abs=1e-5)
    assert model.attention("i love deep")[1].shape == (2, 2, 3, 3)
    assert int(model.optimizer.iterations) == 600
    assert model.provenance["corpus"]["source"] == "toy"


def test_what_the_first_version_of_a_model_wrote_it_still_writes():
    model = keras.saving.load_model(FILES / "encoder_decoder.keras")
    assert model.source_tokenizer.vocabulary[-1] == "[END]"
    assert model.translate(["ab", "cab"], beams=3) == ["a b a", "c c"]
    model = keras.saving.load_model(FILES / "masked.keras")
    ((token, probability),) = model.fill("i [MASK] deep", k=1)[0]
    assert (token, round(probability, 3)) == ("love", 0.267)


def test_each_kept_file_is_tested():
    kept = sorted(path.name for path in FILES.glob("*.keras"))
    assert kept == sorted([*EXPECTED, "encoder.keras"])
