"""An event file that several callbacks write to.

`tf.summary.scalar` and its sisters take 0.1 to 0.2 ms a call, for each runs several eager
operations. A step of a tiny job takes 2 ms, so four scalars an epoch are felt. TensorBoard's own
functions make the same bytes without TensorFlow, and `tf.io` writes them without an operation.
"""

import itertools
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path

import keras
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

_numbers = itertools.count()  # of files of one second


class EventWriter:
    """Writes summaries to one folder, and can take back those after a position.

    TensorBoard reads the event files of a folder one after the other and never goes back to an
    earlier one. So callbacks that write to the same folder share one of these: a file is begun by
    the first that writes, and ended by the last that closes.

    A training that was killed goes on from its last checkpoint and writes again what came after
    that. So a checkpoint keeps the `position`, and `rewind` cuts off what lies behind it: no tag
    has a step twice.

    Args:
        log_dir: the folder of the event files. No other writer may use it.

    Example:

    >>> from callbacks import AttentionHeatmaps, EventWriter, SamplePredictions
    >>> writer = EventWriter("logs/run")
    >>> watchers = [
    ...     AttentionHeatmaps(writer, ["i love deep"]),
    ...     SamplePredictions(writer, [("i love deep", "learning")]),
    ... ]
    """

    def __init__(self, log_dir: str | Path):
        self.log_dir = Path(log_dir)
        self._users = set()
        self._writer = None

    @classmethod
    def of(cls, log_dir: "LogDir") -> "EventWriter":
        """The writer itself, or a new one for a folder."""
        return log_dir if isinstance(log_dir, cls) else cls(log_dir)

    def open(self, user: keras.callbacks.Callback) -> None:
        """Says that a callback is going to write."""
        self._users.add(user)

    def write(self, step: int, summaries: Iterable[Summary]) -> None:
        """Writes all summaries of a step as one event.

        Args:
            step: the step of them all.
            summaries: made by TensorBoard's `scalar_pb`, `text_pb` and their like.
        """
        if self._writer is None:
            self._begin_file()
        summary = Summary(value=[value for summary in summaries for value in summary.value])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self, user: keras.callbacks.Callback) -> None:
        """Says that a callback has written all it will: after the last one's, the file ends."""
        self._users.discard(user)
        if not self._users:
            self._end_file()

    def position(self) -> dict[str, int]:
        """How long each event file of the folder is."""
        return {path.name: path.stat().st_size for path in self._files()}

    def rewind(self, position: dict[str, int]) -> None:
        """Cuts the event files back to an earlier `position`.

        A position none of whose files is here belongs to another folder: earlier versions kept
        one for each callback. It changes nothing.
        """
        self._end_file()
        files = self._files()
        if position and not any(path.name in position for path in files):
            return
        for path in files:
            if path.name in position:
                os.truncate(path, position[path.name])
            else:
                path.unlink()

    def _begin_file(self):
        import tensorflow as tf  # for tf.io, on every backend

        self.log_dir.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names.
        name = f"events.out.tfevents.{time.time():010.0f}.{platform.node()}.{os.getpid()}"
        path = self.log_dir / f"{name}.{next(_numbers)}.v2"
        self._writer = tf.io.TFRecordWriter(str(path))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def _write(self, event):
        self._writer.write(event.SerializeToString())
        self._writer.flush()  # for who is watching

    def _end_file(self):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _files(self):
        return sorted(self.log_dir.glob("events.out.tfevents.*"))


LogDir = str | Path | EventWriter  # what callbacks take
