"""How far training has come, on the terminal."""

import time

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY_SECONDS = 15


class ProgressBar(keras.callbacks.Callback):
    """One live bar for the whole training: epoch, loss, accuracy, time gone and time left.

    Without a terminal (output into a file or a pipe) a line now and then instead: the first
    epoch, the last one, and one about every 15 seconds between.

    Use it with `fit(verbose=0)`.

    Args:
        console: the `rich.console.Console` to write to. Default None: standard output.

    Example:

    >>> history = model.fit(x, verbose=0, callbacks=[ProgressBar()])  # doctest: +SKIP
    """

    def __init__(self, console: Console | None = None):
        super().__init__()
        self.console = console or Console()

    def on_train_begin(self, logs=None):
        self._figures = ""
        self._epoch = 0
        self._step = 0
        self._next_line = time.perf_counter()
        self._bar = None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[figures]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
                console=self.console,
                refresh_per_second=5,
            )
            steps = self.params["steps"]
            self._task = self._bar.add_task(
                "training",
                total=self.params["epochs"] * steps if steps else None,
                epoch=1,
                epochs=self.params["epochs"],
                figures="",
            )
            self._bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        self._show(logs or {})

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        self._show(logs)
        is_last = epoch + 1 == self.params["epochs"]
        if self._bar is None and (is_last or time.perf_counter() >= self._next_line):
            self._print_line()

    def on_train_end(self, logs=None):
        if self._bar is not None:
            self._bar.stop()

    def _show(self, logs):
        names = [name for name in ("loss", "accuracy", "val_loss", "val_accuracy") if name in logs]
        self._figures = "  ".join(_format(name, logs[name]) for name in names)
        if self._bar is not None:
            self._bar.update(
                self._task, completed=self._step, epoch=self._epoch + 1, figures=self._figures
            )
        elif time.perf_counter() >= self._next_line and self._step > 1:
            self._print_line()

    def _print_line(self):
        self._next_line = time.perf_counter() + LINE_EVERY_SECONDS
        epochs, steps = self.params["epochs"], self.params["steps"]
        step = f"  step {self._step}/{epochs * steps}" if steps else ""
        self.console.print(
            f"epoch {self._epoch + 1}/{epochs}{step}  {self._figures}", soft_wrap=True
        )


def _format(name, value):
    return f"{name} {value:.1%}" if name.endswith("accuracy") else f"{name} {value:.4f}"
