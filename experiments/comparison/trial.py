"""One training of a study, in a process of its own.

A process that trains one model after the other grows without bound, so each trial gets a new one.
It is forked from a process that has imported Keras already (Python's "forkserver", in which
TensorFlow has not started any thread yet), so that it begins at once. What need not be done again
lies on disk: token ids, and what XLA has compiled.

Importing this module does not import Keras.
"""

import contextlib
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

from data.corpora import CorpusError, load_corpus
from experiments import cli, runs
from experiments.cli import UsageError
from experiments.comparison import baselines
from experiments.comparison.study import Trial
from experiments.flags import parse_settings

OUTPUT, PROGRESS, STOP = "output.txt", "progress.json", "stop"
POLL_SECONDS = 0.1
_lock = threading.Lock()


class Ending(NamedTuple):
    """How a process ended.

    Attributes:
        is_finished: whether it did what it was asked for.
        why: otherwise, what went wrong; None where it was told to stop.
        value: what its function returned.
    """

    is_finished: bool
    why: str | None = None
    value: dict | None = None


class Stopped(Exception):
    """A training was told to stop; it can be gone on with."""


def run_trial(trial: Trial, place: str) -> Ending:
    """Trains what is left of a trial, in a process of its own.

    Args:
        trial: the trial.
        place: the folder that paths begin at, which may be on another machine's disk.
    """
    return call_in_process(train, trial, place=place, output=trial.folder / OUTPUT)


def run_baselines(arguments: Sequence[str], folder: Path, place: str) -> Ending:
    """What `baselines.measure` finds, in a process of its own; `folder` is the study's."""
    return call_in_process(
        baselines.measure, arguments, place=place, output=folder / "baselines" / OUTPUT
    )


def train(trial: Trial) -> None:
    """Trains what is left of a trial, in this process: what `train.py` does, but for the tables.

    Raises:
        Stopped: it was told to stop (SIGTERM).
        UsageError, CorpusError: it can't be trained.
    """
    begin = time.perf_counter()
    if runs.is_finished(trial.folder):
        return
    settings, _ = parse_settings(trial.arguments)
    corpus = load_corpus(settings.corpus)
    if (trial.folder / runs.CONFIG).exists():
        _, sha256 = runs.read_corpus_provenance(trial.folder)
        if sha256 != corpus.sha256:
            raise UsageError(f"{settings.corpus} is not the text that {trial.folder} was begun on")
    cli.import_keras(settings.threads_an_operation)
    from experiments import preparation, reports, training  # only now: they import Keras
    from experiments.comparison.progress import ProgressFile

    data = preparation.prepare_data(settings, corpus)
    model = training.build_model(settings, corpus, data)
    training.open_folder(settings, corpus, data, model, resumed=trial.folder)
    _, batches = training.spans(settings, data)
    progress = ProgressFile(trial.folder / PROGRESS, begin, batches)
    outcome = training.fit(settings, data, model, trial.folder, progress)
    if outcome.diverged_at is not None:
        raise UsageError(f"the loss is no number after step {outcome.diverged_at:,}")
    if outcome.stopped_by is not None:
        raise Stopped
    reports.write_results(settings, data, model, trial.folder, outcome, trial.hparams)


def call_in_process(function: Callable, *arguments, place: str, output: Path) -> Ending:
    """Calls a function in a new process that has imported Keras.

    When a file `STOP` appears in the study's folder, the process is asked to end (SIGTERM). When
    the calling process ends, however that comes, so does the new one.

    Args:
        function: one of a module.
        arguments: what pickle can hold.
        place: the folder to work in.
        output: a file, two folders below the study's, for all that is printed.
    """
    output = Path(place) / output
    stop = output.parent.parent / STOP
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        where = platform.node()
        return Ending(False, f"{output.parent} can't be written on {where} ({error.strerror})")
    if stop.exists():
        return Ending(False)
    process, connection = _start(function, arguments, place, output)
    was_asked = False
    while process.is_alive() and not connection.poll(POLL_SECONDS):
        if not was_asked and stop.exists():
            process.terminate()
            was_asked = True
    ending = None
    with contextlib.suppress(EOFError):  # where it died before it could say anything
        ending = connection.recv() if connection.poll() else None
    process.join()
    connection.close()
    if ending is not None:
        return ending
    if was_asked:
        return Ending(False)
    code = process.exitcode
    reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
    return Ending(False, f"its process ended with {reason}; see {output}")


def _start(function, arguments, place, output):
    """A process that calls the function, and the connection that brings its `Ending`."""
    # A worker of Dask may have no children, as they would outlive it; these do not.
    multiprocessing.current_process().daemon = False
    if hasattr(os, "fork"):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        names = ["tensorflow", "keras", "experiments.training", "experiments.reports"]
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(names)
        with _lock, cli.quiet():  # that of the forkserver, as long as it lives
            forkserver.ensure_running()
    else:
        context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_call, args=(there, place, output, function, arguments))
    process.start()
    there.close()
    return process, here


def _call(connection, place, output, function, arguments):
    """What the new process does: calls the function and sends how that ended."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C is for the process that waits
    os.chdir(place)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        stream.flush()
        os.dup2(file, descriptor)
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    try:
        ending = Ending(True, None, function(*arguments))
    except Stopped:
        ending = Ending(False)
    except (UsageError, CorpusError) as error:
        ending = Ending(False, " ".join(str(error).split()))
    except Exception as error:
        traceback.print_exc()
        reason = " ".join(str(error).split())[:200]
        ending = Ending(False, f"{type(error).__name__}: {reason}; see {output}")
    connection.send(ending)


def _end_with(connection):
    """Ends this process when the one that waits for it is gone."""
    with contextlib.suppress(OSError, EOFError):
        connection.recv()
    os._exit(1)
