"""What several test files share: small real models, and one real training run."""

import fcntl
import gc
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.keras_home import make_keras_home

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# XLA need not make fast what runs a few times: that takes a third of all the time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
if "PYTEST_XDIST_WORKER" not in os.environ:  # or else it has that of the process that started it
    os.environ["KERAS_HOME"] = make_keras_home()  # before Keras is imported


import keras

import train
from data.corpora import TOY_SENTENCES
from data.tokenizer import WordTokenizer
from models import EncoderLanguageModel

PROJECT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items):
    """Files that start processes come first: they take longest, and two files run at a time."""
    items.sort(key=lambda item: not hasattr(item.module, "run_script"))


def pytest_collection_finish():
    """Looks for cycles less often: TensorFlow's graphs have many, and looking takes 7 % of all."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


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


def resave(path, source, change):
    """A copy of a `.keras` file whose config.json has gone through `change`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config)
            new.writestr(name, content)
    return str(path)


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """A new home for what Keras and this project keep, which does not exist yet."""
    home = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(home))
    return home


@pytest.fixture
def train_here(monkeypatch):
    """`train.main` in this process, which has Keras already: another one takes 3 s to import it."""
    monkeypatch.setattr("experiments.cli.import_keras", lambda threads=None: None)
    return train.main


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
    """The folder of a finished run: 60 epochs of the toy corpus, trained by `train.py`.

    Made by the first of the test processes that needs it, for all of them.
    """
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    run = place / "logs" / "toy"
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (run / "results.json").exists():
            arguments = ("--epochs", 60, "--logs", run.parent, "--run-name", run.name)
            result = run_script("train.py", *arguments)
            assert result.returncode == 0, result.stderr
    return run
