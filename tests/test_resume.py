"""`train.py --resume`: real processes, killed for real."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments import cli, runs
from tests.callbacks.conftest import read_events
from tests.conftest import PROJECT, run_script

FILES = PROJECT / "tests" / "files"
TEXT = 60 * "one two three four five six seven eight\n"
# Small, with much Dropout, and with all that changes from step to step.
FLAGS = [
    *("--model", "decoder", "--tokenizer", "char", "--layers", "1", "--dropout", "0.4"),
    *("--convolution", "both"),
    *("--steps", "130", "--eval-every", "20", "--context-length", "16", "--jit", "off"),
    *("--warmup-steps", "10", "--decay", "cosine", "--optimizer", "adamw", "--clip-norm", "1"),
    *("--accumulate", "2", "--patience", "50", "--weight-decay", "0.1", "--average", "0.8"),
]
# Checkpoints at every epoch, not only as often as their share of the time allows.
EVERY_EPOCH = (
    "import sys, callbacks, train; from experiments import cli; sys.argv[0] = 'train.py'; "
    "callbacks.Checkpoint.__init__.__defaults__ = ((), None, 1.0); cli.run(train.main)"
)


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", EVERY_EPOCH, *map(str, arguments)],
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(question, process, pause=0.02):
    """Asks after each pause, in seconds, while the process runs."""
    end = time.monotonic() + 100
    while not question():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(pause)


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def progress(folder):
    """How many steps the checkpoint holds; -1 while there is none."""
    try:
        with np.load(folder / runs.CHECKPOINT) as file:
            return json.loads(str(file["progress"]))["step"]
    except FileNotFoundError:
        return -1


def saved_numbers(path):
    model = cli.load_model(str(path))
    return [np.array(variable) for variable in [*model.weights, *model.optimizer.variables]]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A folder with a text and a run on it that was never stopped, named "whole"."""
    logs = tmp_path_factory.mktemp("resume")
    (logs / "text.txt").write_text(TEXT)
    result = run_script(
        *("train.py", "--corpus", logs / "text.txt", *FLAGS),
        *("--logs", logs, "--run-name", "whole"),
    )
    assert result.returncode == 0, result.stderr
    return logs


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(logs):
    folder = logs / "cut"
    new = ["--corpus", logs / "text.txt", *FLAGS, "--logs", logs, "--run-name", "cut"]
    going_on = ["--logs", logs, "--resume", "cut"]
    in_the_middle_of_a_save = folder / f".{runs.CHECKPOINT}"

    process = start(*new)
    wait_until(lambda: progress(folder) >= 80, process)
    kill(process)
    process = start(*going_on)
    wait_until(lambda: progress(folder) >= 120, process)
    wait_until(in_the_middle_of_a_save.exists, process, pause=0.0005)
    kill(process)
    step = progress(folder)
    assert 120 <= step < 260
    # What the process may have written after the checkpoint, and lost.
    (folder / "best.keras").write_bytes(b"a later model")
    result = run_script("train.py", *going_on)
    assert result.returncode == 0, result.stderr

    for name in ("best.keras", "last.keras"):
        whole, cut = saved_numbers(logs / "whole" / name), saved_numbers(folder / name)
        for expected, number in zip(whole, cut, strict=True):
            np.testing.assert_array_equal(number, expected)
    for name in ("train", "validation"):
        whole, cut = read_events(logs / "whole" / name), read_events(folder / name)
        assert whole.keys() == cut.keys()
        for tag, values in whole.items():
            if not tag.startswith(("attention", "continuations")):  # as often as time allows
                assert list(cut[tag]) == list(values), tag
                if "per_second" not in tag:
                    np.testing.assert_equal(cut[tag], values, err_msg=tag)
    whole, cut = (json.loads((logs / run / runs.RESULTS).read_text()) for run in ("whole", "cut"))
    assert whole == cut
    whole, cut = (json.loads((logs / run / runs.TRAINING).read_text()) for run in ("whole", "cut"))
    for course in (whole, cut):  # seconds differ
        assert course["evaluations"]["seconds"] == sorted(course["evaluations"]["seconds"])
        course["evaluations"].pop("seconds")
        assert course.pop("seconds") > 0
        course.pop("timed_steps")  # the first batch after each start is not timed
    assert whole == cut
    assert len(whole["evaluations"]["losses"]) > 1
    assert not list(folder.glob(".*"))


