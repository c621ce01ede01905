"""How far training has come, on the terminal."""

import time

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

LINE_EVERY_SECONDS = 15


class ProgressBar(keras.callbacks.Callback):
    """One live bar for the whole training: epoch, loss, accuracy, time gone and time left.

    Without a terminal (output into a file or a pipe) a line now and then instead: at the first
    step, at the end, and about every 15 seconds between.

    Use it with `fit(verbose=0)`.

    Args:
        console: the `rich.console.Console` to write to. Default None: standard output.
        last_step: with which batch training ends, counted over all epochs. Default None: the last
            one of the last epoch.

    Example:

    >>> history = model.fit(x, verbose=0, callbacks=[ProgressBar()])  # doctest: +SKIP
    """

    def __init__(self, console: Console | None = None, last_step: int | None = None):
        super().__init__()
        self.console = console or Console()
        self.last_step = last_step

    def on_train_begin(self, logs=None):
        self._epoch = self._step = 0
        self._figures = self._last_line = ""
        self._next_line = time.perf_counter()
        self._bar = None
        if self.console.is_terminal:
            whole = Column(no_wrap=True)
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}", table_column=whole),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[figures]}", table_column=whole),
                TimeElapsedColumn(table_column=whole),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False, table_column=whole),
                console=self.console,
                refresh_per_second=5,
            )
            # The first step compiles the model: no measure for the others.
            self._task = self._bar.add_task(
                "",
                start=False,
                total=self._steps,
                epoch=1,
                epochs=self.params["epochs"],
                figures="compiling",
            )
            self._bar.start()

    @property
    def _steps(self):
        """How many batches the training takes; None where that is not known."""
        steps = self.params["steps"]
        return self.last_step or (steps and self.params["epochs"] * steps)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        steps = self.params["steps"] or 0
        if self._bar is not None and self._step == 0:
            self._bar.start_task(self._task)
        done = min(batch + 1, steps)  # with `steps_per_execution` Keras may count past the end
        self._step = self._epoch * steps + done
        self._show(logs or {})

    def on_epoch_end(self, epoch, logs=None):
        self._show(logs or {})

    def on_train_end(self, logs=None):
        if self._bar is None:
            self._print_line()
        else:
            self._bar.stop()

    def _show(self, logs):
        names = ["loss", "accuracy", "val_loss", "val_accuracy"]
        if self._bar is not None:  # as many as there is room for
            names = names[:3] if self.console.width >= 100 or "val_loss" not in logs else names[::2]
        self._figures = "  ".join(_format(name, logs[name]) for name in names if name in logs)
        if self._bar is not None:
            self._bar.update(
                self._task, completed=self._step, epoch=self._epoch + 1, figures=self._figures
            )
        elif time.perf_counter() >= self._next_line:
            self._print_line()

    def _print_line(self):
        step = f"  step {self._step}/{self._steps}" if self._steps else ""
        line = f"epoch {self._epoch + 1}/{self.params['epochs']}{step}  {self._figures}"
        if line != self._last_line:
            self.console.print(line, soft_wrap=True)
        self._last_line = line
        self._next_line = time.perf_counter() + LINE_EVERY_SECONDS


def _format(name, value):
    return f"{name} {value:.1%}" if name.endswith("accuracy") else f"{name} {value:.4f}"
