"""What several test files share: small real models, and one real training run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.keras_home import make_keras_home

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_HOME"] = make_keras_home()  # before Keras is imported


import keras

from data.corpora import TOY_SENTENCES
from data.tokenizer import WordTokenizer
from models import EncoderLanguageModel

PROJECT = Path(__file__).parent.parent


def run_script(*arguments, cwd=PROJECT, timeout=120, **environment):
    """Runs `python <arguments>` as a user would, in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """A new home for what Keras and this project keep, which does not exist yet."""
    home = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(home))
    return home


@pytest.fixture
def tokenizer():
    return WordTokenizer.from_texts(TOY_SENTENCES)


@pytest.fixture
def model(tokenizer):
    """An untrained model with the defaults of the toy corpus."""
    keras.utils.set_random_seed(0)
    return EncoderLanguageModel(tokenizer, context_length=4)


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory):
    """The folder of a finished run: 60 epochs of the toy corpus, trained by `train.py`."""
    logs = tmp_path_factory.mktemp("logs")
    result = run_script("train.py", "--epochs", 60, "--logs", logs, "--run-name", "toy")
    assert result.returncode == 0, result.stderr
    return logs / "toy"
