"""What is said about a training before it begins and after it has ended."""

import dataclasses
import shutil
from pathlib import Path

import keras

import callbacks
import models
from experiments import runs
from experiments.console import console, make_table
from experiments.preparation import Data
from experiments.settings import Settings


def print_plan(settings: Settings, data: Data, model: models.LanguageModel) -> None:
    """Says what is about to be trained, and on what."""
    console.print(
        f"corpus  {settings.corpus}: {len(data.tokenizer.pieces):,} {data.tokenizer.pieces_name} "
        f"known, {data.training.count:,} {data.training.unit} to train on, "
        + (
            f"{data.evaluation.count:,} to validate on\n"
            if settings.validation_split
            else "none kept for validation\n"
        )
        + f"model   {settings.model}: {settings.num_layers} layers, {settings.num_heads} heads, "
        f"d_model {settings.d_model}, {model.count_params():,} parameters",
        soft_wrap=True,
    )


def report(settings: Settings, data: Data, model: models.LanguageModel, folder: Path) -> None:
    """Evaluates what was saved and says how good it is, where it is, and what to do next."""
    best = keras.saving.load_model(folder / "best.keras")
    evaluation_data = data.evaluation.evaluation_batches(settings.batch_size)
    figures = {
        "best.keras": best.evaluate(evaluation_data, verbose=0, return_dict=True),
        "last.keras": model.evaluate(evaluation_data, verbose=0, return_dict=True),
    }
    _write_hparams(settings, figures["best.keras"], folder)
    best_possible = None if settings.validation_split else data.training.best_possible()
    if best_possible is not None:
        figures["best possible"] = best_possible

    _print_figures("validation" if settings.validation_split else "training", figures)
    _print_predictions(best, data.samples)
    console.print(
        f"\nbest model  {folder / 'best.keras'}\n"
        f"last model  {folder / 'last.keras'}\n"
        f"watch it    tensorboard --logdir {folder.parent} "
        "--samples_per_plugin images=1000,text=1000",
        soft_wrap=True,
    )
    runs.write_json(folder / runs.RESULTS, figures)


def _write_hparams(settings, figures, folder):
    """The figures, and the settings that differ from the defaults, for TensorBoard's HParams."""
    defaults = dataclasses.asdict(Settings())
    hparams = {
        key: value
        for key, value in dataclasses.asdict(settings).items()
        if isinstance(value, int | float | str) and value != defaults[key] and key != "logs"
    }
    shutil.rmtree(folder / "hparams", ignore_errors=True)  # where earlier versions wrote them
    callbacks.write_hparams(folder / "validation", hparams, figures, folder.name)


def _print_figures(part, figures):
    table = make_table(f"on the {part} text", "loss", "accuracy", "perplexity", gap=2)
    for name, row in figures.items():
        table.add_row(
            name, f"{row['loss']:.4f}", f"{row['accuracy']:.1%}", f"{row['perplexity']:.3f}"
        )
    console.print()
    console.print(table)


def _print_predictions(model, samples):
    table = make_table("prompt", "followed by", "predicted", texts=3)
    probabilities = model.next_token_probabilities([prompt for prompt, _ in samples])
    for (prompt, expected), row in zip(samples, probabilities, strict=True):
        predicted = ", ".join(
            f"{callbacks.visible(token)} {p:.1%}" for token, p in model.top_tokens(row, 3)
        )
        table.add_row(prompt, expected, predicted)
    console.print()
    console.print(table)
