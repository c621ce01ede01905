"""What callbacks share that write to TensorBoard about an epoch, now and then."""

from abc import ABC, abstractmethod
from collections.abc import Container, Iterable

import keras
from tensorboard.compat.proto.summary_pb2 import Summary

from callbacks.event_writer import EventWriter, LogDir
from callbacks.schedule import TimeShare


class EpochSummaries(keras.callbacks.Callback, ABC):
    """Base of callbacks that write about epochs: a subclass says what, in `summaries`.

    The first epoch and the last are always written, and of those between the ones in `epochs`, or
    as many as `time_share` allows. The step is the epoch, counted from 0.

    Args:
        log_dir: folder for the event file, or an `EventWriter` that callbacks share.
        epochs: the epochs to write about. Default None: as many as `time_share` allows.
        time_share: with `epochs=None`, the largest share of the training time that this may take,
            between 0 and 1. Default 1: every epoch.

    Raises:
        ValueError: a `time_share` out of its range.
    """

    def __init__(
        self,
        log_dir: LogDir,
        epochs: Container[int] | None = None,
        time_share: float = 1.0,
    ):
        super().__init__()
        self.epochs = epochs
        self._pace = TimeShare(time_share)
        self._writer = EventWriter.of(log_dir)
        self._epoch = self._written = None

    @abstractmethod
    def summaries(self) -> Iterable[Summary]:
        """What there is to say about the model as it is now."""

    def get_state(self) -> dict:
        """What a training that goes on later needs to know."""
        return {"written": self._written, "events": self._writer.position()}

    def set_state(self, state: dict) -> None:
        """Takes back what was written after `get_state`. Call it before `fit`."""
        # Earlier versions said "drawn" for pictures, and nothing where every epoch is written.
        self._epoch = self._written = state.get("written", state.get("drawn"))
        self._writer.rewind(state["events"])

    def on_train_begin(self, logs=None):
        self._writer.open(self)
        self._pace.begin()

    def on_epoch_end(self, epoch, logs=None):
        self._epoch = epoch
        is_due = self._pace.allows_more() if self.epochs is None else epoch in self.epochs
        if self._written is None or is_due:
            self._write()

    def on_train_end(self, logs=None):
        if self._epoch != self._written:
            self._write()
        self._writer.close(self)
        self._epoch = self._written = None

    def _write(self):
        with self._pace:
            self._writer.write(self._epoch, self.summaries())
        self._written = self._epoch
