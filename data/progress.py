"""How far the reading of a long text has come, on the terminal."""

import sys
import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import Progress

PATIENCE_SECONDS = 2


def show_progress(pieces: Iterable[str], length: int, description: str) -> Iterator[str]:
    """The same pieces, with a progress bar if that takes more than two seconds on a terminal.

    Args:
        pieces: parts of a text.
        length: how many characters there are in all.
        description: what is done with them, to stand before the bar.

    Example:

    >>> list(show_progress(["i love", " deep"], 11, "reading"))
    ['i love', ' deep']
    """
    begin = time.monotonic()
    done, bar = 0, None
    try:
        for piece in pieces:
            yield piece
            done += len(piece)
            is_late = time.monotonic() - begin > PATIENCE_SECONDS
            if bar is None and is_late and sys.stdout.isatty():
                # rich's own console decides once for the whole process what it can draw.
                bar = Progress(console=Console(), transient=True)
                task = bar.add_task(description, total=length)
                bar.start()
            if bar is not None:
                bar.update(task, completed=done)
    finally:
        if bar is not None:
            bar.stop()
