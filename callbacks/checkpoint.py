"""A file from which training goes on as if it had never stopped."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from callbacks.schedule import TimeShare


class Checkpoint(keras.callbacks.Callback):
    """Keeps everything that an exact continuation of a training needs, in one file.

    A `.keras` file is not enough: it lacks the random state of Dropout, and what callbacks
    remember. This file holds all variables of model and optimizer, random state included; how many
    epochs and steps were made; and the state of other callbacks, those with `get_state()` and
    `set_state(state)`. It is written beside its destination and then renamed, so there is always a
    whole one, whatever happens.

    It is written before the first step and then after epochs, so that what is lost by a kill is
    an epoch, or what fits into the time between two saves: they take at most `time_share` of the
    training time. A model with a weight that is no finite number is never saved, nor is one that
    stopped in the middle of an epoch.

    To go on, build the same model, compile it, and build its optimizer; call `restore`; then `fit`
    with `initial_epoch=checkpoint.epoch`, and with data that begin at step `checkpoint.step`.

    Args:
        path: the file, ending in `.npz`.
        model: the model to be trained.
        others: the other callbacks of the training; put this one after them.
        last_step: at this step training ends, also if that is in the middle of an epoch.
            Default None: at the end of some epoch.
        time_share: largest share of the training time for saving. Default 0.01.

    Attributes:
        epoch: how many epochs were made when the file was written.
        step: how many steps were.

    Example:

    >>> checkpoint = Checkpoint("logs/run/checkpoint.npz", model)
    >>> history = model.fit(x, callbacks=[checkpoint])  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | Path,
        model: keras.Model,
        others: Sequence[keras.callbacks.Callback] = (),
        last_step: int | None = None,
        time_share: float = 0.01,
    ):
        super().__init__()
        self.path = Path(path)
        self.set_model(model)
        self.others = [other for other in others if hasattr(other, "get_state")]
        self.last_step = last_step
        self._pace = TimeShare(time_share)
        self.epoch = self.step = 0

    def restore(self) -> None:
        """Sets model, optimizer and the other callbacks to what the file says.

        Raises:
            ValueError: a file that is not whole, or that belongs to another model.
        """
        try:
            with self.path.open("rb") as file:
                arrays = dict(np.load(file, allow_pickle=False))
            saved = json.loads(str(arrays.pop("progress")))
        except Exception as error:  # what a damaged file makes NumPy raise has no bounds
            raise ValueError(f"{self.path}: expected a whole checkpoint ({error})") from error
        variables = self._variables()
        if saved["shapes"] != [list(variable.shape) for variable in variables]:
            raise ValueError(f"{self.path}: expected a checkpoint of this model, found another's")
        for number, variable in enumerate(variables):
            variable.assign(arrays[f"variable/{number}"])
        for number, (other, state) in enumerate(zip(self.others, saved["states"], strict=True)):
            for key, count in state.pop("arrays").items():
                state[key] = [arrays[f"{number}/{key}/{i}"] for i in range(count)]
            other.set_state(state)
        self.epoch, self.step = saved["epoch"], saved["step"]

    def on_train_begin(self, logs=None):
        self._pace.begin()
        self._last_step_made = self.step
        self._unsaved_epoch = None
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._save(self.epoch)

    def on_epoch_begin(self, epoch, logs=None):
        self._first_step = self._last_step_made

    def on_train_batch_end(self, batch, logs=None):
        self._last_step_made = self._first_step + batch + 1
        self._unsaved_epoch = None

    def on_epoch_end(self, epoch, logs=None):
        is_whole = self._last_step_made - self._first_step == self.params["steps"]
        if is_whole or self._last_step_made == self.last_step:
            self._unsaved_epoch = epoch + 1
            if self._pace.allows_more():
                self._save(epoch + 1)

    def on_train_end(self, logs=None):
        if self._unsaved_epoch is not None:
            self._save(self._unsaved_epoch)

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def _save(self, epoch):
        with self._pace:
            self._write(epoch)

    def _write(self, epoch):
        variables = self._variables()
        values = [keras.ops.convert_to_numpy(variable) for variable in variables]
        if not all(np.isfinite(value).all() for value in values):
            return
        arrays = {f"variable/{number}": value for number, value in enumerate(values)}
        states = []
        for number, other in enumerate(self.others):
            state = {"arrays": {}}
            for key, value in other.get_state().items():
                if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
                    state["arrays"][key] = len(value)
                    arrays |= {f"{number}/{key}/{i}": array for i, array in enumerate(value)}
                else:
                    state[key] = value
            states.append(state)
        progress = {
            "epoch": epoch,
            "step": self._last_step_made,
            "shapes": [value.shape for value in values],
            "states": states,
        }
        temporary = self.path.with_name(f".{self.path.name}")
        with temporary.open("wb") as file:
            np.savez(file, progress=np.array(json.dumps(progress)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        self._unsaved_epoch = None
