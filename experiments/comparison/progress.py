"""How far a trial has come, in a file for whoever shows it."""

import time
from pathlib import Path

import keras

from experiments import runs

EVERY_SECONDS = 0.5


class ProgressFile(keras.callbacks.Callback):
    """Writes the steps made, the steps to make and the last loss to a file, twice a second.

    Args:
        path: the file, JSON.
        begin: when the trial began, by `time.perf_counter`: the file says after how many seconds
            the first step was made.
        steps: how many are to be made.
    """

    def __init__(self, path: Path, begin: float, steps: int):
        super().__init__()
        self.path = path
        self.begin = begin
        self.steps = steps
        self._first_step_after = None

    def on_train_begin(self, logs=None):
        self._epoch, self._next = 0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._first_step_after is None:
            self._first_step_after = time.perf_counter() - self.begin
        if time.perf_counter() >= self._next:
            self._next = time.perf_counter() + EVERY_SECONDS
            progress = {
                "step": self._epoch * self.params["steps"] + batch + 1,
                "steps": self.steps,
                "loss": (logs or {}).get("loss"),
                "first_step_after": self._first_step_after,
            }
            runs.write_json(self.path, progress)
