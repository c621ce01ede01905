"""The folder of a run: made, found again, and kept by one process at a time.

Importing this module does not import Keras.
"""

import itertools
import json
import os
import time
from pathlib import Path

from experiments.cli import UsageError
from experiments.settings import Settings

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

CONFIG, CHECKPOINT, RESULTS = "config.json", "checkpoint.npz", "results.json"
TRAINING = "training.json"


def make_folder(settings: Settings, run_name: str | None = None) -> Path:
    """Makes a new folder for a run.

    Args:
        settings: the run's settings.
        run_name: the folder's name in `settings.logs`. Default None: made from corpus, model and
            time.

    Raises:
        UsageError: a folder of that name exists, or can't be made.
    """
    if run_name is None:
        stem = f"{Path(settings.corpus).stem}-{settings.model}-{time.strftime('%Y%m%d-%H%M%S')}"
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    else:
        names = [run_name]
    for name in names:
        folder = Path(settings.logs) / name
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError as error:
            if not folder.is_dir():
                raise _unwritable(settings.logs, error) from error
        except OSError as error:
            raise _unwritable(settings.logs, error) from error
    raise UsageError(
        f"argument --run-name: expected the name of a new run, but {folder} exists "
        f"(--resume {run_name} goes on with it)"
    )


def open_study_folder(folder: Path) -> None:
    """Makes a study's folder, unless it is there, and keeps it for this process.

    Raises:
        UsageError: it can't be made, or another process trains in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(str(folder.parent), error) from error
    keep_for_this_process(folder, "--study", "study")


def find_folder(logs: str, name: str) -> Path:
    """The folder of a run to go on with.

    Args:
        logs: the folder of all runs.
        name: the run's name, or "auto": the latest one that is not finished, or if all are, the
            latest.

    Raises:
        UsageError: no such run, or one without a checkpoint.
    """
    if name == "auto":
        folders = [path.parent for path in Path(logs).glob(f"*/{CHECKPOINT}")]
        if not folders:
            raise UsageError(f"argument --resume: expected a run in {logs}, found none")
        return max(
            folders,
            key=lambda folder: (not is_finished(folder), (folder / CHECKPOINT).stat().st_mtime),
        )
    folder = Path(logs) / name
    if not folder.is_dir():
        names = sorted(path.parent.name for path in Path(logs).glob(f"*/{CHECKPOINT}"))
        known = f"one of {', '.join(names[-5:])}" if names else "the name of a run there"
        raise UsageError(f"argument --resume: expected {known}, found no {folder}")
    for file in (CONFIG, CHECKPOINT):
        if not (folder / file).is_file():
            raise UsageError(f"argument --resume: expected a run, but {folder} has no {file}")
    return folder


def is_finished(folder: Path) -> bool:
    """Whether the run came to its end: its results are the last file to be written."""
    return (folder / RESULTS).exists()


def read_corpus_provenance(folder: Path, part: str = "corpus") -> tuple[str, str]:
    """What text a run was begun on: its source and its hash, as `Corpus` has them.

    Args:
        folder: the run's.
        part: "corpus", or "validation" for what it is validated on. Default "corpus".

    Raises:
        UsageError: a config.json that does not say.
    """
    try:
        corpus = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["provenance"][part]
        source, sha256 = corpus["source"], corpus["sha256"]
    except (KeyError, TypeError, IndexError, OSError, ValueError, RecursionError):
        source = sha256 = None
    if not isinstance(source, str) or not isinstance(sha256, str):
        raise UsageError(
            f"argument --resume: expected {folder / CONFIG} to name the text that the run was "
            "begun on, found nothing"
        )
    return source, sha256


def write_json(path: Path, content: dict) -> None:
    """Writes a file at once: whoever reads it finds the old content or the new."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def keep_for_this_process(folder: Path, flag: str = "--resume", kept: str = "run") -> None:
    """Sees to it that no other process trains in the folder, until this one ends.

    Args:
        folder: the folder.
        flag: the flag that named it.
        kept: what is in it, a run or a study.

    Raises:
        UsageError: another process does.
    """
    if fcntl is None:
        return
    descriptor = os.open(folder, os.O_RDONLY)  # stays open: the lock lasts as long
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UsageError(
            f"argument {flag}: expected a {kept} at rest, but {folder} is being trained"
        ) from error


def why_unwritable(folder: Path, error: Exception) -> str | None:
    """Why a run could not go on writing to its folder; None if the error is another one.

    The disk may be full, the folder removed. Python says so with an OSError, Keras's files in the
    words of HDF5, and TensorFlow's event files with errors of their own, which name the folder.
    """
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return error.strerror or str(error).splitlines()[0]
    text = str(error)
    is_about_it = str(folder) in text or "unable to extend file" in text or "No space left" in text
    return " ".join(text.split())[-200:] if is_about_it else None


def _unwritable(logs: str, error: OSError) -> UsageError:
    return UsageError(
        f"argument --logs: expected a folder to write to, got {logs} ({os.strerror(error.errno)})"
    )
