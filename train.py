"""Train a small Transformer on a text: `python train.py --layers 2 --heads 2`.

Everything about a run lands in one folder, logs/<run>/: its settings (config.json), the best and
the last model (best.keras, last.keras), a checkpoint to go on from (checkpoint.npz), its figures
(results.json), how the training went (training.json), and TensorBoard's event files.
`experiments/training.py` does the work.
"""

import sys
from collections.abc import Sequence

from experiments import cli, presets, runs
from experiments.flags import make_parser, parse_settings, resume_settings
from experiments.settings import Settings


def main(argv: Sequence[str]) -> int:
    """Runs one training, or goes on with one; returns the exit status."""
    flags = make_parser().parse_args(argv)
    if flags.list_presets:
        print(presets.describe())
        return 0
    if flags.resume is None:
        settings, _ = parse_settings(argv)
        folder = None
    else:
        folder = runs.find_folder(flags.logs or Settings.logs, flags.resume)
        saved, _ = parse_settings(["--config", str(folder / runs.CONFIG)])
        settings = resume_settings(argv, saved)
        if settings == saved and runs.is_finished(folder):
            print(f"{folder} is finished; more --steps or --epochs go on with it")
            return 0
    corpus, validation = (
        find_text(part, settings, flags, folder) for part in ("corpus", "validation")
    )

    cli.import_keras(settings.threads_an_operation)
    # Only now: they import Keras.
    from experiments import costs, devices, preparation, processes, reports, training

    if flags.coordinator is not None and not flags.dry_run:
        processes.connect(flags, settings, corpus, validation)
    data = preparation.prepare_data(settings, corpus, validation)
    layout = flags.devices or flags.processes or 1, flags.model_parallel or 1
    if flags.dry_run:  # the devices need not be there
        devices.check(settings, *layout)
    else:
        devices.distribute(settings, *layout)
    model = training.build_model(settings, corpus, data)
    if processes.is_first():
        reports.print_plan(settings, data, model)
    if flags.dry_run:
        costs.print_costs(costs.estimate(settings, data, model, *layout), *layout)
        return 0
    folder = training.open_folder(settings, corpus, data, model, flags.run_name, folder)
    try:
        return train(settings, data, model, folder)
    except cli.UsageError:
        raise
    except Exception as error:
        going_on = f"; --resume {folder.name} goes on when it can" if folder.exists() else ""
        reason = runs.why_unwritable(folder, error)
        if reason is not None:
            message = f"{folder}: can't be written ({reason}){going_on}"
        elif processes.is_about_another(error):
            message = f"another process has ended{going_on if processes.is_first() else ''}"
        else:
            raise
    print(f"train.py: error: {message}", file=sys.stderr, flush=True)
    if processes.count() > 1:
        processes.end_at_once(1)
    return 1


def find_text(part, settings, flags, folder):
    """The run's corpus or what it is validated on; None where nothing is.

    A run that goes on finds the text where it lay, or where the flag says that it lies now.
    """
    source, sha256 = getattr(settings, part), None
    if source is None:
        return None
    if folder is not None:
        source, sha256 = runs.read_corpus_provenance(folder, part)
        source = getattr(flags, part) or source
    text = cli.find_corpus(source, cli.flag_of(part))
    if folder is not None and text.sha256 != sha256:
        raise cli.UsageError(
            f"argument --resume: {source} is not the text that {folder} was begun on, or has "
            "changed since"
        )
    return text


def train(settings, data, model, folder) -> int:
    """Trains and reports in a run's folder; returns the exit status."""
    from experiments import processes, reports, training

    outcome = training.fit(settings, data, model, folder)
    if not processes.is_first():  # which says how it went
        if outcome.stopped_by is not None:
            return 128 + outcome.stopped_by
        return 0 if outcome.diverged_at is None else 3
    if outcome.diverged_at is not None:
        print(
            f"train.py: error: the loss is no number after step {outcome.diverged_at:,}: a lower "
            f"--learning-rate may help; {folder} keeps the last good checkpoint",
            file=sys.stderr,
        )
        return 3
    if outcome.stopped_by is not None:
        word = cli.ENDS[outcome.stopped_by]
        print(f"\n{word}: --resume {folder.name} goes on; the model so far is last.keras")
        return 128 + outcome.stopped_by
    figures = reports.write_results(settings, data, model, folder, outcome)
    reports.print_results(settings, data, model, folder, figures)
    return 0


if __name__ == "__main__":
    cli.run(main)
