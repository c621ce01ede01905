"""Files of `data.fetching.cache_folder()`: whole, or not there.

Each ends with the SHA-256 of all before it, so what was damaged is noticed, and made again. Where
nothing can be written, everything works without.
"""

import contextlib
import hashlib
import mmap
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from data.fetching import cache_folder

HASH_BYTES = 32  # at the end of each file
_HASH = hashlib.sha256
_LEFT_OVER_SECONDS = 3600


def is_whole(path: Path) -> bool:
    """Whether a file is there, and ends with the hash of all before it; says so if it does not."""
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as content,
            content[:-HASH_BYTES] as hashed,
        ):
            is_whole = mapped[-HASH_BYTES:] == _HASH(hashed).digest()
    except OSError:
        return False
    except ValueError:  # an empty file can't be mapped
        is_whole = False
    if not is_whole:
        warnings.warn(f"{path} was damaged and is made again", stacklevel=3)
    return is_whole


@contextlib.contextmanager
def where_possible() -> Iterator[None]:
    """A `with` statement that goes on where nothing can be written, and says so the first time."""
    try:
        yield
    except OSError as error:
        warnings.warn(  # from one place, whoever calls: Python shows it once
            f"{cache_folder()}: can't be written ({error.strerror}); a text is read anew each time",
            stacklevel=1,
        )


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which is called `path` when it is whole and not before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for temporary in path.parent.glob("*.tmp"):  # of a process that was killed
        if time.time() - temporary.stat().st_mtime > _LEFT_OVER_SECONDS:
            temporary.unlink(missing_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("w+b") as file:
            yield file
            file.seek(0)
            file.write(hashlib.file_digest(file, _HASH).digest())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
