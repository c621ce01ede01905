"""A model in its file: what is saved, in a fresh process too, and saves that fail."""

import errno
import io
import json
import signal
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from data.corpora import TOY_SENTENCES
from data.tokenizer import WordTokenizer
from models import EncoderLanguageModel
from tests.conftest import PROJECT, run_script
from tests.models.test_language_model import TOKEN_IDS, compile_and_fit


def optimizer_state(model):
    return [ops.convert_to_numpy(ops.convert_to_tensor(v)) for v in model.optimizer.variables]


def stored_paths(path):
    with zipfile.ZipFile(path) as archive:
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    paths = []
    file.visit(paths.append)
    return sorted(paths)


def test_looking_at_attention_does_not_change_what_is_saved(model, tmp_path):
    model.save(tmp_path / "before.keras")
    model.attention("i love deep")
    model.predict_next("i love")
    model.save(tmp_path / "after.keras")
    keras.Model(model.input, model.output).save(tmp_path / "plain.keras")
    before = stored_paths(tmp_path / "before.keras")
    assert before == stored_paths(tmp_path / "after.keras")
    assert before == stored_paths(tmp_path / "plain.keras")
    arrays = [path for path in before if path.rsplit("/", 1)[-1].isdigit()]
    assert len(arrays) == len(model.weights)


RELOAD = """
import json, sys
import keras, numpy as np
from keras import ops
import models

folder, names = sys.argv[1], sys.argv[2:]
for name in names:
    model = keras.saving.load_model(f"{folder}/{name}.keras")
    data = np.load(f"{folder}/data.npz")
    arrays = {"logits": model.predict_on_batch(data["asked"]).astype("float32")}
    for number, variable in enumerate(model.optimizer.variables):
        arrays[f"optimizer_{number}"] = ops.convert_to_numpy(ops.convert_to_tensor(variable))
    np.savez(f"{folder}/{name}.npz", **arrays)
    facts = {
        "class": type(model).__name__,
        "words": model.tokenizer.words,
        "provenance": model.provenance,
        "context_length": model.context_length,
        "policies": [model.dtype_policy.name, model.get_layer("encoder_layer_1").dtype_policy.name],
        "predicted": model.predict_next("i love", k=3),
        "figures": model.evaluate(
            data["token_ids"], data["targets"], sample_weight=data["weights"], verbose=0,
            return_dict=True,
        ),
    }
    with open(f"{folder}/{name}.json", "w") as file:
        json.dump(facts, file)
"""

