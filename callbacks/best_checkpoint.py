"""Keeps the best model of a run in a file."""

import math
from collections.abc import Container
from pathlib import Path

import keras
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from callbacks.event_writer import EventWriter, LogDir
from callbacks.schedule import TimeShare


class BestCheckpoint(keras.callbacks.Callback):
    """Saves the model with the lowest loss so far to one `.keras` file.

    Which loss that is depends on `dataset`. Without it, `val_loss` after each epoch (so `fit` must
    validate each, as it does by default). With it, the loss of a clean evaluation of that dataset:
    the loss that `fit` reports for training data is disturbed by dropout, and averages over
    weights that change during the epoch.

    Saving takes some 50 ms, as long as ten epochs of a tiny job. So at most `time_share` of the
    training time goes into it: a best model that comes too soon after the last save is kept in
    memory and written when there is time, at the latest when training ends.

    Args:
        path: the file, ending in `.keras`.
        dataset: what to evaluate, anything that `model.evaluate` takes. Default None: `val_loss`.
        epochs: with `dataset`, the epochs after which to evaluate, such as `spread_epochs(1000)`;
            include the last one. Default None: after each.
        log_dir: with `dataset`, folder for an event file with the evaluations' figures, tagged
            and stepped as Keras's TensorBoard callback does, or an `EventWriter`. Default None:
            not written.
        time_share: largest share of the training time for saving. Default 0.005.

    Attributes:
        best_loss: the lowest loss so far, infinity before the first.
        best_epoch: its epoch, counted from 0; None before the first.
        best_figures: all that this evaluation gave, "loss" and the metrics by their names; None
            before the first.
        last_figures: what the evaluation of the model as it is gave; None where it was trained
            since the last one.
        losses: all losses that were looked at, pairs of an epoch and its loss.

    Raises:
        ValueError: in `fit`, neither a `val_loss` nor a `dataset`.

    Example:

    >>> callback = BestCheckpoint("logs/run/best.keras")
    >>> history = model.fit(x, validation_data=y, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | Path,
        dataset=None,
        epochs: Container[int] | None = None,
        log_dir: LogDir | None = None,
        time_share: float = 0.005,
    ):
        super().__init__()
        self.path = Path(path)
        self.dataset = dataset
        self.epochs = epochs
        self.pace = TimeShare(time_share)
        self.best_loss = math.inf
        self.best_epoch = self.best_figures = self.last_figures = None
        self.losses = []
        self._best = []  # the best model's variables
        self._is_saved = True  # whether they are in the file
        self._writer = None if log_dir is None else EventWriter.of(log_dir)

    def get_state(self) -> dict:
        """What a training that goes on later needs to know, the best model included."""
        return {
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "best_figures": self.best_figures,
            "last_figures": self.last_figures,
            "losses": self.losses,
            "best": self._best,
            "events": None if self._writer is None else self._writer.position(),
        }

    def set_state(self, state: dict) -> None:
        """Goes on from what `get_state` gave. Call it before `fit`."""
        self.best_loss, self.best_epoch = state["best_loss"], state["best_epoch"]
        # Not kept by earlier versions.
        self.losses = state.get("losses", [])
        self.best_figures, self.last_figures = state.get("best_figures"), state.get("last_figures")
        self._best = state["best"]
        self._is_saved = not self._best  # the file may hold a later one
        if self._writer is not None:
            self._writer.rewind(state["events"])

    def on_train_begin(self, logs=None):
        self.pace.begin()
        if self._writer is not None:
            self._writer.open(self)

    def on_train_batch_end(self, batch, logs=None):
        self.last_figures = None

    def on_epoch_end(self, epoch, logs=None):
        figures = self._evaluate(epoch, logs or {})
        if figures is not None:
            self._keep(epoch, figures)
        if not self._is_saved and self.pace.allows_more():
            self._save()

    def on_train_end(self, logs=None):
        if not self._is_saved:
            self._save()
        if self._writer is not None:
            self._writer.close(self)

    def _evaluate(self, epoch, logs):
        """What an evaluation of the model as it is gives; None where there is none."""
        if self.dataset is None:
            if "val_loss" not in logs:
                raise ValueError(
                    "BestCheckpoint needs `validation_data` in fit, or a `dataset` of its own. "
                    f"Received: logs={sorted(logs)}."
                )
            return {name[4:]: value for name, value in logs.items() if name.startswith("val_")}
        if self.epochs is not None and epoch not in self.epochs:
            return None
        figures = self.model.evaluate(self.dataset, verbose=0, return_dict=True)
        if self._writer is not None:
            summaries = (scalar_pb(f"epoch_{name}", value) for name, value in figures.items())
            self._writer.write(epoch, summaries)
        return figures

    def _keep(self, epoch, figures):
        loss, self.last_figures = figures["loss"], figures
        if math.isfinite(loss):
            self.losses.append((epoch, float(loss)))
        if loss < self.best_loss:
            self.best_loss, self.best_epoch, self.best_figures = loss, epoch, figures
            self._best = [keras.ops.convert_to_numpy(v) for v in self._variables()]
            self._is_saved = False

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def _save(self):
        with self.pace:
            variables = self._variables()
            current = [keras.ops.convert_to_numpy(v) for v in variables]
            _assign(variables, self._best)
            try:
                self.model.save(self.path)
            finally:
                _assign(variables, current)
            self._is_saved = True


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
