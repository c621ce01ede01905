"""The scripts on Keras's third backend, PyTorch, where that is installed: real processes."""

import importlib.util
import json
import os
import signal
import zipfile

import numpy as np
import pytest

from data.corpora import TOY_SENTENCES
from tests.conftest import PROJECT, resave, run_script
from tests.test_resume import EVERY_EPOCH

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed: pip install torch"
)
# With all that changes from step to step.
FLAGS = [
    *("--model", "decoder", "--layers", 1, "--dropout", 0.4, "--position", "rotary"),
    *("--steps", 24, "--eval-every", 8, "--learning-rate", 0.02),
    *("--optimizer", "muon", "--average", 0.5, "--clip-norm", 1, "--accumulate", 2),
]
LOGITS = (
    "import keras, models, numpy as np, sys\n"
    "model = keras.saving.load_model(sys.argv[1])\n"
    "logits = keras.ops.convert_to_numpy(model(np.array([[2, 3, 4]])))\n"
    "np.save(sys.argv[2], logits)"
)


def run_on(backend, *arguments):
    result = run_script(*arguments, KERAS_BACKEND=backend)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A folder with a run named "whole", trained with PyTorch."""
    logs = tmp_path_factory.mktemp("torch")
    result = run_on("torch", "train.py", *FLAGS, "--logs", logs, "--run-name", "whole")
    assert result.stderr == ""
    return logs


def test_it_learns_and_says_with_what(logs):
    losses = json.loads((logs / "whole" / "results.json").read_text())
    assert losses["best.keras"]["loss"] < np.log(14)  # that of a model that knows nothing
    provenance = json.loads((logs / "whole" / "config.json").read_text())["provenance"]
    assert provenance["versions"]["backend"] == "torch"
    assert "torch" in provenance["versions"]


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(logs):
    code = EVERY_EPOCH.replace(
        "cli.run",
        "callbacks.ProgressBar.on_epoch_begin = "
        f"lambda self, epoch, logs=None: epoch == 2 and os.kill(os.getpid(), {signal.SIGKILL}); "
        "cli.run",
    ).replace("import sys,", "import os, sys,")
    new = (*FLAGS, "--logs", logs, "--run-name", "cut")
    result = run_script("-c", code, *new, KERAS_BACKEND="torch")
    assert result.returncode == -signal.SIGKILL, result.stderr
    run_on("torch", "train.py", "--logs", logs, "--resume", "cut")
    for name in ("best.keras", "last.keras"):
        whole, cut = (
            zipfile.ZipFile(logs / run / name).read("model.weights.h5") for run in ("whole", "cut")
        )
        assert whole == cut
    whole, cut = ((logs / run / "results.json").read_text() for run in ("whole", "cut"))
    assert whole == cut


def test_a_file_means_the_same_to_tensorflow(logs):
    logits = []
    for backend in ("torch", "tensorflow"):
        output = logs / f"{backend}.npy"
        run_on(backend, "-c", LOGITS, logs / "whole" / "best.keras", output)
        logits.append(np.load(output))
    np.testing.assert_allclose(*logits, atol=1e-5)


def test_a_file_that_tensorflow_compiled_with_xla_is_scored_as_it_is(tmp_path):
    source = PROJECT / "tests" / "files" / "decoder_rotary.keras"
    path = resave(
        tmp_path / source.name, source, lambda c: c["compile_config"].update(jit_compile=True)
    )
    result = run_on("torch", "evaluate.py", path, "--corpus", "toy")
    assert result.stderr == ""
    assert "decoder_rotary" in result.stdout


def test_it_draws_attention_and_continues_texts(logs):
    model = logs / "whole" / "best.keras"
    picture = logs / "attention.png"
    run_on("torch", "evaluate.py", model, "--attention", "i love deep", "--output", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    few = ("--max-new-tokens", 6)
    result = run_on("torch", "generate.py", model, "i love", "deep", "--greedy", *few)
    assert result.stderr == ""
    words = {word for sentence in TOY_SENTENCES for word in sentence.split()}
    texts = [line for line in result.stdout.splitlines() if not line.startswith("---")]
    assert [len(text.split()) for text in texts] == [8, 7]
    assert set(" ".join(texts).split()) <= words


def test_xla_is_refused_in_one_line(tmp_path):
    arguments = ("train.py", "--jit", "on", "--logs", tmp_path)
    result = run_script(*arguments, KERAS_BACKEND="torch")
    assert result.returncode == 2
    assert result.stderr == (
        "train.py: error: argument --jit: expected auto or off with PyTorch, got on: it has no "
        "XLA\n"
    )
    assert not os.listdir(tmp_path)
