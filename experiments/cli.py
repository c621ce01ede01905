"""What the scripts share: errors in one line, quiet libraries, and loading a model with care.

Importing this module does not import Keras, so that `--help` and errors come at once.
"""

import argparse
import contextlib
import ctypes
import dataclasses
import gc
import logging
import os
import platform
import re
import signal
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from architecture import Number, is_text
from data.corpora import Corpus, CorpusError, load_corpus
from data.fetching import is_address
from experiments.compiled_programs import keep_compiled_programs


class UsageError(Exception):
    """What the user asked for can't be done; the message is one line that says what to change."""


class ArgumentParser(argparse.ArgumentParser):
    """argparse whose errors are `UsageError`s, and whose flags may have `_` in place of `-`."""

    def __init__(self, *args, **kwargs):
        super().__init__(
            *args,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(
                prog, max_help_position=32, width=98
            ),
            **kwargs,
        )

    def parse_args(self, args: Sequence[str], namespace=None):
        return super().parse_args(dashed(args), namespace)

    def parse_intermixed_args(self, args: Sequence[str], namespace=None):
        return super().parse_intermixed_args(dashed(args), namespace)

    def print_help(self, file=None):
        # argparse's own swallows the error of a pipe whose reader has gone.
        (file or sys.stdout).write(self.format_help())

    def error(self, message: str):
        raise UsageError(message)


def dashed(arguments: Sequence[str]) -> list[str]:
    """`--d_model=8` as `--d-model=8`, in all arguments but those that come after a `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    dashed = []
    for argument in arguments[:end]:
        flag, equals, value = argument.partition("=")
        is_flag = argument.startswith("--")
        dashed.append(flag.replace("_", "-") + equals + value if is_flag else argument)
    return [*dashed, *arguments[end:]]


def number(kind: type, **bounds: float) -> Callable[[str], float]:
    """A type for argparse: one of the numbers of `architecture.Number`.

    Example:

    >>> number(int, least=1)("3")
    3
    """
    return _parser_of(Number(kind, **bounds))


def _parser_of(allowed: Number) -> Callable[[str], float]:
    def parse(text: str):
        try:
            value = allowed.kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {allowed}, got {text!r}") from None
        if value not in allowed:
            raise argparse.ArgumentTypeError(f"expected {allowed}, got {text}")
        return value

    return parse


def flag_of(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def add_flag(group, field: dataclasses.Field) -> None:
    """Adds the flag of a setting; where it is not given it becomes None.

    Args:
        group: a parser of argparse, or a group of one.
        field: made by `architecture.setting`.
    """
    allowed, metavar = field.metadata["allowed"], field.metadata["metavar"]
    arguments = {"default": None}
    if isinstance(field.default, bool):
        arguments["action"] = argparse.BooleanOptionalAction
    elif isinstance(allowed, tuple):
        arguments["choices"] = allowed
    elif isinstance(allowed, Number):
        whole, share = allowed.kind is int, allowed.below == 1
        arguments["metavar"] = metavar or ("N" if whole else "P" if share else "X")
        arguments["type"] = _parser_of(allowed)
    else:
        arguments["metavar"] = metavar
        arguments |= {"type": text(allowed)} if is_text(field) else {"nargs": "+"}
    defaults = [field.default, field.metadata["file_default"]]
    shown = [_show(value) for value in defaults if value is not None] or [field.metadata["none"]]
    help = re.sub("`([a-z_]+)`", lambda match: flag_of(match[1]), field.metadata["help"])
    help = f"{help} ({'; '.join(shown)})".replace("%", "%%")
    group.add_argument(flag_of(field.name), *field.metadata["aliases"], help=help, **arguments)


def _show(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def text(wanted: str, is_right: Callable[[str], bool] = bool) -> Callable[[str], str]:
    """A type for argparse: a text that is not empty, or one for which `is_right`.

    Example:

    >>> text("the name of a file")("a.txt")
    'a.txt'
    """

    def parse(text: str):
        if not is_right(text):
            raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
        return text

    return parse


def run(main: Callable[[Sequence[str]], int]) -> None:
    """Runs a script's `main` and exits with its status; bad input is one line and status 2."""
    name = os.path.basename(sys.argv[0])
    sys.stdout.reconfigure(errors="replace")  # a word it can't show is no reason to stop
    warnings.formatwarning = lambda message, *_: f"{name}: warning: {message}\n"
    for number in ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit_at_once)
    try:
        try:
            status = main(sys.argv[1:])
        except SystemExit as end:  # --help
            status = end.code
        sys.stdout.flush()
    except UsageError as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        status = 2
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except KeyboardInterrupt:
        print(f"{name}: {ENDS[signal.SIGINT]}", file=sys.stderr)
        status = 128 + signal.SIGINT
    sys.exit(status)