PROVENANCE = {"corpus": {"source": "toy", "sha256": "ab"}, "settings": {"lr": 1e-3, "probe": None}}
POLICIES = ("float32", "mixed_bfloat16")


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory):
    """Trained models by dtype policy, and what a fresh process elsewhere made of their files."""
    folder, elsewhere = tmp_path_factory.mktemp("saved"), tmp_path_factory.mktemp("elsewhere")
    tokenizer = WordTokenizer.from_texts(TOY_SENTENCES)
    trained = {}
    for policy in POLICIES:
        keras.utils.set_random_seed(1)
        model = EncoderLanguageModel(
            tokenizer, context_length=4, provenance=PROVENANCE, dtype=policy
        )
        examples = compile_and_fit(model)
        model.save(folder / f"{policy}.keras")
        trained[policy] = model
    names = ("token_ids", "targets", "weights")
    np.savez(folder / "data.npz", asked=TOKEN_IDS, **dict(zip(names, examples, strict=True)))
    result = run_script("-c", RELOAD, folder, *POLICIES, cwd=elsewhere, PYTHONPATH=str(PROJECT))
    assert result.returncode == 0, result.stderr
    return {
        policy: (
            model,
            examples,
            np.load(folder / f"{policy}.npz"),
            json.loads((folder / f"{policy}.json").read_text()),
        )
        for policy, model in trained.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_a_saved_model_gives_the_same_logits_in_a_fresh_process(reloaded, policy):
    model, _, arrays, facts = reloaded[policy]
    logits = model.predict_on_batch(TOKEN_IDS).astype("float32")
    np.testing.assert_array_equal(arrays["logits"], logits)
    assert facts["predicted"] == [list(pair) for pair in model.predict_next("i love", k=3)]


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_a_saved_model_carries_all_that_belongs_to_it(reloaded, policy):
    model, _, _, facts = reloaded[policy]
    assert facts["class"] == "EncoderLanguageModel"
    assert facts["words"] == model.tokenizer.words
    assert facts["provenance"] == PROVENANCE == model.provenance
    assert facts["context_length"] == 4
    assert facts["policies"] == [policy, policy]


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_a_saved_model_carries_the_state_of_its_optimizer(reloaded, policy):
    model, _, arrays, _ = reloaded[policy]
    state = optimizer_state(model)
    assert len(state) == 2 + 2 * len(model.weights)  # step, learning rate, Adam's two moments
    assert state[0] == 4
    assert len(arrays.files) == 1 + len(state)
    for number, values in enumerate(state):
        np.testing.assert_array_equal(arrays[f"optimizer_{number}"], values)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_a_saved_model_can_be_evaluated_as_it_was_compiled(reloaded, policy):
    model, (token_ids, targets, weights), _, facts = reloaded[policy]
    figures = model.evaluate(token_ids, targets, sample_weight=weights, verbose=0, return_dict=True)
    assert set(figures) == {"loss", "accuracy", "perplexity"}
    assert facts["figures"] == pytest.approx(figures, rel=1e-6)


@pytest.fixture
def saved(model, tmp_path):
    """A folder with a saved model and nothing else."""
    model.save(tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    return tmp_path


def assert_still_whole(folder, model):
    loaded = keras.saving.load_model(folder / "model.keras")
    logits = model.predict_on_batch(TOKEN_IDS)
    np.testing.assert_array_equal(loaded.predict_on_batch(TOKEN_IDS), logits)


def test_saving_replaces_an_earlier_file(saved, model):
    model.get_layer("logits").bias.assign_add(np.arange(14))
    model.save(str(saved / "model.keras"))
    assert [path.name for path in saved.iterdir()] == ["model.keras"]
    assert_still_whole(saved, model)


def test_a_folder_that_is_missing_is_named(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing/model\.keras"):
        model.save(tmp_path / "missing" / "model.keras")


def test_a_file_of_another_kind_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match=r"\.keras"):
        model.save(tmp_path / "model.txt")
    assert not list(tmp_path.iterdir())


SAVE_WITH_TOO_LITTLE_ROOM = """
import os, resource, signal, sys
import keras, models

path = sys.argv[1]
model = keras.saving.load_model(path)
model.get_layer("logits").bias.assign_add([1.0] * 14)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path) // 2,) * 2)
try:
    model.save(path)
except OSError as error:
    print("errno", error.errno)
"""


def test_a_save_that_fails_half_way_leaves_the_earlier_file_and_nothing_else(saved, model):
    result = run_script(
        "-c", SAVE_WITH_TOO_LITTLE_ROOM, saved / "model.keras", PYTHONPATH=str(PROJECT)
    )
    assert result.stdout == f"errno {errno.EFBIG}\n", result.stderr
    assert [path.name for path in saved.iterdir()] == ["model.keras"]
    assert_still_whole(saved, model)


SAVE_AND_DIE = """
import os, signal, sys
import keras, models

class DyingModel(models.EncoderLanguageModel):
    def save_own_variables(self, store):
        os.kill(os.getpid(), signal.SIGKILL)

path = sys.argv[1]
config = keras.saving.load_model(path).get_config()
DyingModel.from_config(config).save(path)
"""


@pytest.mark.slow
def test_a_save_that_is_killed_half_way_leaves_the_earlier_file(saved, model):
    result = run_script("-c", SAVE_AND_DIE, saved / "model.keras", PYTHONPATH=str(PROJECT))
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert_still_whole(saved, model)
    model.save(saved / "model.keras")
    assert_still_whole(saved, model)
