"""compare.py as a user runs it: real trainings in real processes, killed and gone on with."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import models  # noqa: F401  registers what is loaded
from tests.conftest import PROJECT, run_script

FLAGS = ("--epochs", "25", "--vary", "position=sinusoidal,rotary", "--study", "s")


def start(*arguments, **options):
    """`python <arguments>` in the background."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for(what, seconds=90):
    """Waits until `what` gives something that is true, and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail("it did not come")


def processes_in(folder):
    """The ids of processes that have a file of the folder open."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        if any(file.startswith(f"{folder}/") for file in files):
            found.add(int(pid))
    return found


def results(folder):
    return {path.parent.name: path for path in folder.glob("*/results.json")}


def weights(path):
    model = keras.saving.load_model(path)
    return [*model.get_weights(), *(np.array(v) for v in model.optimizer.variables)]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of two variants and two seeds that was killed in the middle and gone on with."""
    folder = tmp_path_factory.mktemp("compare") / "s"
    command = ("compare.py", *FLAGS, "--seeds", 2, "--logs", folder.parent, "--workers", 2)
    process = start(*command)
    wait_for(lambda: results(folder))
    wait_for(lambda: len(list(folder.glob("*/checkpoint.npz"))) > len(results(folder)))
    process.kill()
    process.communicate()
    wait_for(lambda: not processes_in(folder))
    first = {name: path.stat().st_mtime_ns for name, path in results(folder).items()}
    assert 0 < len(first) < 4
    result = run_script(*command)
    assert result.returncode == 0, result.stderr
    return folder, first, result


@pytest.mark.slow
def test_finished_trials_are_kept_and_the_others_go_on(study):
    folder, first, result = study
    assert len(results(folder)) == 4
    for name, time_ns in first.items():
        assert results(folder)[name].stat().st_mtime_ns == time_ns
        assert f"  {name}  " not in result.stdout  # was not trained again


@pytest.mark.slow
def test_a_trial_has_the_weights_that_train_would_give(study, tmp_path):
    folder, first, _ = study
    name = next(
        name for name in results(folder) if name not in first
    )  # was killed, if it had begun
    position, seed = re.fullmatch(r"position=(\w+),seed=(\d)", name).groups()
    flags = ("--epochs", 25, "--position", position, "--seed", seed, "--threads", 1)
    result = run_script("train.py", *flags, "--logs", tmp_path, "--run-name", "alone")
    assert result.returncode == 0, result.stderr
    for file in ("best.keras", "last.keras"):
        ours, its = (weights(place / file) for place in (folder / name, tmp_path / "alone"))
        assert len(ours) == len(its) > 20
        for a, b in zip(ours, its, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_trial_is_a_run_as_any_other(study):
    folder, _, _ = study
    result = run_script("train.py", "--resume", "position=rotary,seed=0", "--logs", folder)
    assert "is finished" in result.stdout
    config = json.loads((folder / "position=rotary,seed=0" / "config.json").read_text())
    assert (config["position"], config["seed"], config["threads"]) == ("rotary", 0, 1)


@pytest.mark.slow
def test_nothing_of_tensorflow_is_printed(study):
    *_, result = study
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert max(map(len, lines[:2] + lines[-12:-3])) <= 100
    assert "95 % interval" in result.stdout


@pytest.mark.slow
def test_the_report_is_there(study):
    folder, *_ = study
    for name in ("report.md", "report.html", "loss.png", "differences.png", "cost.png"):
        assert (folder / name).stat().st_size > 1000, name
    text = (folder / "report.md").read_text()
    assert "| position=sinusoidal" in text
    assert "| best possible | 0.2060 |" in text


@pytest.mark.slow
def test_a_trial_that_fails_is_a_row_that_says_why_and_the_others_go_on(tmp_path):
    flags = ("--epochs", 3, "--vary", "learning_rate=0.01,1e30", "--seeds", 1)
    result = run_script("compare.py", *flags, "--logs", tmp_path, "--study", "s")
    assert (result.returncode, result.stderr) == (1, "")
    assert "learning_rate=1e+30,seed=0  FAILED: the loss is no number after step" in result.stdout
    assert list(results(tmp_path / "s")) == ["learning_rate=0.01,seed=0"]
    report = (tmp_path / "s/report.md").read_text()
    assert "learning_rate=1e+30, seed 0: the loss is no number" in report
    assert re.search(r"^learning_rate=1e\+30 +failed$", result.stdout, re.MULTILINE)
    assert "| learning_rate=0.01" in report
    assert "| best possible | 0.2060 |" in report


@pytest.mark.slow
def test_ctrl_c_stops_in_good_order(tmp_path):
    command = ("compare.py", *FLAGS, "--epochs", 3000, "--seeds", 1, "--logs", tmp_path)
    process = start(*command, "--workers", 1)
    wait_for(lambda: list(tmp_path.glob("s/*/progress.json")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on" in out
    assert not processes_in(tmp_path / "s")
    assert (tmp_path / "s/position=sinusoidal,seed=0/last.keras").exists()  # ended as at Ctrl-C
    assert not (tmp_path / "s/position=rotary,seed=0/checkpoint.npz").exists()  # never began


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--epochs", 3), "argument --vary: expected a setting and its values"),
        (("--vary", "position"), "argument --vary: expected position=VALUE"),
        (("--vary", "dropout=0,2"), "argument --dropout: expected a number of at least 0"),
        (("--vary", "dropout=0", "--seeds", "x"), "argument --seeds: expected a number of seeds"),
        (("--vary", "corpus=no.txt"), "argument --corpus: no.txt: expected toy, "),
        pytest.param(
            ("--vary", "dropout=0", "--scheduler", "tcp://127.0.0.1:9"),
            "argument --scheduler: expected a scheduler that answers",
            marks=pytest.mark.slow,  # waits for an answer
        ),
    ],
)
def test_bad_input_is_one_line(flags, message, tmp_path):
    result = run_script("compare.py", *flags, "--logs", tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*/*=*"))


def test_without_dask_a_scheduler_is_refused_with_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['distributed'] = None; import compare; from experiments import cli"
        f"; sys.argv[1:] = ['--vary', 'dropout=0', '--scheduler', 'x', '--logs', {str(tmp_path)!r}]"
        "; cli.run(compare.main)"
    )
    result = run_script("-c", code)
    assert result.returncode == 2
    assert "argument --scheduler: expected the package distributed" in result.stderr
    assert "pip install distributed" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def cluster(tmp_path):
    """A real Dask scheduler and two real workers on loopback: its address and their processes."""
    pytest.importorskip("distributed", reason="the cluster needs the package distributed")
    file = tmp_path / "scheduler.json"
    quiet = {"cwd": PROJECT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    local = ["--host", "127.0.0.1"]
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "distributed.cli.dask_scheduler",
                *local,
                "--port",
                "0",
                "--no-dashboard",
            ]
            + ["--scheduler-file", str(file)],
            **quiet,
        )
    ]
    address = json.loads(wait_for(lambda: file.exists() and file.read_text()))["address"]
    for name in ("one", "two"):
        options = ["--nthreads", "1", "--no-dashboard", "--name", name]
        options += ["--local-directory", str(tmp_path / name)]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_worker", address, *local, *options],
                **quiet,
                start_new_session=True,
            )
        )
    yield address, processes[1:]
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if process in processes[1:] else process.kill()
        process.wait()


@pytest.mark.slow
def test_a_trial_of_a_worker_that_dies_goes_on_at_another(cluster, tmp_path):
    address, workers = cluster
    logs = tmp_path / "logs"
    flags = ("--epochs", 400, "--vary", "position=sinusoidal,rotary", "--seeds", 1)
    process = start(
        *("compare.py", *flags, "--logs", logs, "--study", "s", "--scheduler", address),
    )
    wait_for(lambda: len(list(logs.glob("s/*/progress.json"))) == 2)
    wait_for(lambda: len(list(logs.glob("s/*/train/events*"))) == 2)
    time.sleep(3)  # some epochs, and a checkpoint
    os.killpg(workers[0].pid, signal.SIGKILL)  # the worker and the nanny that would restart it
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert len(results(logs / "s")) == 2
    assert "FAILED" not in out
    alone = ("train.py", "--epochs", 400, "--threads", 1, "--logs", logs, "--run-name", "alone")
    for name in results(logs / "s"):
        position, seed = re.fullmatch(r"position=(\w+),seed=(\d)", name).groups()
        run = run_script(*alone[:-1], f"alone-{name}", "--position", position, "--seed", seed)
        assert run.returncode == 0, run.stderr
        ours, its = (
            weights(place / "last.keras") for place in (logs / "s" / name, logs / f"alone-{name}")
        )
        for a, b in zip(ours, its, strict=True):
            np.testing.assert_array_equal(a, b)