# The same for models that read something else, one small file each.
LETTERS = "".join(f"{a}{b}{c}\t{c}{b}{a}\n" for a in "abcde" for b in "abcde" for c in "abcde")
OTHERS = {
    "encoder-decoder": [
        "--model",
        "encoder-decoder",
        "--label-smoothing",
        "0.1",
        "--beta-2",
        "0.9",
    ],
    "masked": ["--model", "masked", "--optimizer", "muon"],
}


@pytest.mark.slow
@pytest.mark.parametrize("model", OTHERS)
def test_other_models_go_on_as_if_they_had_not_been_killed(model, tmp_path):
    pairs, validation = tmp_path / "pairs.tsv", tmp_path / "other.tsv"
    pairs.write_text(LETTERS)
    validation.write_text("fab\tbaf\need\tdee\ndae\tead\n".replace("f", "e"))
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    of_text = ["--corpus", text, "--tokenizer", "char", "--context-length", "16"]
    of_pairs = ["--corpus", pairs, "--validation", validation, "--tokenizer", "char"]
    flags = [
        *(of_text if model == "masked" else of_pairs),
        *OTHERS[model],
        *("--layers", 1, "--heads", 2, "--d-model", 16, "--dff", 32, "--dropout", 0.3),
        *("--steps", 50, "--eval-every", 10, "--batch-size", 8, "--warmup-steps", 5),
        *("--average", 0.8, "--jit", "off", "--logs", tmp_path),
    ]
    result = run_script("train.py", *flags, "--run-name", "whole")
    assert result.returncode == 0, result.stderr
    process = start(*flags, "--run-name", "cut")
    wait_until(lambda: progress(tmp_path / "cut") >= 20, process)
    kill(process)
    assert 20 <= progress(tmp_path / "cut") < 50
    result = run_script(PROJECT / "train.py", "--logs", tmp_path, "--resume", "cut", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("best.keras", "last.keras"):
        whole, cut = (saved_numbers(tmp_path / run / name) for run in ("whole", "cut"))
        for expected, number in zip(whole, cut, strict=True):
            np.testing.assert_array_equal(number, expected)
    whole, cut = (
        json.loads((tmp_path / run / runs.RESULTS).read_text()) for run in ("whole", "cut")
    )
    assert whole == cut

    if model == "encoder-decoder":
        validation.write_text("abc\tcba\n")
        result = run_script("train.py", "--logs", tmp_path, "--resume", "cut", "--steps", 59)
        assert result.returncode == 2
        assert "other.tsv is not the text that" in result.stderr


@pytest.fixture(scope="module")
def earlier_run(tmp_path_factory):
    """The folder of a run that an earlier version began, and this one ended."""
    logs = tmp_path_factory.mktemp("earlier")
    shutil.copytree(FILES / "cut_run", logs / "cut_run")
    result = run_script("train.py", "--logs", logs, "--resume", "cut_run")
    assert result.returncode == 0, result.stderr
    return logs / "cut_run"


@pytest.mark.slow
def test_a_run_that_an_earlier_version_began_comes_to_its_end(earlier_run):
    end, expected = (
        cli.load_model(str(path))
        for path in (earlier_run / "last.keras", FILES / "cut_run_end.keras")
    )
    for mine, kept in (
        (end.weights, expected.weights),
        (end.optimizer.variables, expected.optimizer.variables),
    ):
        for variable, value in zip(mine, kept, strict=True):
            np.testing.assert_allclose(variable, value, atol=1e-5, err_msg=variable.path)


@pytest.mark.slow
def test_what_an_earlier_version_wrote_of_a_run_is_kept_and_continued(earlier_run):
    epochs, batches = list(range(13)), list(range(1, 131))
    for name, count in (("train", 5), ("validation", 3)):
        events = read_events(earlier_run / name)
        curves = {tag: list(steps) for tag, steps in events.items() if tag.startswith("epoch_")}
        assert curves == dict.fromkeys(curves, epochs)
        assert len(curves) == count
    assert list(events["evaluation_loss_vs_iterations"]) == [10 * epoch + 10 for epoch in epochs]
    events = read_events(earlier_run / "train")
    assert list(events["batch_loss"]) == batches
    # It had a folder for each callback: what it wrote there up to its checkpoint stays there.
    for tag, folder, before, after in (
        ("attention/i love/layer_1", "attention", [0, 5], [10, 12]),
        ("samples", "samples", epochs[:6], epochs[6:]),
    ):
        assert list(read_events(earlier_run / folder)[tag]) == before
        assert list(events[tag]) == after
    assert list(events["continuations"])[-1] == 12


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with room for 1.5 MB, and a function that makes it larger."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", tmp_path]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system can't be mounted here: that takes root")
    yield (
        tmp_path,
        lambda: subprocess.run(["mount", "-o", "remount,size=50m", tmp_path], check=True),
    )
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_a_run_in_one_line_and_it_goes_on_when_there_is_room(small_disk):
    logs, make_room = small_disk
    result = run_script(
        *("train.py", "--model", "decoder", "--tokenizer", "char", "--d-model", 64),
        *("--steps", 20, "--eval-every", 5, "--validation-split", 0.2, "--context-length", 8),
        *("--logs", logs, "--run-name", "full"),
    )
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert f"{logs / 'full'}: can't be written (No space left" in result.stderr
    assert "--resume full goes on" in result.stderr
    make_room()
    result = run_script("train.py", "--logs", logs, "--resume", "full")
    assert result.returncode == 0, result.stderr
    assert (logs / "full" / runs.RESULTS).exists()


