"""One training in several processes, which meet on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from experiments.cli import UsageError
from tests.conftest import PROJECT, run_script
from tests.test_devices import needs_jax, wait_for_second_checkpoint


def start(arguments, processes=2, **environment):
    """Starts all processes of a training; returns them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [
                *(sys.executable, "train.py", "--coordinator", f"127.0.0.1:{port}"),
                *("--processes", str(processes), "--process-id", str(number)),
                *map(str, arguments),
            ],
            cwd=PROJECT,
            env={**os.environ, "KERAS_BACKEND": "jax", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]


def finish(started, timeout=240):
    """What they print, and their statuses."""
    outputs = []
    for process in started:
        try:
            outputs.append(process.communicate(timeout=timeout))
        finally:
            process.kill()
    return outputs, [process.returncode for process in started]


def results(folder):
    return json.loads((folder / "results.json").read_text())


def step_losses(folder):
    """The losses of single steps that a training wrote for TensorBoard."""
    events = EventAccumulator(str(folder / "train"), {"tensors": 0}).Reload()
    return [make_ndarray(event.tensor_proto).item() for event in events.Tensors("batch_loss")]


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "together", "environment"),
    [
        (["--epochs=25", "--dropout=0", "--batch-scalars-every=1"], [], {}),
        (
            [
                *("--model=decoder", "--tokenizer=char", "--corpus=README.md", "--steps=50"),
                *("--eval-every=10", "--layers=1", "--average=0.9", "--optimizer=muon"),
                *("--learning-rate=0.01", "--batch-size=8", "--dropout=0", "--patience=5"),
            ],
            ["--devices=4", "--model-parallel=2"],
            {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
        ),
    ],
    ids=["encoder", "decoder"],
)
def test_two_processes_learn_what_one_does(tmp_path, arguments, together, environment):
    arguments = [*arguments, "--logs", tmp_path]
    one = run_script("train.py", *arguments, "--run-name=one", timeout=240, KERAS_BACKEND="jax")
    assert one.returncode == 0, one.stderr
    started = start([*arguments, *together, "--run-name=two"], **environment)
    outputs, statuses = finish(started)
    assert statuses == [0, 0], outputs
    (first, errors), (other, other_errors) = outputs
    assert "best.keras" in first
    assert errors + other_errors == ""
    # Gloo says of some of its connections that it made them.
    assert [line for line in other.splitlines() if not line.startswith("[Gloo]")] == []
    numbers = [len(list((tmp_path / name).rglob("*"))) for name in ("one", "two")]
    assert numbers[0] == numbers[1]
    one, two = (step_losses(tmp_path / name) for name in ("one", "two"))
    assert two[0] == pytest.approx(one[0], rel=1e-5)
    assert two[49] == pytest.approx(one[49], rel=1e-4)
    assert one[49] < one[0]
    for name, figures in results(tmp_path / "one").items():
        assert results(tmp_path / "two")[name] == pytest.approx(figures, rel=1e-3)


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_dies_ends_all_and_the_training_goes_on(tmp_path, killed):
    arguments = ["--epochs=60", "--dropout=0", "--logs", tmp_path]
    started = start([*arguments, "--run-name=two"])
    wait_for_second_checkpoint(tmp_path / "two" / "checkpoint.npz")
    started[killed].send_signal(signal.SIGKILL)
    outputs, statuses = finish(started, timeout=100)
    assert statuses[killed] == -signal.SIGKILL
    assert statuses[1 - killed] not in (0, -signal.SIGKILL), outputs
    if killed == 1:  # where the first one dies, JAX may end the others before they can say so
        message = "another process has ended; --resume two goes on when it can"
        assert outputs[0][1] == f"train.py: error: {message}\n"
    assert not (tmp_path / "two" / "results.json").exists()
    if killed == 0:
        return  # it goes on as after the other's death
    one = run_script("train.py", *arguments, "--run-name=one", timeout=240, KERAS_BACKEND="jax")
    assert one.returncode == 0, one.stderr
    outputs, statuses = finish(start(["--resume=auto", "--logs", tmp_path]))
    assert statuses == [0, 0], outputs
    whole, cut = results(tmp_path / "one"), results(tmp_path / "two")
    assert cut["last.keras"] == pytest.approx(whole["last.keras"], rel=1e-3)


@needs_jax
@pytest.mark.slow
def test_one_that_is_asked_to_end_ends_all_in_good_order(tmp_path):
    started = start(["--epochs=2000", "--logs", tmp_path, "--run-name=two"])
    begin, checkpoint = time.monotonic(), tmp_path / "two" / "checkpoint.npz"
    while time.monotonic() - begin < 120 and not checkpoint.exists():
        time.sleep(0.02)
    time.sleep(15)  # it compiles
    started[1].send_signal(signal.SIGTERM)
    outputs, statuses = finish(started)
    assert statuses == [128 + signal.SIGTERM] * 2, outputs
    assert "terminated: --resume two goes on" in outputs[0][0]
    assert (tmp_path / "two" / "last.keras").exists()


@needs_jax
@pytest.mark.slow
def test_a_divergence_ends_all(tmp_path):
    arguments = ["--epochs=20", "--learning-rate=1e30", "--logs", tmp_path]
    outputs, statuses = finish(start([*arguments, "--run-name=two"]))
    assert statuses == [3, 3], outputs
    assert "the loss is no number" in outputs[0][1]
    assert (tmp_path / "two" / "last.keras").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--coordinator=localhost:1"],
            "expected --coordinator, --processes and --process-id together, got no --processes and "
            "no --process-id",
        ),
        (
            ["--coordinator=localhost", "--processes=2", "--process-id=0"],
            "argument --coordinator: expected HOST:PORT of process 0, got 'localhost'",
        ),
        (
            ["--coordinator=localhost:1", "--processes=2", "--process-id=2"],
            "argument --process-id: expected less than --processes 2, got 2",
        ),
        (
            ["--coordinator=localhost:1", "--processes=1", "--process-id=0"],
            "argument --processes: expected a whole number of at least 2, got 1",
        ),
    ],
)
def test_flags_that_do_not_go_together(arguments, message):
    result = run_script("train.py", *arguments)
    assert (result.returncode, result.stderr) == (2, f"train.py: error: {message}\n")


def test_tensorflow_trains_in_one_process(train_here, tmp_path, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    arguments = ["--coordinator=localhost:1", "--processes=2", "--process-id=0"]
    with pytest.raises(UsageError) as error:
        train_here([*arguments, "--logs", str(tmp_path)])
    assert str(error.value) == (
        "argument --processes: expected 1 with tensorflow, got 2; only JAX trains in several "
        "(KERAS_BACKEND=jax)"
    )


IMPATIENT = """
import sys
from experiments import cli
cli.import_keras()
from experiments import processes
processes.CONNECT_SECONDS = 2
import train
sys.argv[0] = "train.py"
cli.run(train.main)
"""


@needs_jax
@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_does_not_wait_for_ever(tmp_path, number):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = ["--processes=2", "--process-id", number, "--coordinator", address]
    result = run_script(
        *("-c", IMPATIENT, *arguments, "--logs", tmp_path), KERAS_BACKEND="jax", timeout=60
    )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert address in line
    assert "2 seconds" in line
    assert not list(tmp_path.iterdir())
