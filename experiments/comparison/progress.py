"""How far a trial has come, in a file for whoever shows it."""

import time
from pathlib import Path

import keras

from experiments import runs

EVERY_SECONDS = 0.5


class ProgressFile(keras.callbacks.Callback):
    """Writes the steps made, the steps to make and the last losses to a file, twice a second.

    Args:
        path: the file, JSON.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def on_train_begin(self, logs=None):
        self._epoch, self._next = 0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if time.perf_counter() >= self._next:
            self._next = time.perf_counter() + EVERY_SECONDS
            steps = self.params["steps"]
            progress = {
                "step": self._epoch * steps + batch + 1,
                "steps": self.params["epochs"] * steps,
                "loss": (logs or {}).get("loss"),
            }
            runs.write_json(self.path, progress)
