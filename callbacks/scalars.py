"""Loss, metrics, learning rate, gradient norm and speed, for TensorBoard's scalar dashboard."""

import time
from pathlib import Path

import keras
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from callbacks.event_writer import EventWriter


class Scalars(keras.callbacks.Callback):
    """Writes the figures of each epoch and, if asked, of every few steps.

    Under `train` and `validation` of `log_dir`, with the tags of Keras's own `TensorBoard`
    callback, which takes three times as long where epochs take milliseconds:

    | tag | step | what |
    |---|---|---|
    | `epoch_loss`, `epoch_accuracy`, ... | epoch, from 0 | as `fit` reports them |
    | `evaluation_loss_vs_iterations`, ... | updates made | validation figures |
    | `epoch_learning_rate` | epoch | at its end |
    | `epoch_tokens_per_second` | epoch | without validation, and without the batch that compiles |
    | `batch_loss`, `batch_accuracy` | updates made | means over the batches since the last |
    | `batch_learning_rate` | updates made | that of the next update |
    | `batch_gradient_norm` | updates made | before clipping, where the optimizer keeps it |

    Args:
        log_dir: folder for the two. No other writer than these may use them.
        every: write `batch_` tags every so many updates of the weights. Default None: never.
        tokens_per_batch: how many tokens a batch teaches. Default None: speed is not written.

    Attributes:
        train, validation: the `EventWriter`s, for other callbacks that write to these folders.
        epochs: for each epoch the updates made at its end, and in how many seconds how many of its
            batches were made: all that `epoch_tokens_per_second` counts.

    Example:

    >>> history = model.fit(x, callbacks=[Scalars("logs/run", every=10)])  # doctest: +SKIP
    """

    def __init__(
        self, log_dir: str | Path, every: int | None = None, tokens_per_batch: int | None = None
    ):
        super().__init__()
        self.every = every
        self.tokens_per_batch = tokens_per_batch
        self.train = EventWriter(Path(log_dir) / "train")
        self.validation = EventWriter(Path(log_dir) / "validation")
        self.epochs = []

    def get_state(self) -> dict:
        """What a training that goes on later needs to know."""
        return {
            "train": self.train.position(),
            "validation": self.validation.position(),
            "epochs": self.epochs,
        }

    def set_state(self, state: dict) -> None:
        """Takes back what was written after `get_state`. Call it before `fit`."""
        self.train.rewind(state["train"])
        self.validation.rewind(state["validation"])
        self.epochs = state.get("epochs", [])  # not kept by earlier versions

    def on_train_begin(self, logs=None):
        self.train.open(self)
        self.validation.open(self)
        self._has_validation = False
        self._is_compiled = False
        self._batches_a_step = self.model.optimizer.gradient_accumulation_steps or 1
        self._batches = int(self.model.optimizer.iterations) * self._batches_a_step

    def on_epoch_begin(self, epoch, logs=None):
        self._clock = time.perf_counter()
        self._timed_batches = 0
        self._written = 0, {}  # of this epoch: batches, and the figures after them

    def on_train_batch_end(self, batch, logs=None):
        if not self._is_compiled:
            self._is_compiled = True
            self._clock = time.perf_counter()
        else:
            self._timed_batches += 1
        self._batches += 1  # asking the optimizer takes longer
        if self.every is not None and self._batches % (self.every * self._batches_a_step) == 0:
            self._write_batches(batch + 1, logs or {})

    def on_test_begin(self, logs=None):
        self._seconds = time.perf_counter() - self._clock

    def on_test_end(self, logs=None):
        self._has_validation = True
        figures = {f"evaluation_{name}_vs_iterations": value for name, value in logs.items()}
        self.validation.write(int(self.model.optimizer.iterations), _scalars(figures))

    def on_epoch_end(self, epoch, logs=None):
        if not self._has_validation:
            self._seconds = time.perf_counter() - self._clock
        updates = self._batches // self._batches_a_step
        self.epochs += [(0, 0.0, 0)] * (epoch - len(self.epochs))
        self.epochs.append((updates, self._seconds, self._timed_batches))
        figures = {f"epoch_{name}": value for name, value in (logs or {}).items()}
        figures["epoch_learning_rate"] = float(self.model.optimizer.learning_rate)
        if self.tokens_per_batch is not None and self._timed_batches:
            rate = self._timed_batches * self.tokens_per_batch / self._seconds
            figures["epoch_tokens_per_second"] = rate
        validation = {
            name.replace("_val_", "_"): figures.pop(name)
            for name in list(figures)
            if name.startswith("epoch_val_")
        }
        self.train.write(epoch, _scalars(figures))
        if validation:
            self.validation.write(epoch, _scalars(validation))

    def on_train_end(self, logs=None):
        self.train.close(self)
        self.validation.close(self)

    def _write_batches(self, batches, logs):
        batches_before, before = self._written
        figures = {}
        for name in ("loss", "accuracy"):  # as Keras gives them, means since the epoch began
            if name in logs:
                total = logs[name] * batches - before.get(name, 0.0) * batches_before
                figures[f"batch_{name}"] = total / (batches - batches_before)
        # Asked of `self.model` each time, by which JAX's variables are brought up to date.
        figures["batch_learning_rate"] = float(self.model.optimizer.learning_rate)
        if hasattr(self.model.optimizer, "gradient_norm"):
            figures["batch_gradient_norm"] = float(self.model.optimizer.gradient_norm)
        self.train.write(self._batches // self._batches_a_step, _scalars(figures))
        self._written = batches, dict(logs)


def _scalars(figures):
    return [scalar_pb(name, value) for name, value in figures.items()]
