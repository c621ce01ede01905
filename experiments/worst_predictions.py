"""Where a model was most wrong: `evaluate.py --worst`."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from callbacks.visible import visible
from experiments.console import console, make_table
from experiments.evaluation import Evaluation

_BEFORE, _TOKEN, _AFTER = 30, 14, 14  # characters that are printed


class WorstPrediction(NamedTuple):
    """A token that a model did not expect.

    Attributes:
        number: which of the predicted tokens it is, from 0.
        before: the text that it was predicted from, all that the model read.
        token: what came.
        after: what follows in the text.
        loss: in nats; NaN where the model gave no number.
        probability: what the model gave to the token, 0 to 1.
        expected: the token that it found likeliest.
        expected_probability: what it gave to that one.
    """

    number: int
    before: str
    token: str
    after: str
    loss: float
    probability: float
    expected: str
    expected_probability: float


def worst_predictions(result: Evaluation, count: int) -> list[WorstPrediction]:
    """The tokens with the highest loss, the highest first; of equal ones the earlier first."""
    found, tokenizer, targets = result.predictions, result.tokenizer, result.examples.targets
    worst = np.argsort(-np.nan_to_num(found.losses, nan=np.inf), kind="stable")[:count]
    rows = []
    for number in worst.tolist():
        before, after = map(tokenizer.decode, result.examples.surroundings(number))
        if result.source_tokenizer is not None:  # a target is predicted from its source, too
            source = result.source_tokenizer.decode(result.examples.source_of(number))
            before = f"{source} → {before}"
        token, expected = tokenizer.tokens([int(targets[number]), int(found.likeliest[number])])
        loss = float(found.losses[number])
        rows.append(
            WorstPrediction(
                number,
                before,
                token,
                after,
                loss,
                math.exp(-loss),
                expected,
                float(found.confidences[number]),
            )
        )
    return rows


def print_worst(results: Sequence[Evaluation], count: int) -> None:
    """Prints for each model its worst predictions, each marked in its surroundings."""
    for result in results:
        rows, separator = worst_predictions(result, count), result.tokenizer.separator
        console.print(
            f"\nworst predictions of {result.score.name}: {len(rows)} of "
            f"{result.examples.count:,} tokens, each between » and «",
            soft_wrap=True,
        )
        table = make_table("in the text", "expected", "with", "loss", "probability", texts=2)
        for row in rows:
            before, after = _one_line(row.before + separator), _one_line(separator + row.after)
            cut = before if len(before) <= _BEFORE else f"…{before[1 - _BEFORE :]}"
            after = after if len(after) <= _AFTER else f"{after[: _AFTER - 1]}…"
            table.add_row(
                f"{cut:>{_BEFORE}}»{_shown(row.token)}«{after}",
                _shown(row.expected),
                f"{row.expected_probability:.1%}",
                f"{row.loss:.2f}",
                f"{row.probability:.1e}",
            )
        console.print(table)


def _one_line(text):
    return text.translate({ord("\n"): "↵", ord("\r"): "↵", ord("\t"): "⇥"})


def _shown(token):
    token = _one_line(visible(token))
    return token if len(token) <= _TOKEN else f"{token[: _TOKEN - 1]}…"
