"""What a study has found: a row for each variant, read from the folders of its trials.

Importing this module does not import Keras.
"""

import dataclasses
import json
import math
import os
import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from experiments import runs
from experiments.comparison.baselines import predict_alike
from experiments.comparison.statistics import Comparison, Difference, compare
from experiments.comparison.study import Study, Variant


class Run(NamedTuple):
    """What one trial came to.

    Attributes:
        loss, accuracy, perplexity: of best.keras, on the validation text (or, where none is kept,
            the training text), in nats a token.
        best_possible: the lowest loss that any model can reach there; None if not known.
        parameters: number of weights.
        steps: updates made.
        tokens: tokens learned from, repeated ones too.
        tokens_per_second: these by the time of the steps alone.
        evaluations: "steps", "seconds" and "losses" of each clean evaluation, arrays.
        file_bytes: size of best.keras.
    """

    loss: float
    accuracy: float
    perplexity: float
    best_possible: float | None
    parameters: int
    steps: int
    tokens: int
    tokens_per_second: float
    evaluations: dict[str, np.ndarray]
    file_bytes: int

    def seconds_to(self, loss: float) -> float:
        """After how many seconds of training the loss was first that low; infinity if never."""
        below = np.flatnonzero(self.evaluations["losses"] <= loss)
        return float(self.evaluations["seconds"][below[0]]) if len(below) else math.inf


class Row(NamedTuple):
    """A variant and its finished trials.

    Attributes:
        variant: the variant.
        runs: by seed.
        failures: by seed, why there is none.
    """

    variant: Variant
    runs: dict[int, Run]
    failures: dict[int, str]

    @property
    def has_failed(self) -> bool:
        """Whether trials were tried and none came to its end."""
        return bool(self.failures) and not self.runs

    @property
    def deviation(self) -> float:
        """Standard deviation of the loss over the seeds; nan with fewer than two."""
        losses = [run.loss for run in self.runs.values()]
        return statistics.stdev(losses) if len(losses) > 1 else math.nan


class Results(NamedTuple):
    """A study's rows, the lowest loss first, and what can be said of them.

    Attributes:
        study: the study.
        rows: by the variant's name.
        comparison: differences to the reference; None while that has no finished trial.
    """

    study: Study
    rows: dict[str, Row]
    comparison: Comparison | None

    @property
    def reference(self) -> Row:
        """The row that the others are compared to."""
        return self.rows[self.study.reference]

    def predicts_alike(self, row: Row) -> bool:
        """Whether a row's losses are of the same tokens as the reference's."""
        return predict_alike(self.study, row.variant, self.reference.variant)

    def difference(self, row: Row) -> Difference | None:
        """What is known of a row against the reference; None for that itself, or other tokens."""
        found = {} if self.comparison is None else self.comparison.differences
        return found.get(row.variant.name)


SHOWN = 12


def shown(results: Results) -> dict[str, Row]:
    """The rows that pictures show: those with a finished trial, the best twelve and the reference.

    More can't be told apart at a glance.
    """
    rows = [name for name, row in results.rows.items() if row.runs]
    chosen = {*rows[:SHOWN], results.study.reference}
    return {name: results.rows[name] for name in rows if name in chosen}


def mean_of(row: Row, figure: Callable[[Run], float] = lambda run: run.loss) -> float:
    """The mean of a figure over a row's seeds; nan without a finished trial."""
    return statistics.fmean(map(figure, row.runs.values())) if row.runs else math.nan


def read_results(study: Study) -> Results:
    """Reads what a study has found so far."""
    rows = {name: Row(variant, {}, {}) for name, variant in study.variants.items()}
    for trial in study.trials():
        row, name = rows[trial.variant], trial.folder.name
        if name in study.failures:
            row.failures[trial.seed] = study.failures[name]
        elif runs.is_finished(trial.folder):
            row.runs[trial.seed] = _read_run(trial.folder)
    in_order = sorted(rows, key=lambda name: (not rows[name].runs, mean_of(rows[name])))
    results = Results(study, {name: rows[name] for name in in_order}, None)
    losses = {
        name: {seed: run.loss for seed, run in row.runs.items()}
        for name, row in results.rows.items()
        if row.runs and results.predicts_alike(row)
    }
    if study.reference not in losses:
        return results
    return results._replace(comparison=compare(losses, study.reference))


def notes(results: Results) -> list[str]:
    """What differs between the variants besides what was varied, and what is missing: sentences."""
    found = []
    others = [
        name for name, row in results.rows.items() if row.runs and not results.predicts_alike(row)
    ]
    if others:
        found.append(
            f"Other tokens than those of {results.study.reference} are predicted by "
            f"{', '.join(others)}: a loss a token says nothing between them, and there is no "
            "verdict. On one and the same text bits a character compare them."
        )
    for what, figure in (
        ("parameters", lambda run: run.parameters),
        ("steps", lambda run: run.steps),
        ("tokens learned from", lambda run: run.tokens),
    ):
        means = [mean_of(row, figure) for row in results.rows.values() if row.runs]
        if means and max(means) > min(means):
            found.append(
                f"The budgets are not equal: {what} range from {min(means):,.0f} to "
                f"{max(means):,.0f}."
            )
    contexts = {variant.settings.context_length for variant in results.study.variants.values()}
    if len(contexts) > 1:
        found.append(
            "The contexts differ. In a longer one fewer tokens have only a few before them, which "
            "by itself lowers the loss: evaluate.py --by position compares where as much was read."
        )
    others = _other_differences(results.study)
    if others:
        found.append(f"Besides what was varied, these settings differ: {', '.join(others)}.")
    for name, row in results.rows.items():
        found += [f"{name}, seed {seed}: {why}" for seed, why in row.failures.items()]
        open_ = [seed for seed in results.study.seeds if seed not in row.runs | row.failures]
        if open_:
            found.append(f"{name}: not trained yet with seed {', '.join(map(str, open_))}.")
    return found


def _other_differences(study):
    """The names of settings that differ between variants though they were not varied."""
    settings = [dataclasses.asdict(variant.settings) for variant in study.variants.values()]
    return [
        name
        for name in settings[0]
        if name not in study.vary and len({str(of[name]) for of in settings}) > 1
    ]


def _read_run(folder) -> Run:
    results = _read_json(folder / runs.RESULTS)
    training = _read_json(folder / runs.TRAINING)
    best = results["best.keras"]
    tokens_a_step = training["tokens_a_step"]
    seconds = training["seconds"]
    return Run(
        loss=best["loss"],
        accuracy=best["accuracy"],
        perplexity=best["perplexity"],
        best_possible=results.get("best possible", {}).get("loss"),
        parameters=training["parameters"],
        steps=training["steps"],
        tokens=training["steps"] * tokens_a_step,
        tokens_per_second=training["timed_steps"] * tokens_a_step / seconds if seconds else 0.0,
        evaluations={name: np.array(of) for name, of in training["evaluations"].items()},
        file_bytes=os.path.getsize(folder / "best.keras"),
    )


def _read_json(path) -> Mapping:
    return json.loads(path.read_text(encoding="utf-8"))
