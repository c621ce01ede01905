"""Errors in one line, quick help, and how Keras is imported."""

import gc
import os
import platform
import re
import subprocess
import sys
import time

import pytest

from experiments import cli
from tests.conftest import PROJECT, run_script

SCRIPTS = sorted(
    path.name for path in PROJECT.glob("*.py") if "\nif __name__ ==" in path.read_text()
)


def run_main(body, **options):
    """Runs a script whose `main(argv)` has this body, as the project's scripts are run."""
    script = f"import sys\nfrom experiments import cli\ndef main(argv):\n    {body}\ncli.run(main)"
    return run_script("-c", script, **options)


def test_the_status_of_main_is_the_exit_status():
    result = run_main("print('done'); return 7")
    assert (result.returncode, result.stdout, result.stderr) == (7, "done\n", "")


def test_bad_input_is_one_line_and_status_2():
    result = run_main("raise cli.UsageError('argument --x: expected y, got z')")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "-c: error: argument --x: expected y, got z\n"


def test_an_error_stays_on_one_line_whatever_the_user_wrote():
    result = run_main(r"raise cli.UsageError('no\nsuch\r\n file: found\tnothing')")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_an_interrupt_is_one_line_and_status_130():
    result = run_main("raise KeyboardInterrupt")
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "-c: interrupted\n")


@pytest.mark.parametrize(
    ("name", "status", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]
)
@pytest.mark.parametrize("answer", ["pass", "raise ImportError('initialization failed')"])
def test_a_signal_ends_the_script_whatever_a_library_makes_of_it(answer, name, status, word):
    script = f"""
import signal
from experiments import cli

def library():
    try:
        signal.raise_signal(signal.{name})
    except KeyboardInterrupt:
        {answer}

signal.signal(signal.SIGINT, signal.default_int_handler)
cli.run(lambda argv: library() or print("and so on"))
"""
    result = run_script("-c", script)
    assert (result.returncode, result.stdout, result.stderr) == (status, "", f"-c: {word}\n")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_that_is_ignored_stays_ignored(name):
    script = f"""
import signal
from experiments import cli
signal.signal(signal.{name}, signal.SIG_IGN)
cli.run(lambda argv: signal.raise_signal(signal.{name}) or print("and so on"))
"""
    result = run_script("-c", script)
    assert (result.returncode, result.stdout, result.stderr) == (0, "and so on\n", "")


def test_a_script_that_waits_for_a_prompt_can_be_terminated():
    with subprocess.Popen(
        [sys.executable, "generate.py", "tests/files/decoder_bpe.keras"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(1)  # it answers signals within a tenth of that
        process.terminate()
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (143, "", "generate.py: terminated\n")


def test_a_defect_keeps_its_traceback():
    result = run_main("raise ZeroDivisionError('a defect')")
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback")
    assert "a defect" in result.stderr


def into_a_closed_pipe(*arguments):
    """Runs Python with a standard output that nobody reads."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write_end)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "from experiments import cli\ncli.run(lambda argv: print('x' * 100_000) or 0)"],
        ["-c", "from experiments import cli\ncli.run(lambda argv: print('x') or 0)"],
        ["train.py", "--help"],
    ],
)
def test_a_reader_that_has_had_enough_ends_the_script_in_silence(arguments):
    result = into_a_closed_pipe(*arguments)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("argument", ["--help", "--no-such-flag"])
def test_help_and_wrong_flags_do_not_import_keras(script, argument):
    result = run_script("-X", "importtime", script, argument)
    modules = set(re.findall(r"\| +(\w+)", result.stderr))
    assert "argparse" in modules
    assert not modules & {"keras", "tensorflow", "jax", "numpy", "matplotlib", "rich"}
    *_, last_line = result.stderr.splitlines()
    if argument == "--help":
        assert result.returncode == 0
        assert result.stdout.startswith(f"usage: {script} ")
        assert max(map(len, result.stdout.splitlines())) <= 100
    else:
        assert (result.returncode, result.stdout) == (2, "")
        assert last_line.startswith(f"{script}: error: ")
        assert "Traceback" not in result.stderr


def test_what_a_library_says_before_it_fails_to_import_is_shown(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'the library is unwell\\n')\nraise ImportError('no such symbol')"
    )
    result = run_main("cli.import_keras()", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "the library is unwell" in result.stderr
    assert result.stderr.rstrip().endswith("ImportError: no such symbol")


def test_garbage_is_looked_for_again_after_an_import():
    script = (
        "import gc; from experiments import cli; cli.import_keras(); "
        "print(gc.isenabled(), gc.get_freeze_count(), len(gc.get_objects()))"
    )
    enabled, frozen, others = run_script("-c", script).stdout.split()
    assert enabled == "True"
    assert int(frozen) > 100_000 > int(others)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_large_buffers_are_used_again():
    script = (
        "import resource; from experiments import cli; cli.import_keras()\n"
        "for _ in range(20):\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    b'x' * 40_000_000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    assert int(run_script("-c", script).stdout) < 100  # new pages of the last; else nearly 10,000


def import_what_fails():
    with cli.without_garbage_collection():
        assert not gc.isenabled()
        raise ImportError


def test_garbage_is_looked_for_again_after_an_import_that_fails():
    with pytest.raises(ImportError):
        import_what_fails()
    assert gc.isenabled()


@pytest.mark.parametrize("text", ["3", " 3 ", "2147483647"])
def test_a_whole_number_in_its_range_is_read(text):
    assert cli.number(int, least=3, below=2**31)(text) == int(text)


def test_the_lower_bound_of_a_number_is_allowed_and_the_upper_is_not():
    share = cli.number(float, least=0, below=1)
    assert (share("0"), share("0.999")) == (0.0, 0.999)
    with pytest.raises(cli.argparse.ArgumentTypeError, match="of at least 0 and below 1, got 1"):
        share("1")


def test_the_other_bounds_of_a_number_are_the_other_way_round():
    share = cli.number(float, above=0, most=1)
    assert (share("1e-9"), share("1")) == (1e-9, 1.0)
    for text in ("0", "1.1", "nan"):
        with pytest.raises(cli.argparse.ArgumentTypeError, match=f"at most 1, got {text}"):
            share(text)
    with pytest.raises(cli.argparse.ArgumentTypeError, match="a number above 0, got inf"):
        cli.number(float, above=0)("inf")