# What a script that was ended by a signal says; its status is then 128 and the signal's number.
ENDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def _exit_at_once(number, frame):
    """Ends the process at Ctrl-C, or when the system asks it to end.

    Python's own answer to Ctrl-C is an exception, and a library that it hits may swallow it or turn
    it into another one. There is nothing to close yet: training, which has files open, answers with
    `callbacks.StopOnInterrupt`.
    """
    name = os.path.basename(sys.argv[0])
    os.write(_STDERR, f"{name}: {ENDS[number]}\n".encode())
    os._exit(128 + number)


_STDERR = os.dup(2)  # not what file descriptor 2 points to while Keras is imported


def import_keras(threads: int | None = None) -> None:
    """Imports Keras with its backend, without TensorFlow's start-up lines on standard error.

    Args:
        threads: how many threads one operation of TensorFlow or PyTorch may use. Default None: all
            cores.
    """
    # Without TensorFlow's errors too: it has some to say of each program that it finds on disk.
    # What stops it is an exception anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keep_compiled_programs(threads)
    keep_freed_memory()
    made = re.search(r"host_platform_device_count=(\d+)", os.environ.get("XLA_FLAGS", ""))
    if made is not None:
        # XLA's threads, in which the devices that it makes of a processor wait for each other: on
        # two cores, four devices came to a standstill in two of four trainings, and in none of
        # three with more threads.
        os.environ.setdefault("NPROC", str(4 * int(made[1])))
    # Among others, that many models in one process are compiled one after the other.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with without_garbage_collection(), quiet():
        # TensorFlow on every backend: tf.data feeds it and tf.summary logs it. For TFLite it
        # imports JAX where that is installed, an eighth of the time; but hiding JAX breaks Keras,
        # which it imports too, with JAX as the backend.
        import tensorflow as tf

        if threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.list_physical_devices()  # looks for GPUs now, with all that it says about them
        import keras

        if threads is not None and keras.backend.backend() == "torch":
            import torch

            torch.set_num_threads(threads)


def keep_freed_memory():
    """Has the C library keep what is freed, up to a gigabyte, for those who ask next.

    The buffers of a training step are large, and glibc gives such back to the system when they are
    freed. So each step got 14,000 new pages, which the system cleared first: a third of its time.
    """
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_max = -1, -4  # as malloc.h names them
        library = ctypes.CDLL(None)
        library.mallopt(trim_threshold, 2**30)
        library.mallopt(mmap_max, 0)


@contextlib.contextmanager
def without_garbage_collection():
    """Spares Python's search for garbage, while modules are imported and among them later.

    Half a million objects come with them, all to stay: looking through them again and again takes
    a sixth of the import, and as they take part in each later search, half a second of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # of graphs, too, most stays


@contextlib.contextmanager
def quiet(stream=None):
    """Keeps what C++ code writes back, and shows it only if an error follows.

    Args:
        stream: `sys.stdout` for standard output. Default None: standard error.
    """
    stream = sys.stderr if stream is None else stream
    number = 1 if stream is sys.stdout else 2
    stream.flush()
    descriptor = os.dup(number)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), number)
        try:
            yield
        except Exception:
            kept.seek(0)
            os.write(descriptor, kept.read())
            raise
        finally:
            stream.flush()
            os.dup2(descriptor, number)
            os.close(descriptor)


def find_corpus(source: str, flag: str = "--corpus") -> Corpus:
    """Finds what a flag names as a corpus; a UsageError says what is wrong with it."""
    if is_address(source):
        import_keras()  # Keras does the fetching
    try:
        return load_corpus(source)
    except CorpusError as error:
        raise UsageError(f"argument {flag}: {error}") from error


def check_model_path(path: str) -> None:
    """Raises a UsageError unless a whole zip file whose name ends in .keras is there."""
    if not os.path.exists(path):
        raise UsageError(f"{path}: expected a saved .keras model, found nothing")
    if not path.endswith(".keras"):
        raise UsageError(f"{path}: expected a saved model, whose name ends in .keras")
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path}: expected a .keras model, found a damaged or other file")


def check_output_path(flag: str, path: str | None) -> None:
    """Raises a UsageError unless a file could be written there, or no path is given."""
    if path is not None and (Path(path).is_dir() or not Path(path).parent.is_dir()):
        raise UsageError(f"argument {flag}: expected a file in a folder that exists, got {path}")


def write_text(path: str, text: str) -> None:
    """Writes a text file; a UsageError says why it can't be written."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: expected a file to write ({error.strerror})") from error


def load_model(path: str):
    """Loads a model of the zoo from a `.keras` file, in Keras's safe mode.

    Raises:
        UsageError: nothing there, not a whole `.keras` file, one that holds code, one that is no
            model of the zoo, or one that asks for more than it can hold.
    """
    import keras

    from experiments.saved_model import check_saved_model

    check_model_path(path)
    try:
        check_saved_model(path)
        return keras.saving.load_model(path, safe_mode=True)
    except UsageError:
        raise
    except Exception as error:  # what a file from elsewhere can make Keras raise has no bounds
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"{path}: expected a model of this project ({reason})") from error
