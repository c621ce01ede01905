"""Compare variants: `python compare.py --vary position=sinusoidal,rotary,none --seeds 3`.

Trains every variant with every seed, and reports which differ: a study. Everything about it lands
in one folder, logs/<study>/: a run folder for each training, study.json, and the report
(report.md, report.html and pictures). `experiments/comparison/` does the work.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import cli, runs
from experiments.comparison.known_results import KNOWN_RESULTS, KnownResult
from experiments.comparison.study import Study, open_study
from experiments.comparison.varying import read_seeds, read_vary
from experiments.flags import is_folder_name, parse_settings

# What `python compare.py` alone does.
TOY = ("--epochs", "300"), ("position=sinusoidal,learned,rotary,alibi,none",)


def make_parser() -> cli.ArgumentParser:
    """The parser of `compare.py`'s own flags."""
    parser = cli.ArgumentParser(
        prog="compare.py",
        usage="%(prog)s [-h] [--vary NAME=VALUE,VALUE ...] [--seeds N] [flags of train.py]",
        description="Train variants with several seeds each, and report which of them differ. "
        "Alone it does a small study of the toy. A study that was stopped, or that is to get more "
        "seeds or values, goes on with the same command.",
        epilog="All flags of train.py hold for every variant; see train.py --help. Flags may be "
        "written with - or _.",
    )
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="NAME=VALUE,...",
        help="a setting of train.py, or preset, and its values (of switches yes and no); given "
        "again, every combination",
    )
    parser.add_argument(
        "--seeds",
        type=read_seeds,
        metavar="N",
        help="train each variant with the seeds 0 to N - 1, or with spans such as 10-14 (3)",
    )
    parser.add_argument(
        "--only-one-at-a-time",
        action="store_true",
        help="vary one setting after the other from the base, not all combinations",
    )
    parser.add_argument(
        "--reference",
        metavar="VARIANT",
        help="what the others are compared to, by its whole name, such as position=rotary (the "
        "first)",
    )
    parser.add_argument(
        "--study",
        type=cli.text("the name of a folder", is_folder_name),
        metavar="NAME",
        help="the study's folder in --logs (from corpus and what varies)",
    )
    parser.add_argument(
        "--reproduce",
        choices=tuple(KNOWN_RESULTS),
        help="train what shows a known result, and say whether it is found again",
    )
    parser.add_argument(
        "--workers",
        type=cli.number(int, least=1),
        metavar="N",
        help="train N at a time (one a core, as far as there is memory)",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="hand the trainings to a Dask cluster, such as tcp://HOST:8786, whose workers see "
        "this folder under the same path",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be trained, and stop"
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Runs or goes on with a study; returns the exit status."""
    flags, base = make_parser().parse_known_args(cli.dashed(argv))
    known = KNOWN_RESULTS.get(flags.reproduce)
    if known is not None:
        flags, base = make_parser().parse_known_args(
            ["--study", f"reproduce-{known.name}", *known.flags, *cli.dashed(argv)]
        )
    vary = read_vary(flags.vary)
    settings, _ = parse_settings(base)
    if not argv:
        base, vary = TOY[0], read_vary(TOY[1])
    elif not vary and flags.seeds is None:
        raise cli.UsageError(
            "argument --vary: expected a setting and its values, such as position=rotary,alibi, or "
            "--seeds, got none"
        )
    name = flags.study or "-".join(["study", Path(settings.corpus).stem, *vary])
    study = open_study(
        Path(settings.logs) / name,
        base,
        vary,
        flags.seeds or (0, 1, 2),
        flags.only_one_at_a_time,
        flags.reference,
    )
    sources = {variant.settings.corpus for variant in study.variants.values()}
    study.keep_texts({source: cli.find_corpus(source).sha256 for source in sorted(sources)})
    from experiments.comparison import display, scheduling  # only now: errors come first
    from experiments.console import console

    display.print_plan(study, console)
    if flags.dry_run:
        return 0
    try:
        with scheduling.open_executor(study, flags.workers, flags.scheduler) as executor:
            has_ended = scheduling.run(study, executor, display.Display(console))
        return report_study(study, known, has_ended)
    except OSError as error:
        reason = runs.why_unwritable(study.folder, error)
        if reason is None:
            raise
    print(
        f"compare.py: error: {study.folder}: can't be written ({reason}); the same command goes on "
        "when it can",
        file=sys.stderr,
    )
    return 1


def report_study(study: Study, known: KnownResult | None, has_ended: bool) -> int:
    """Reports what a study has found, and judges it if it has ended; returns the exit status."""
    from experiments.comparison import report, results

    found = results.read_results(study)
    report.write(found)
    report.print_summary(found)
    if not has_ended:
        print("stopped: the same command goes on")
        return 130
    if study.failures:
        return 1
    return 0 if known is None or report.judge(known, study) else 1


if __name__ == "__main__":
    cli.run(main)
