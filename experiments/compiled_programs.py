"""What XLA has compiled, kept on disk, so that the next process starts sooner.

TensorFlow and JAX keep compiled programs in a folder that they are told, and find them there by all
that they were made of. But they trust that folder: a file that was cut short, or changed, is an
error in the middle of a training, and so is one that another process takes away between two looks.
So each process gets a folder of its own, with links to the programs that are whole. What it has
compiled itself is put beside them when it ends, under a name that holds its hash.

Importing this module does not import Keras.
"""

import contextlib
import hashlib
import importlib.metadata
import multiprocessing.util
import os
import platform
import re
import shutil
import tempfile
import time
from pathlib import Path

from data.fetching import cache_folder

MOST_BYTES = 200 * 2**20  # some 40 models: to look at them all takes 0.1 s
_LEFT_OVER_SECONDS = 2 * 24 * 3600
_FLAG = "--tf_xla_persistent_cache"
_JAX_FOLDER = "JAX_COMPILATION_CACHE_DIR"


def keep_compiled_programs(threads: int | None = None) -> None:
    """Lets TensorFlow and JAX find what they compiled before. Call it before they are imported.

    TensorFlow does so on a processor only. Where nothing can be kept, or the user has told them
    another folder, nothing happens. A process that is killed keeps nothing of what it compiled.

    Args:
        threads: how many threads an operation may use. Programs may depend on it.
    """
    kept = cache_folder() / "compiled"
    folder = kept / _made_for(threads)
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if f"/.{os.getpid()}-" in flags:  # done already
        return
    of_parent = rf"{_FLAG}_directory='{re.escape(str(kept))}.*"
    flags = re.sub(of_parent, "", flags)
    jax_folder = os.environ.get(_JAX_FOLDER, "")
    is_jax_told = jax_folder and not jax_folder.startswith(str(kept))
    if _FLAG in flags or is_jax_told or "'" in str(folder):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = Path(tempfile.mkdtemp(prefix=f".{os.getpid()}-", dir=folder))
    except OSError:
        return
    for path in _programs(folder):
        with contextlib.suppress(OSError):  # another process may have taken it away
            if _hash(path) == path.suffix[1:]:
                _link(path, own / path.stem)
            else:
                path.unlink()
    own_flags = f"{_FLAG}_directory='{own}' {_FLAG}_device_types=CPU"
    os.environ["TF_XLA_FLAGS"] = f"{flags} {own_flags}".strip()
    os.environ[_JAX_FOLDER] = str(own)
    # All of them: JAX compiles hundreds of small programs while a model is built.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # XLA's own caches would lie in that folder too, and its name become a part of all keys.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")
    # Not by `atexit`, which the processes of `multiprocessing` pass by.
    multiprocessing.util.Finalize(None, _keep_new_ones, (own,), exitpriority=0)


def _keep_new_ones(own: Path) -> None:
    """Puts what this process has compiled beside the other programs; the oldest make room."""
    folder = own.parent
    with contextlib.suppress(OSError):
        earlier = {path.stem: path for path in _programs(folder)}
        for path in _programs(own):
            if path.stat().st_nlink == 1:
                if path.name in earlier:  # from another process
                    earlier[path.name].unlink(missing_ok=True)
                path.replace(folder / f"{path.name}.{_hash(path)}")
        shutil.rmtree(own, ignore_errors=True)
        for left_over in folder.glob(".*"):  # of a process that was killed
            if time.time() - left_over.stat().st_mtime > _LEFT_OVER_SECONDS:
                shutil.rmtree(left_over, ignore_errors=True)
        room = MOST_BYTES
        programs = [path for some in folder.parent.iterdir() for path in _programs(some)]
        for path in sorted(programs, key=lambda path: -path.stat().st_mtime):
            room -= path.stat().st_size
            if room < 0:
                path.unlink(missing_ok=True)


def _programs(folder: Path) -> list[Path]:
    return [path for path in folder.glob("[!.]*") if path.is_file()]


def _made_for(threads) -> str:
    """A name for all that programs depend on, and TensorFlow does not look at.

    With other threads XLA cuts large operations into other parts, which changes the last digits of
    what they give.
    """
    made_for = [
        importlib.metadata.version("tensorflow"),
        _processor(),
        os.cpu_count(),
        threads,
        os.environ.get("XLA_FLAGS"),
        os.environ.get("NPROC"),
    ]
    return hashlib.sha256(repr(made_for).encode()).hexdigest()[:16]


def _processor() -> str:
    """The name of the processor, as far as it can be told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {name.strip(): value.strip() for name, value in fields.items()}
    # Equal names do not mean equal instructions, on virtual machines above all.
    return " ".join(named.get(name, "") for name in ("model name", "flags")).strip()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _link(path: Path, link: Path) -> None:
    try:
        os.link(path, link)
    except OSError:  # a file system without links
        shutil.copy(path, link)
