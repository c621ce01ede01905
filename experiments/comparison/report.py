"""Writes what a study has found: report.md, report.html, pictures; and prints the main of it."""

import operator
import os

from experiments import cli
from experiments.comparison import findings, mean_rows, page, pictures
from experiments.comparison.known_results import KnownResult
from experiments.comparison.results import Results, mean_of, notes, shown
from experiments.comparison.study import Study
from experiments.comparison.trial import OUTPUT, call_in_process
from experiments.comparison.varying import typed
from experiments.console import console, make_table, markdown_table

REPORT, JUDGED = "report.md", "known-result.png"


def write(results: Results) -> None:
    """Writes report.md, report.html and the pictures into the study's folder."""
    folder = results.study.folder
    names = pictures.write(results, folder)
    lines = [f"# {folder.name}", ""]
    lines += [f"{sentence}\n" for sentence in findings.sentences(results)]
    lines += [*markdown_table(list(findings.COLUMNS), findings.cells(results).values()), ""]
    lines += [*[f"- {note}" for note in notes(results)], ""]
    lines += [f"![{what}]({name})\n" for name, what in names.items()]
    baselines = [[name, f"{loss:.4f}"] for name, loss in findings.baselines(results)]
    if baselines:
        lines += ["## On the same tokens, without a Transformer", ""]
        lines += [*markdown_table(["model", "loss"], baselines), ""]
    lines += ["## How it was made", "", "```sh", findings.command(results), "```", ""]
    lines += [f"{sentence}\n" for sentence in findings.method(results)]
    (folder / REPORT).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    page.write(results, folder)
    rows = _mean_rows(results)
    call_in_process(
        mean_rows.write, folder, rows, place=os.getcwd(), output=folder / mean_rows.FOLDER / OUTPUT
    )


def print_summary(results: Results) -> None:
    """Prints the table's first columns, what is known, and where the rest is."""
    table = make_table(*findings.PRINTED, gap=2)
    places = [list(findings.COLUMNS).index(column) for column in findings.PRINTED]
    cells = findings.cells(results)
    chosen = shown(results)
    for name, row in results.rows.items():
        if name in chosen or row.has_failed:
            table.add_row(*(cells[name][place] for place in places))
    console.print()
    console.print(table)
    left_out = len(cells) - table.row_count
    if left_out:
        console.print(f"... and {left_out} more: see the report")
    console.print()
    for sentence in (*findings.sentences(results), *notes(results)):
        console.print(sentence)
    folder = results.study.folder
    console.print(
        f"\nreport    {folder / page.PAGE} (or {REPORT} there)\n"
        f"watch it  tensorboard --logdir {folder} --samples_per_plugin images=1000,text=1000",
        soft_wrap=True,
    )


def judge(known: KnownResult, study: Study) -> bool:
    """Says whether a known result is found again, and adds that to report.md with a picture."""
    trials = {name: {} for name in study.variants}
    for trial in study.trials():
        trials[trial.variant][trial.seed] = trial.folder
    cli.import_keras()
    with console.status("judging"):
        verdict = known.judge(trials)
    verdict.figure.savefig(study.folder / JUDGED, dpi=120)
    words = {True: "PASS", False: "FAIL"}
    table = make_table("", f"known result: {known.name}", "measured", texts=3, gap=2)
    lines = ["", "## Known result", "", f"{known.expected} ({known.source})", ""]
    claims = [[words[claim.passed], claim.text, claim.measured] for claim in verdict.claims]
    for cells in claims:
        table.add_row(*cells)
    lines += [
        *markdown_table(["", "expected", "measured"], claims),
        "",
        f"![{known.name}]({JUDGED})",
    ]
    with (study.folder / REPORT).open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    console.print(f"\n{known.expected}\nfrom {known.source}\n", soft_wrap=False)
    console.print(table)
    console.print(f"\n{words[verdict.passed]}: {known.name}  ({study.folder / JUDGED})")
    return verdict.passed


def _mean_rows(results):
    """What `mean_rows.write` takes, of the variants with more than one finished trial."""
    rows = {}
    for name, row in results.rows.items():
        if len(row.runs) < 2:
            continue
        steps, losses, _, _ = pictures.mean_curve(row)
        values = {setting: typed(setting, text) for setting, text in row.variant.values.items()}
        rows[name] = {
            "hparams": {**values, "seed": f"mean of {len(row.runs)}"},
            "figures": {
                figure: mean_of(row, operator.attrgetter(figure))
                for figure in ("loss", "accuracy", "perplexity")
            },
            "curve": (steps.tolist(), losses.tolist()),
        }
    return rows
