"""How a study comes along, on the terminal."""

import contextlib
import json
from collections.abc import Iterator, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from experiments import runs
from experiments.comparison.study import STUDY, Study, Trial
from experiments.comparison.trial import OUTPUT, PROGRESS, Ending


class Display:
    """One live picture of a study: what is done, what runs, what is to come, the best so far.

    Without a terminal a line for each trial that ends.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console):
        self.console = console

    @contextlib.contextmanager
    def of(self, study: Study, trials: Sequence[Trial]) -> Iterator[None]:
        """Shows the study while these trials are trained."""
        self._running = {}
        self._left = {trial.folder.name: trial for trial in trials}
        self._all = study.trials()
        self._failed = 0
        self._begin = (study.folder / STUDY).stat().st_mtime  # by the clock of that disk
        ended = [trial for trial in self._all if trial.folder.name not in self._left]
        losses = [(_loss(trial), trial.folder.name) for trial in ended]
        self._best = min(losses, default=None)
        whole = Column(no_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}", table_column=whole),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[what]}", table_column=whole),
            TimeElapsedColumn(table_column=whole),
            TextColumn("left"),
            TimeRemainingColumn(table_column=whole),
            console=self.console,
            speed_estimate_period=3600,
        )
        self._whole = self._progress.add_task("", total=len(self._all), what="")
        self._progress.update(self._whole, completed=len(ended))
        self._line = Text(no_wrap=True, overflow="ellipsis")
        picture = Live(Group(self._progress, self._line), console=self.console)
        with picture if self.console.is_terminal else contextlib.nullcontext():
            yield

    def show_end(self, trial: Trial, ending: Ending) -> None:
        """Notes that a trial has ended."""
        name = trial.folder.name
        self._left.pop(name)
        if name in self._running:
            self._progress.remove_task(self._running.pop(name))
        if ending.is_finished:
            loss = _loss(trial)
            self._best = min(self._best or (loss, name), (loss, name))
            what = f"loss {loss:.4f}"
        else:
            self._failed += ending.why is not None
            what = "stopped" if ending.why is None else f"FAILED: {ending.why}"
        done = len(self._all) - len(self._left)
        if not self.console.is_terminal or ending.why is not None:
            self.console.print(f"{done}/{len(self._all)}  {name}  {what}", soft_wrap=True)

    def update(self, is_stopping: bool) -> None:
        """Shows how things are now."""
        if not self.console.is_terminal:
            return
        done = len(self._all) - len(self._left)
        parts = 0.0
        for name, trial in self._left.items():
            step, steps, loss = self._look(trial)
            if step is None:
                continue
            if name not in self._running:
                self._running[name] = self._progress.add_task(_short(name), total=None, what="")
            what = "starting" if loss is None else f"step {step:,}/{steps:,}  loss {loss:.3f}"
            self._progress.update(
                self._running[name], completed=step, total=steps or None, what=what
            )
            parts += step / steps if steps else 0
        to_come = len(self._left) - len(self._running)
        what = f"{len(self._running)} running, {to_come} to come"
        what += f", {self._failed} failed" if self._failed else ""
        self._progress.update(
            self._whole,
            completed=done + parts,
            description="stopping" if is_stopping else f"trials {done}/{len(self._all)}",
            what=what,
        )
        if self._best is not None:
            loss, name = self._best
            self._line.plain = f"best so far: {name}, loss {loss:.4f}"

    def _look(self, trial):
        """Steps made, steps to make and the last loss of a trial; None where it does not run."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            if (trial.folder / OUTPUT).stat().st_mtime < self._begin:
                return None, None, None
            progress = json.loads((trial.folder / PROGRESS).read_text(encoding="utf-8"))
            return progress["step"], progress["steps"], progress["loss"]
        return (0 if (trial.folder / OUTPUT).exists() else None), 0, None


def print_plan(study: Study, console: Console) -> None:
    """Says what a study trains, and how much of it is done."""
    trials = study.trials()
    done = sum(runs.is_finished(trial.folder) for trial in trials)
    seeds = ", ".join(map(str, study.seeds))
    console.print(
        f"study   {study.folder}: {len(study.variants)} variants, seeds {seeds}\n"
        f"trials  {len(trials)}, {done} of them done",
        soft_wrap=True,
    )


def _short(name, length=36):
    """A trial's name with its beginning and its end, where the seed is."""
    return name if len(name) <= length else f"{name[: length - 15]}…{name[-14:]}"


def _loss(trial):
    content = (trial.folder / runs.RESULTS).read_text(encoding="utf-8")
    return json.loads(content)["best.keras"]["loss"]
