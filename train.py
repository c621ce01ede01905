"""Train a small Transformer on a text: `python train.py --layers 2 --heads 2`.

Everything about a run lands in one folder, logs/<run>/: its settings (config.json), the best and
the last model (best.keras, last.keras), and TensorBoard's event files. `training.py` does the work.
"""

from collections.abc import Sequence

import cli
import presets
from data.corpora import CorpusError, is_address, load_corpus
from settings import parse_settings


def main(argv: Sequence[str]) -> int:
    """Runs one training; returns the exit status."""
    settings, flags = parse_settings(argv)
    if flags.list_presets:
        print(presets.describe())
        return 0
    if is_address(settings.corpus):
        cli.import_keras()  # Keras does the fetching
    try:
        corpus = load_corpus(settings.corpus)
    except CorpusError as error:
        raise cli.UsageError(f"argument --corpus: {error}") from error

    cli.import_keras(threads=1 if settings.is_tiny else None)
    import training  # only now: it imports Keras

    data = training.prepare_data(settings, corpus)
    model = training.build_model(settings, corpus, data)
    training.print_plan(settings, data, model)
    if flags.dry_run:
        return 0
    folder = training.make_run_folder(settings, model, flags.run_name)
    finished = training.fit(settings, data, model, folder)
    if not finished:
        return 130
    training.report(settings, data, model, folder)
    return 0


if __name__ == "__main__":
    cli.run(main)
