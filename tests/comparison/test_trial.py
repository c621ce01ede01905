"""What a trial's process is, beside what tests/test_compare.py shows of whole studies."""

import os
import time
from pathlib import Path

import pytest

from experiments.cli import UsageError
from experiments.comparison.trial import STOP, Ending, Stopped, call_in_process
from experiments.compiled_programs import keep_compiled_programs


def call(function, *arguments, place):
    return call_in_process(
        function, *arguments, place=str(place), output=place / "study" / "trial" / "output.txt"
    )


def give(value):
    print("here")
    return {"value": value, "directory": os.getcwd()}


def fail(error):
    raise error


def die():
    os.kill(os.getpid(), 9)


def wait():
    time.sleep(60)


def test_a_function_is_called_elsewhere_and_its_value_comes_back(tmp_path):
    ending = call(give, 3, place=tmp_path)
    assert ending == Ending(True, None, {"value": 3, "directory": str(tmp_path)})
    assert (tmp_path / "study/trial/output.txt").read_text() == "here\n"


@pytest.mark.parametrize(
    ("function", "arguments", "why"),
    [
        (fail, (UsageError("a\nreason"),), "a reason"),
        (fail, (ValueError("what is wrong"),), "ValueError: what is wrong; see .*output.txt"),
        (die, (), "its process ended with signal SIGKILL; see .*output.txt"),
    ],
)
def test_what_goes_wrong_is_said_in_a_line(function, arguments, why, tmp_path):
    ending = call(function, *arguments, place=tmp_path)
    assert not ending.is_finished
    with pytest.raises(UsageError, match=why):
        raise UsageError(ending.why)


def test_one_that_is_stopped_has_not_failed(tmp_path):
    assert call(fail, Stopped(), place=tmp_path) == Ending(False)


def test_nothing_begins_in_a_study_that_is_to_stop(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / STOP).touch()
    assert call(give, 3, place=tmp_path) == Ending(False)
    assert not (tmp_path / "study/trial/output.txt").exists()


def test_a_process_is_asked_to_end_when_the_study_is_to_stop(tmp_path, monkeypatch):
    exists = iter([False, False, True])
    monkeypatch.setattr(type(tmp_path), "exists", lambda path: next(exists, True))
    begin = time.monotonic()
    assert call(wait, place=tmp_path) == Ending(False)
    assert time.monotonic() - begin < 50


def compile_something(home):
    os.environ["KERAS_HOME"] = home
    for name in ("TF_XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"):  # of the process that tests
        os.environ.pop(name, None)
    keep_compiled_programs()
    (own,) = Path(home).glob(f"mini_transformer/compiled/*/.{os.getpid()}-*")
    found = [path.name for path in own.iterdir()]
    (own / "a.pb").write_bytes(b"a program")
    return {"found": found}


def test_what_a_trial_compiled_is_there_for_the_next(tmp_path):
    for found in ([], ["a.pb"]):
        ending = call(compile_something, str(tmp_path / "home"), place=tmp_path)
        assert ending == Ending(True, None, {"found": found})