@pytest.mark.slow
def test_a_folder_that_vanishes_ends_a_run_in_one_line(tmp_path):
    process = start("--epochs", 10**6, "--logs", tmp_path, "--run-name", "gone")
    wait_until(lambda: progress(tmp_path / "gone") >= 100, process)
    # At once: a folder whose files are deleted one by one gets new ones meanwhile, and stays.
    (tmp_path / "gone").rename(tmp_path / "elsewhere")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    last_line = errors.splitlines()[-1]
    assert last_line.startswith(f"train.py: error: {tmp_path / 'gone'}: can't be written (")
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_finished_run_says_so_and_stays_as_it_is(logs):
    files = {path: path.stat().st_mtime_ns for path in (logs / "whole").rglob("*")}
    result = run_script("train.py", "--logs", logs, "--resume", "whole", *FLAGS)
    assert result.returncode == 0, result.stderr
    assert (
        result.stdout == f"{logs / 'whole'} is finished; more --steps or --epochs go on with it\n"
    )
    assert files == {path: path.stat().st_mtime_ns for path in (logs / "whole").rglob("*")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--resume", "whole", "--heads", "1"],
            "--num-heads: expected 2, as the run has it, got 1",
        ),
        (["--resume", "whole", "--steps", "120"], "--steps: expected 130 or more, got 120"),
        (["--resume", "whole", "--epochs", "9"], "--epochs: expected 3, as the run has it"),
        (["--resume", "missing"], "--resume: expected one of "),
        (["--resume", "not_a_run"], "--resume: expected a run, but "),
        (["--resume", "../whole"], "--resume: expected the name of a run, got '../whole'"),
        (["--resume", "auto", "--logs", "empty"], "--resume: expected a run in empty, found none"),
    ],
)
def test_what_can_not_be_resumed_is_one_line(logs, arguments, message):
    (logs / "not_a_run").mkdir(exist_ok=True)
    result = run_script(PROJECT / "train.py", "--logs", logs, *arguments, cwd=logs)
    assert result.returncode == 2
    assert result.stderr.startswith("train.py: error: argument ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def cut_run(logs, tmp_path):
    """A copy of the finished run's folder, as if it had been killed before its report."""
    folder = tmp_path / "logs" / "copy"
    folder.mkdir(parents=True)
    for name in (runs.CONFIG, runs.CHECKPOINT):
        (folder / name).write_bytes((logs / "whole" / name).read_bytes())
    return folder


@pytest.mark.slow
def test_a_model_names_a_text_that_was_given_by_its_absolute_path_and_no_folder(logs):
    for name in ("best.keras", "last.keras"):
        provenance = cli.load_model(str(logs / "whole" / name)).provenance
        assert provenance["corpus"]["source"] == provenance["settings"]["corpus"] == "text.txt"


@pytest.mark.slow
def test_a_text_that_has_changed_is_refused(logs, cut_run, tmp_path):
    (tmp_path / "other.txt").write_text(TEXT + "nine\n")
    result = run_script(
        *("train.py", "--logs", cut_run.parent, "--resume", "copy"),
        *("--corpus", tmp_path / "other.txt"),
    )
    assert result.returncode == 2
    assert result.stderr == (
        f"train.py: error: argument --resume: {tmp_path / 'other.txt'} is not the text that "
        f"{cut_run} was begun on, or has changed since\n"
    )


@pytest.mark.slow
def test_a_damaged_checkpoint_is_one_line(cut_run):
    (cut_run / runs.CHECKPOINT).write_bytes(b"nothing")
    result = run_script("train.py", "--logs", cut_run.parent, "--resume", "copy")
    assert result.returncode == 2
    assert f"{cut_run / runs.CHECKPOINT}: expected a whole checkpoint" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_run_killed_before_its_report_is_reported_by_auto(logs, cut_run):
    result = run_script("train.py", "--logs", cut_run.parent, "--resume", "auto")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    results = [json.loads((run / runs.RESULTS).read_text()) for run in (logs / "whole", cut_run)]
    assert results[0] == results[1]


@pytest.mark.slow
def test_more_steps_go_on_from_the_end(logs, cut_run):
    for name in ("train", "validation"):
        shutil.copytree(logs / "whole" / name, cut_run / name)
    result = run_script("train.py", "--logs", cut_run.parent, "--resume", "copy", "--steps", "150")
    assert result.returncode == 0, result.stderr
    assert progress(cut_run) == 300
    assert json.loads((cut_run / runs.CONFIG).read_text())["steps"] == 150
    model = cli.load_model(str(cut_run / "last.keras"))
    assert int(model.optimizer.iterations) == 150
    assert model.provenance["settings"]["steps"] == 150
    assert list(read_events(cut_run / "train")["epoch_loss"]) == list(range(8))
    final = read_events(cut_run / "validation")["final/loss"]  # of the shorter training no more
    results = json.loads((cut_run / runs.RESULTS).read_text())["best.keras"]
    assert final == {0: pytest.approx(results["loss"])}


@pytest.mark.slow
def test_a_run_in_training_can_not_be_resumed(cut_run):
    with contextlib.ExitStack() as stack:
        descriptor = os.open(cut_run, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        runs.fcntl.flock(descriptor, runs.fcntl.LOCK_EX)
        result = run_script("train.py", "--logs", cut_run.parent, "--resume", "copy")
    assert result.returncode == 2
    assert result.stderr == (
        "train.py: error: argument --resume: expected a run at rest, but "
        f"{cut_run} is being trained\n"
    )


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_model(logs, tmp_path):
    result = run_script(
        *("train.py", "--corpus", logs / "text.txt", "--model", "decoder", "--tokenizer", "char"),
        *("--learning-rate", "1e30", "--steps", "50", "--eval-every", "10", "--jit", "off"),
        *("--context-length", "16", "--warmup-steps", "12", "--logs", tmp_path, "--run-name", "a"),
    )
    assert result.returncode == 3
    (line,) = result.stderr.splitlines()
    assert line.startswith("train.py: error: the loss is no number after step ")
    assert line.endswith(f"{tmp_path / 'a'} keeps the last good checkpoint")
    for name in ("best.keras", "last.keras"):
        assert all(np.isfinite(number).all() for number in saved_numbers(tmp_path / "a" / name))
    assert not runs.is_finished(tmp_path / "a")
