"""What is said about a training before it begins and after it has ended."""

import dataclasses
import shutil
from pathlib import Path

import callbacks
import models
from data.masked import MaskedTexts
from data.pairs import Pairs
from experiments import runs, training
from experiments.console import console, make_table
from experiments.preparation import Data
from experiments.settings import FIELDS, Settings


def print_plan(settings: Settings, data: Data, model: models.ZooModel) -> None:
    """Says what is about to be trained, and on what."""
    known = "" if writes_targets(data) else f"{_known(data.tokenizer)} known, "
    training, evaluation = (
        examples.pairs if writes_targets(data) else examples.count
        for examples in (data.training, data.evaluation)
    )
    console.print(
        f"corpus  {settings.corpus}: {known}{training:,} {data.training.unit} to train on, "
        + (
            f"{evaluation:,} to validate on\n"
            if settings.validates
            else "none kept for validation\n"
        )
        + (_shapes(settings, data) if writes_targets(data) else "")
        + f"model   {settings.model}: {settings.num_layers} layers, {settings.num_heads} heads, "
        f"d_model {settings.d_model}, {model.count_params():,} parameters",
        soft_wrap=True,
    )


def writes_targets(data: Data) -> bool:
    """Whether the model of a run writes targets after sources."""
    return isinstance(data.evaluation, Pairs)


def _known(tokenizer):
    return f"{len(tokenizer.pieces):,} {tokenizer.pieces_name}"


def _shapes(settings, data):
    """What pairs come in: their tokens, the sizes of batches, padding, what is left out."""
    if data.source_tokenizer is None:
        known = f"{_known(data.tokenizer)} of sources and targets"
    else:
        known = f"{_known(data.source_tokenizer)} of sources, {_known(data.tokenizer)} of targets"
    shapes = ", ".join(f"{source} x {target}" for _, source, target in data.training.shapes)
    lines = f"known   {known}\nshapes  {shapes} tokens, {data.training.padding:.0%} padding\n"
    parts = {"training": data.training}
    parts |= {"validation": data.evaluation} if settings.validates else {}
    for name, examples in parts.items():
        if examples.left_out:
            lines += (
                f"left out {examples.left_out:,} pairs of {name} with a side of more than "
                f"{settings.context_length - 1} tokens (see --context-length)\n"
            )
    return lines


def write_results(
    settings: Settings,
    data: Data,
    model: models.ZooModel,
    folder: Path,
    outcome: training.Outcome,
    hparams: dict | None = None,
) -> dict[str, dict[str, float]]:
    """Evaluates what was saved and not evaluated yet, and writes the last files of a run.

    These are training.json (how the training went), the run's row in TensorBoard's HParams, and
    results.json. The model has the weights of best.keras afterwards.

    Args:
        settings, data, model, folder: of the run.
        outcome: what `training.fit` gave.
        hparams: what sets the run apart, for its row. Default None: the settings that differ from
            the defaults.

    Returns:
        For "best.keras" and "last.keras", and "best possible" where that is known, loss, accuracy
        and perplexity. Where targets are written, for "best.keras" how right they are, at most
        2,000 of them, too.
    """
    evaluation_data = training.evaluation_batches(settings, data)
    best, last = outcome.best_figures, outcome.last_figures
    if last is None:
        last = model.evaluate(evaluation_data, verbose=0, return_dict=True)
    model.load_weights(folder / "best.keras")  # into what is compiled already
    if best is None:
        best = model.evaluate(evaluation_data, verbose=0, return_dict=True)
    figures = {"best.keras": dict(best), "last.keras": dict(last)}
    if writes_targets(data):
        figures["best.keras"] |= model.score_targets(*data.evaluation.questions(2000))._asdict()
    best_possible = None if settings.validates else data.training.best_possible()
    if best_possible is not None:
        figures["best possible"] = best_possible

    hparams = _unusual(settings) if hparams is None else hparams
    shutil.rmtree(folder / "hparams", ignore_errors=True)  # where earlier versions wrote them
    callbacks.write_hparams(folder / "validation", hparams, figures["best.keras"], folder.name)
    sizes = {"parameters": model.count_params(), "threads": settings.threads_an_operation}
    runs.write_json(folder / runs.TRAINING, {**sizes, **outcome.course})
    runs.write_json(folder / runs.RESULTS, figures)
    return figures


def print_results(
    settings: Settings, data: Data, model: models.ZooModel, folder: Path, figures: dict
) -> None:
    """Says how good what was saved is, where it is, and what to do next."""
    _print_figures("validation" if settings.validates else "training", figures)
    if writes_targets(data):
        _print_targets(model, data, figures["best.keras"])
    elif isinstance(data.evaluation, MaskedTexts):
        _print_fillings(model, data.samples)
    else:
        _print_predictions(model, data.samples)
    console.print(
        f"\nbest model  {folder / 'best.keras'}\n"
        f"last model  {folder / 'last.keras'}\n"
        f"watch it    tensorboard --logdir {folder.parent} "
        "--samples_per_plugin images=1000,text=1000",
        soft_wrap=True,
    )


def _unusual(settings):
    """The settings that differ from the defaults."""
    defaults = dataclasses.asdict(Settings())
    return {
        name: value
        for name, value in dataclasses.asdict(settings).items()
        if isinstance(value, int | float | str)
        and value != defaults[name]
        and FIELDS[name].metadata["group"] != "run"
    }


def _print_figures(part, figures):
    table = make_table(f"on the {part} text", "loss", "accuracy", "perplexity", gap=2)
    for name, row in figures.items():
        table.add_row(
            name, f"{row['loss']:.4f}", f"{row['accuracy']:.1%}", f"{row['perplexity']:.3f}"
        )
    console.print()
    console.print(table)


def _print_targets(model, data, best):
    number = len(data.evaluation.questions(2000)[0])
    console.print(
        f"\nof {number:,} sources {best['exact_match']:.1%} get a right target (greedy); "
        f"{best['token_error_rate']:.1%} of the tokens are wrong"
    )
    table = make_table("source", "right", "written", texts=3)
    sources, rights = zip(*data.samples, strict=True)
    written = model.translate(sources, jit_compile=False)  # to compile it takes longer
    for row in zip(sources, rights, written, strict=True):
        table.add_row(*row)
    console.print()
    console.print(table)


def _print_fillings(model, samples):
    table = make_table("text", "hidden", "filled in", texts=3)
    for text, hidden in samples:
        table.add_row(text, hidden, shown_tokens(model.fill(text, 3)[0]))
    console.print()
    console.print(table)


def _print_predictions(model, samples):
    table = make_table("prompt", "followed by", "predicted", texts=3)
    probabilities = model.next_token_probabilities([prompt for prompt, _ in samples])
    for (prompt, expected), row in zip(samples, probabilities, strict=True):
        table.add_row(prompt, expected, shown_tokens(model.top_tokens(row, 3)))
    console.print()
    console.print(table)


def shown_tokens(likeliest: list[tuple[str, float]]) -> str:
    """Tokens and their probabilities on a line."""
    return ", ".join(f"{callbacks.visible(token)} {p:.1%}" for token, p in likeliest)
