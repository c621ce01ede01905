"""Handing the trials of a study to workers, here or on other machines, and watching them.

One code path: an executor of `concurrent.futures`. It is a pool of threads, each of which waits for
the process of a trial; or that of a Dask cluster, whose workers do the same.
"""

import concurrent.futures
import contextlib
import os
import signal
from collections.abc import Iterator

from experiments import runs
from experiments.cli import ENDS, UsageError
from experiments.comparison import baselines, machine
from experiments.comparison.display import Display
from experiments.comparison.study import Study, Trial
from experiments.comparison.trial import STOP, Ending, run_baselines, run_trial

SCHEDULER_SECONDS = 10
DISPLAY_SECONDS = 0.2


@contextlib.contextmanager
def open_executor(
    study: Study, workers: int | None = None, scheduler: str | None = None
) -> Iterator[concurrent.futures.Executor]:
    """Makes the study's folder or takes it over, and opens what trains the trials.

    Args:
        study: the study. Its `threads` are decided here, if they are not yet.
        workers: how many trials are trained at a time. Default None: as many as is fastest on this
            machine.
        scheduler: address of a Dask scheduler whose workers train them instead, each as many as it
            has threads. Default None: processes of this machine.

    Raises:
        UsageError: a folder that can't be made or is in use, no Dask, or no scheduler.
    """
    trials = sum(not runs.is_finished(trial.folder) for trial in study.trials())
    workers = workers or machine.best_workers(trials)
    if study.threads is None:
        cores = 1 if scheduler else machine.cores()
        study.threads = study.settings.threads or max(cores // workers, 1)
    with _dask(scheduler) if scheduler else _local(workers) as executor:
        runs.open_study_folder(study.folder)
        study.save()
        yield executor


@contextlib.contextmanager
def _local(workers: int) -> Iterator[concurrent.futures.Executor]:
    """Workers on this machine: threads that wait for processes."""
    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        yield executor


@contextlib.contextmanager
def _dask(address: str) -> Iterator[concurrent.futures.Executor]:
    """The workers of a Dask cluster.

    They must see this folder under the same path, and be started in it or with it on
    `PYTHONPATH`: `dask worker tcp://HOST:PORT --nthreads 1`.

    Raises:
        UsageError: no Dask, or no scheduler that answers.
    """
    try:
        import distributed
    except ImportError as error:
        raise UsageError(
            "argument --scheduler: expected the package distributed, found none (pip install "
            "distributed)"
        ) from error
    try:
        client = distributed.Client(address, timeout=SCHEDULER_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"argument --scheduler: expected a scheduler that answers within {SCHEDULER_SECONDS} "
            f"seconds at {address} ({reason})"
        ) from error
    with client:
        yield client.get_executor(pure=False)


def run(study: Study, executor: concurrent.futures.Executor, display: Display) -> bool:
    """Trains what is left of a study.

    A trial that fails is noted in the study; the others go on. At Ctrl-C or SIGTERM the trials
    that run are asked to end in good order; at a second one everything ends at once. In either case
    the study can be gone on with.

    Returns:
        Whether it came to its end.
    """
    stop = study.folder / STOP
    stop.unlink(missing_ok=True)
    trials = [trial for trial in study.trials() if not runs.is_finished(trial.folder)]
    place = os.getcwd()
    with _stopping_by_signal(stop), display.of(study, trials):
        tasks = {executor.submit(run_trial, trial, place): trial for trial in trials}
        tasks |= {
            executor.submit(run_baselines, variant.arguments, study.folder, place): key
            for key, variant in baselines.missing(study).items()
        }
        waiting = set(tasks)
        while waiting:
            done, waiting = concurrent.futures.wait(
                waiting, DISPLAY_SECONDS, concurrent.futures.FIRST_COMPLETED
            )
            for task in done:
                _note(study, tasks[task], _ending(task), display)
            display.update(stop.exists())
    was_stopped = stop.exists()
    stop.unlink(missing_ok=True)
    return not was_stopped


def _note(study, of, ending, display):
    """Keeps how a trial ended, or what is known of a text."""
    if isinstance(of, Trial):
        study.failures.pop(of.folder.name, None)
        if ending.why is not None:
            study.failures[of.folder.name] = ending.why
        display.show_end(of, ending)
    elif ending.is_finished:
        study.baselines[of] = ending.value
    study.save()


def _ending(task) -> Ending:
    """How a trial ended, also where its worker could not even begin or died too often."""
    try:
        return task.result()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        return Ending(False, f"its worker failed ({type(error).__name__}: {reason})")


@contextlib.contextmanager
def _stopping_by_signal(stop):
    """Makes the stop file at the first signal; the second one gets its earlier answer."""
    earlier = {}

    def on_signal(number, frame):
        stop.touch()
        for number, answer in earlier.items():
            signal.signal(number, answer)

    for number in ENDS:
        earlier[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, answer in earlier.items():
            signal.signal(number, answer)
