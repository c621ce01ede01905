"""The scores of several models as a table: printed, as JSON and as Markdown."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from experiments.cli import write_text
from experiments.console import console, make_table, markdown_table
from experiments.differences import TextDifference, difference
from experiments.evaluation import Evaluation


class Row(NamedTuple):
    """One model of the table.

    Attributes:
        result: the model's evaluation.
        difference: how far it lies from the reference, or in words why nobody can tell; None for
            the reference itself.
    """

    result: Evaluation
    difference: TextDifference | str | None


_COLUMNS = {
    "model": lambda row: row.result.score.name,
    "parameters": lambda row: f"{row.result.score.parameters:,}",
    "file": lambda row: f"{row.result.score.file_bytes / 1e6:.1f} MB",
    "loss": lambda row: f"{row.result.score.loss:.4f}",
    "perplexity": lambda row: f"{row.result.score.perplexity:,.2f}",
    "top 1": lambda row: f"{row.result.score.top1:.1%}",
    "top 5": lambda row: f"{row.result.score.top5:.1%}",
    "bits/char": lambda row: f"{row.result.score.bits_per_character:.3f}",
    "tokens/s": lambda row: f"{row.result.score.tokens_per_second:,.0f}",
}
_LEFT_OUT_BESIDE_DIFFERENCES = ("file", "perplexity")  # of what is printed, to make room


def make_rows(results: Sequence[Evaluation]) -> list[Row]:
    """A row for each model, the lowest loss first; the first one given is the reference."""
    first, *others = results
    rows = [Row(first, None), *(Row(other, difference(other, first)) for other in others)]
    return sorted(rows, key=lambda row: row.result.score.loss)


def _columns(rows):
    """The columns of these rows, and whether there are differences among them."""
    if not any(isinstance(row.difference, TextDifference) for row in rows):
        return _COLUMNS, False
    return {**_COLUMNS, "difference": _mean, "95 % interval": _interval}, True


def _mean(row):
    if row.difference is None:
        return "(first)"
    return f"{row.difference.mean:+.4f}" if isinstance(row.difference, TextDifference) else ""


def _interval(row):
    if not isinstance(row.difference, TextDifference):
        return ""
    return f"{row.difference.low:+.4f} to {row.difference.high:+.4f}"


_TARGET_COLUMNS = {
    "right": lambda found: f"{found.exact_match:.2%}",
    "wrong": lambda found: f"{found.word_error_rate:.2%}",
    "token errors": lambda found: f"{found.token_error_rate:.2%}",
    "wrong, greedy": lambda found: f"{found.greedy['word_error_rate']:.2%}",
    "token errors, greedy": lambda found: f"{found.greedy['token_error_rate']:.2%}",
}


def _of_targets(show):
    """A column of the whole table from one about targets, empty where a model writes none."""
    return lambda row: "" if row.result.targets is None else show(row.result.targets)


def print_rows(rows: Sequence[Row]) -> None:
    """Prints the table, how right targets are, and what it was scored on."""
    columns, are_different = _columns(rows)
    if are_different:
        columns = {k: v for k, v in columns.items() if k not in _LEFT_OUT_BESIDE_DIFFERENCES}
    table = make_table(*columns)
    for row in rows:
        table.add_row(*(show(row) for show in columns.values()))
    console.print(table)
    _print_targets([row for row in rows if row.result.targets is not None])
    scores = [row.result.score for row in rows]
    for text in dict.fromkeys(score.text for score in scores):
        names = ", ".join(score.name for score in scores if score.text == text)
        console.print(f"\nscored on {text}: {names}", soft_wrap=True, end="")
    console.print()
    for line in _notes(rows):
        console.print(line, soft_wrap=True)


def _print_targets(rows):
    """Prints how right targets are, the rightest first."""
    if not rows:
        return
    rows = sorted(rows, key=lambda row: -row.result.targets.exact_match)
    beams = rows[0].result.targets.beams
    console.print(f"\ntargets, written with {beams} beam{'s' * (beams > 1)}")
    table = make_table("model", *_TARGET_COLUMNS)
    for row in rows:
        found = row.result.targets
        table.add_row(row.result.score.name, *(show(found) for show in _TARGET_COLUMNS.values()))
    console.print(table)
    for row in rows:
        found = row.result.targets
        if found.too_long:
            console.print(
                f"{row.result.score.name}: {found.too_long:,} of {found.sources:,} sources are too "
                "long for it and count as wrong",
                soft_wrap=True,
            )


def _notes(rows):
    (reference,) = (row.result.score.name for row in rows if row.difference is None)
    if _columns(rows)[1]:
        yield (
            f"difference: loss less that of {reference} on the same tokens; bootstrap over blocks "
            "of the text"
        )
    for row in rows:
        score = row.result.score
        if isinstance(row.difference, str):
            yield f"{score.name} can't be compared with {reference}: {row.difference}"
        if score.unknown:
            yield (
                f"{score.name}: {score.unknown:.1%} of these words are out of its vocabulary and "
                "count as [UNK]"
            )


def write_json(
    rows: Sequence[Row], path: str, views: Mapping[str, Callable[[Evaluation], object]]
) -> None:
    """Writes the rows as `{"models": [{"name": ..., ...}, ...]}`.

    Args:
        rows: what stands in them.
        path: the file.
        views: what else to tell of each model, by name.
    """
    models = []
    for row in rows:
        model = row.result.score._asdict()
        if row.result.targets is not None:
            model |= row.result.targets._asdict()
        if len(rows) > 1:
            is_known = isinstance(row.difference, TextDifference)
            model["difference"] = row.difference._asdict() if is_known else row.difference
        models.append(model | {name: view(row.result) for name, view in views.items()})
    write_text(path, json.dumps({"models": models}, indent=2) + "\n")


def _writes_targets(rows):
    return any(row.result.targets is not None for row in rows)


def write_markdown(rows: Sequence[Row], path: str) -> None:
    """Writes the rows as a Markdown table."""
    columns = {
        **_columns(rows)[0],
        **{k: _of_targets(v) for k, v in _TARGET_COLUMNS.items() if _writes_targets(rows)},
        "unknown": lambda row: f"{row.result.score.unknown:.1%}",
        "text": lambda row: row.result.score.text,
    }
    lines = markdown_table(
        list(columns), ([show(row) for show in columns.values()] for row in rows)
    )
    write_text(path, "\n".join(lines) + "\n")
