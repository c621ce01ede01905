"""What a study has found, in sentences and in the cells of a table; for every kind of report."""

import math
import shlex
from collections.abc import Callable

from experiments.comparison.baselines import known_of
from experiments.comparison.results import SHOWN, Results, Row, Run, mean_of, shown
from experiments.comparison.statistics import LEVEL
from experiments.comparison.varying import show_seeds

TRIGRAM = 3
ONE_SEED = "one seed"


def command(results: Results) -> str:
    """The command that makes the study, or goes on with it."""
    study = results.study
    words = ["python", "compare.py", *study.base]
    for name, values in study.vary.items():
        words += ["--vary", f"{name}={','.join(values)}"]
    words += ["--seeds", show_seeds(study.seeds)]
    words += ["--only-one-at-a-time"] if study.one_at_a_time else []
    if study.reference != next(iter(study.variants)):
        words += ["--reference", study.reference]
    return shlex.join([*words, "--study", study.folder.name])


def sentences(results: Results) -> list[str]:
    """What is known, and how well."""
    comparison, reference = results.comparison, results.study.reference
    if comparison is None:
        return [f"No trial of the reference, {reference}, has ended yet."]
    said = []
    for verdict, words in (
        ("better", f"Better than {reference}"),
        ("worse", f"Worse than {reference}"),
        ("can't tell", f"Can't tell from {reference}"),
    ):
        names = [
            name
            for name in results.rows
            if name in comparison.differences and comparison.differences[name].verdict == verdict
        ]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        said += [f"{words}: {', '.join(names[:SHOWN])}{more}."] if names else []
    if any(_is_beaten(results, row) for row in results.rows.values()):
        said.append("* A trigram model, which only counts, is better on the same tokens.")
    if comparison.detectable is not None:
        said.append(
            f"From seed to seed a loss differs by {comparison.noise:.4f} (standard deviation; what "
            "a seed does to all variants alike is left out). Such a study finds a difference of "
            f"{comparison.detectable:.4f} in 80 % of cases, and a smaller one less often."
        )
    elif comparison.differences:
        said.append("With one seed there is no verdict: another seed may turn the order around.")
    return said


def method(results: Results) -> list[str]:
    """How to read the figures."""
    part = "validation" if results.study.settings.validates else "training"
    said = [
        f"Losses are those of best.keras on the {part} text, in nats a token: a mean over the "
        "tokens that are predicted, then over the seeds. (best.keras is the file with the lowest "
        "such loss, for all variants alike.)"
    ]
    if results.comparison is not None and results.comparison.differences:
        how = "A verdict is given by a t test of the paired differences."
        if len(results.comparison.differences) > 1:
            how = (
                "A verdict is given where two tests agree: one with the noise of all variants "
                "pooled and Holm's correction for many comparisons, one with the noise of the two "
                "variants alone."
            )
        said.append(
            "Differences are paired by seed: with the same seed, variants that read alike get the "
            f"same batches in the same order. {how} So of studies of equal variants at most "
            f'{LEVEL:.0%} have a verdict other than "can\'t tell". The intervals (95 %) agree with '
            "the verdicts."
        )
    if len(shown(results)) < sum(bool(row.runs) for row in results.rows.values()):
        said.append(
            f"Pictures show the reference and the {SHOWN} variants of the lowest loss; the table "
            "has all."
        )
    said.append(
        "Tokens a second are those of the steps alone, on the machine that trained them, beside "
        "the other trials that it trained then: good for comparing variants, no measure of a "
        "machine."
    )
    return said


def _difference(results: Results, row: Row) -> str:
    found = results.difference(row)
    if found is None:
        return "reference" if row is results.reference else ""
    return "" if found.mean is None else f"{found.mean:+.4f}"


def _interval(results: Results, row: Row) -> str:
    found = results.difference(row)
    if found is None or found.low is None:
        return ""
    return f"{found.low:+.4f} to {found.high:+.4f}"


def _verdict(results: Results, row: Row) -> str:
    if row.has_failed:
        return "failed"
    if not results.predicts_alike(row):
        return "other tokens"
    found = results.difference(row)
    return "" if found is None else found.verdict


def _bits(results: Results, row: Row) -> str:
    known = known_of(results.study, row.variant)
    if known is None or not row.runs:
        return ""
    return f"{mean_of(row) / math.log(2) * known['tokens'] / known['characters']:.3f}"


def _seconds_to_reference(results: Results, row: Row) -> str:
    if not row.runs or not results.reference.runs or not results.predicts_alike(row):
        return ""
    goals = {seed: run.loss for seed, run in results.reference.runs.items()}
    seconds = [row.runs[seed].seconds_to(goals[seed]) for seed in row.runs.keys() & goals]
    reached = [value for value in seconds if math.isfinite(value)]
    if not reached:
        return "never"
    text = f"{sum(reached) / len(reached):,.0f} s"
    return text if len(reached) == len(seconds) else f"{text} ({len(reached)} of {len(seconds)})"


def _mean(show: str, figure: Callable[[Run], float]) -> Callable[[Results, Row], str]:
    return lambda results, row: format(mean_of(row, figure), show) if row.runs else ""


def name_of(results: Results, row: Row) -> str:
    """The variant's name, with a mark where a trigram model is better."""
    return row.variant.name + (" *" if _is_beaten(results, row) else "")


def _is_beaten(results: Results, row: Row) -> bool:
    """Whether a trigram model is better."""
    known = known_of(results.study, row.variant)
    if known is None or not row.runs or not known["n-grams"]:
        return False
    return known["n-grams"][TRIGRAM - 1] < mean_of(row)


# A column's title, and the text of its cells.
COLUMNS: dict[str, Callable[[Results, Row], str]] = {
    "variant": name_of,
    "loss": _mean(".4f", lambda run: run.loss),
    "sd": lambda results, row: "" if math.isnan(row.deviation) else f"{row.deviation:.4f}",
    "difference": _difference,
    "95 % interval": _interval,
    "verdict": _verdict,
    "loss of each seed": lambda results, row: ", ".join(
        f"{run.loss:.4f}" for _, run in sorted(row.runs.items())
    ),
    "perplexity": _mean(".3f", lambda run: run.perplexity),
    "accuracy": _mean(".1%", lambda run: run.accuracy),
    "bits/char": _bits,
    "parameters": _mean(",.0f", lambda run: run.parameters),
    "steps": _mean(",.0f", lambda run: run.steps),
    "tokens": _mean(",.0f", lambda run: run.tokens),
    "tokens/s": _mean(",.0f", lambda run: run.tokens_per_second),
    "to the reference's loss": _seconds_to_reference,
    "file": _mean(".1f", lambda run: run.file_bytes / 1e6),
}
PRINTED = ("variant", "loss", "sd", "difference", "95 % interval", "verdict")


def cells(results: Results) -> dict[str, list[str]]:
    """For each variant its row of the table, the lowest loss first."""
    return {
        name: [show(results, row) for show in COLUMNS.values()]
        for name, row in results.rows.items()
    }


def baselines(results: Results) -> list[tuple[str, float]]:
    """What is reached without a Transformer on the reference's text: names and losses.

    The lowest comes first: n-gram models, guessing, and the best possible where that is known.
    """
    known = known_of(results.study, results.reference.variant)
    found = []
    if known is not None:
        found += [(f"{order}-gram", loss) for order, loss in enumerate(known["n-grams"], start=1)]
        found.append(("uniform guessing", known["uniform"]))
    floors = {run.best_possible for run in results.reference.runs.values()} - {None}
    found += [("best possible", floor) for floor in floors]
    return sorted(found, key=lambda pair: pair[1])
