"""One training on several devices: JAX's, made of a processor."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from experiments.cli import UsageError
from tests.conftest import PROJECT, run_script

FOUR = {
    "KERAS_BACKEND": "jax",
    "XLA_FLAGS": os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4",
}
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")


def wait_for_second_checkpoint(path):
    """Waits until a training has written its checkpoint again, two minutes at most."""
    begin, first = time.monotonic(), None
    while time.monotonic() - begin < 120:
        written = path.stat().st_mtime_ns if path.exists() else None
        first = first or written
        if written != first:
            break
        time.sleep(0.02)


# Prints, for each number of devices and of those that share a model, the losses of single steps,
# that of an evaluation, and which share of the weights each device has.
LOSSES = """
import json, sys
from experiments import cli
cli.import_keras()
import keras, numpy as np
from data.corpora import load_corpus
from experiments import devices, preparation, training
from experiments.flags import parse_settings

class Losses(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.losses = []
    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()
    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])

settings, _ = parse_settings(sys.argv[2:])
corpus = load_corpus(settings.corpus)
data = preparation.prepare_data(settings, corpus)
for number, model_parallel in json.loads(sys.argv[1]):
    keras.distribution.set_distribution(None)
    devices.distribute(settings, number, model_parallel)
    model = training.build_model(settings, corpus, data)
    losses = Losses()
    batches = data.training.training_batches(settings.batch_size, 0)
    model.fit(batches, steps_per_epoch=50, verbose=0, shuffle=False, callbacks=[losses])
    evaluation = model.evaluate(training.evaluation_batches(settings, data), verbose=0)
    whole = here = 0
    for variable in [*model.trainable_variables, *model.optimizer.variables]:
        whole += variable.value.size
        here += variable.value.addressable_shards[0].data.size
    used = len(model.trainable_variables[0].value.sharding.device_set)
    print(json.dumps([losses.losses, evaluation[0], here / whole, used]))
"""


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize(
    ("layouts", "arguments"),
    [
        ([(1, 1), (2, 1), (4, 1)], ["--batch-size=16"]),
        (
            [(1, 1), (2, 2)],
            [
                *("--model=decoder", "--corpus=toy", "--tokenizer=char", "--context-length=16"),
                *("--optimizer=muon", "--position=rotary", "--norm=rms", "--qk-norm"),
                *("--heads=4", "--num-kv-heads=2", "--convolution=both", "--activation=swiglu"),
                *("--average=0.9", "--clip-norm=1", "--weight-decay=0.1", "--tie-embeddings"),
                *("--accumulate=2", "--dropout=0", "--layers=1"),
            ],
        ),
        ([(1, 1), (2, 2)], ["--corpus=reverse", "--d-model=16", "--batch-size=8", "--layers=1"]),
    ],
    ids=["encoder", "decoder", "encoder-decoder"],
)
def test_losses_are_the_same_on_any_number_of_devices(layouts, arguments):
    result = run_script("-c", LOSSES, json.dumps(layouts), *arguments, timeout=300, **FOUR)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    (first, *_, last), evaluation, *_ = rows[0]
    assert last < first
    for losses, found, _, _ in rows[1:]:
        assert losses[0] == pytest.approx(first, rel=1e-5)
        assert losses[-1] == pytest.approx(last, rel=1e-4)
        assert found == pytest.approx(evaluation, rel=1e-4)
    assert [used for *_, used in rows] == [number for number, _ in layouts]
    for (_, model_parallel), (_, _, share, _) in zip(layouts, rows, strict=True):
        assert share == 1 if model_parallel == 1 else share < 0.7


ERRORS = """
import sys
from experiments import cli
cli.import_keras()
from experiments import devices
from experiments.flags import parse_settings
for line in sys.argv[1:]:
    *argv, number, model_parallel = line.split()
    settings, _ = parse_settings(argv)
    try:
        devices.distribute(settings, int(number), int(model_parallel))
    except cli.UsageError as error:
        print(error)
"""


@needs_jax
def test_what_does_not_divide_is_said_in_a_line():
    lines = ["4 3", "1 2", "8 1", "--batch-size 6 4 1", "--heads 1 4 2", "--batch-size 6 4 2"]
    result = run_script("-c", ERRORS, *lines, **FOUR)
    assert result.stdout.splitlines() == [
        "argument --model-parallel: expected a divisor of --devices 4, got 3",
        "argument --model-parallel: expected a divisor of --devices 1, got 2",
        "argument --devices: expected at most 4, as many as there are, got 8; "
        "XLA_FLAGS=--xla_force_host_platform_device_count=8 makes a processor so many",
        "argument --batch-size: expected a multiple of 4, among which --devices 4 share it out, "
        "got 6",
        "argument --model-parallel: expected a divisor of --num-heads 1, got 2",
    ]
    assert result.stderr == ""


def test_tensorflow_trains_on_one_device(train_here, tmp_path, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    with pytest.raises(UsageError) as error:
        train_here(["--devices=2", "--logs", str(tmp_path / "logs")])
    assert str(error.value) == (
        "argument --devices: expected 1 with tensorflow, got 2; only JAX trains on several "
        "(KERAS_BACKEND=jax)"
    )
    assert not (tmp_path / "logs").exists()


@needs_jax
@pytest.mark.slow
def test_a_killed_training_goes_on_with_another_number_of_devices(tmp_path):
    common = ["--epochs=40", "--dropout=0", "--logs", tmp_path]
    result = run_script("train.py", *common, "--run-name=whole", timeout=300, **FOUR)
    assert result.returncode == 0, result.stderr
    checkpoint = tmp_path / "cut" / "checkpoint.npz"
    arguments = [*common, "--run-name=cut", "--devices=4", "--model-parallel=2"]
    with subprocess.Popen(
        [sys.executable, "train.py", *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, **FOUR},
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_for_second_checkpoint(checkpoint)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut" / "results.json").exists()
    arguments = ["--resume=cut", "--logs", tmp_path, "--devices=2"]
    result = run_script("train.py", *arguments, timeout=300, **FOUR)
    assert result.returncode == 0, result.stderr
    whole, cut = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "cut")
    )
    assert cut["last.keras"] == pytest.approx(whole["last.keras"], rel=1e-3)
