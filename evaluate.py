"""Score saved models on a text, see where they fail, or check them.

    python evaluate.py logs/*/best.keras

`experiments/evaluation.py` and its neighbours do the work.
"""

import os
from collections.abc import Sequence

from experiments import cli

PICTURE_SUFFIXES = (".png", ".pdf", ".svg")
PICTURES = ("attention", "by", "calibration")  # the flags that draw one


def make_parser() -> cli.ArgumentParser:
    """The parser of `evaluate.py`'s flags."""
    parser = cli.ArgumentParser(
        prog="evaluate.py",
        description="Score saved models: one row each, the lowest loss first, with the difference "
        "to the first one given where they predict the same tokens.",
        epilog="Loss is in nats a token; with different vocabularies, compare bits per character. "
        "Intervals come from a bootstrap over blocks of the text: they are about these files, not "
        "about another training. Flags may be written with - or _.",
    )
    parser.add_argument("paths", nargs="+", metavar="MODEL.keras", help="the saved models")
    parser.add_argument(
        "--corpus",
        metavar="TEXT",
        help="what to score on: one of train.py's corpora, a file, a folder or an address (the "
        "validation part of each model's own corpus, or all of it where it had none)",
    )
    parser.add_argument(
        "--batch-size", type=cli.number(int, least=1), metavar="N", help="examples a batch (64)"
    )
    parser.add_argument(
        "--beams",
        type=cli.number(int, least=1),
        metavar="N",
        help="where targets are written after sources, how many are kept in view (5)",
    )
    parser.add_argument(
        "--length-penalty",
        type=cli.number(float, least=0),
        metavar="X",
        help="and how much longer ones are favoured (0.6)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    parser.add_argument("--markdown", metavar="FILE", help="also write the rows as Markdown")
    parser.add_argument(
        "--by",
        choices=("position",),
        help="also the loss by place in the context: how it falls as more of the text is read",
    )
    parser.add_argument(
        "--worst",
        type=cli.number(int, least=1),
        metavar="N",
        help="also the N worst predictions, in their surroundings",
    )
    parser.add_argument(
        "--calibration",
        action="store_true",
        help="also how often a prediction is right, by how sure it was: ten bins of the likeliest "
        "token's probability, and the expected calibration error, the mean distance of the two",
    )
    parser.add_argument(
        "--attention",
        metavar="TEXT",
        help="instead, draw what one model attends to in this text; of an encoder-decoder, from a "
        "target to its source: the text is the source, or source, tab and target",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="instead, prove of each model that nothing leaks from later tokens, padding or other "
        "texts of a batch, that attention adds up, and that the cache and saving change nothing; "
        "needs no corpus",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="picture for --by, --calibration or --attention, .png, .svg or .pdf",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Scores, draws or checks; returns the exit status."""
    flags = make_parser().parse_args(argv)
    check_flags(flags)
    if flags.check:
        # On the processor: the arithmetic of some accelerators rounds as half precision does.
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    cli.import_keras()
    from experiments import evaluation, model_checks  # only now: they import Keras

    if flags.check:
        return 0 if model_checks.check_models(flags.paths) else 1
    if flags.attention is not None:
        evaluation.draw_attention(flags.paths[0], flags.attention, flags.output)
        return 0
    score(flags)
    return 0


def score(flags) -> None:
    """Scores the models, and tells all that is asked for."""
    from data.masked import MaskedTexts
    from experiments import calibration, evaluation, loss_by_position, pictures, score_table
    from experiments import worst_predictions as worst

    search = {name: getattr(flags, name) for name in ("beams", "length_penalty")}
    search = {name: value for name, value in search.items() if value is not None}
    results = evaluation.evaluate_models(
        flags.paths, flags.corpus, flags.batch_size or 64, **search
    )
    if search and not any(result.targets for result in results):
        raise cli.UsageError(
            f"argument {cli.flag_of(next(iter(search)))}: expected a model that writes targets, "
            "got none"
        )
    if flags.by is not None and any(isinstance(r.examples, MaskedTexts) for r in results):
        raise cli.UsageError("argument --by: expected no masked model: it reads on both sides")
    rows = score_table.make_rows(results)
    results = [row.result for row in rows]
    score_table.print_rows(rows)
    views, draw = {}, None
    if flags.by is not None:
        loss_by_position.print_by_position(results)
        views["by_position"] = loss_by_position.loss_by_position
        draw = loss_by_position.draw_by_position
    if flags.calibration:
        calibration.print_calibration(results)
        views["calibration"] = lambda result: calibration.calibration(result)._asdict()
        draw = calibration.draw_calibration
    if flags.worst is not None:
        worst.print_worst(results, flags.worst)
        views["worst"] = lambda result: [
            row._asdict() for row in worst.worst_predictions(result, flags.worst)
        ]
    if flags.output is not None:
        pictures.save(draw(results), flags.output)
    if flags.json is not None:
        score_table.write_json(rows, flags.json, views)
    if flags.markdown is not None:
        score_table.write_markdown(rows, flags.markdown)


def check_flags(flags) -> None:
    """Raises a UsageError for what can be told wrong before anything is loaded."""
    for path in flags.paths:
        cli.check_model_path(path)
    for name in ("json", "markdown", "output"):
        cli.check_output_path(f"--{name}", getattr(flags, name))
    given = [name for name, value in vars(flags).items() if value not in (None, False)]
    given = [f"--{name.replace('_', '-')}" for name in given if name != "paths"]
    for alone, others in (("--check", ()), ("--attention", ("--output",))):
        for other in given:
            if alone in given and other not in (alone, *others):
                raise cli.UsageError(f"argument {other}: expected no {alone} beside it")
    drawn = [name for name in given if name[2:] in PICTURES]
    if flags.output is None:
        if flags.attention is not None:
            raise cli.UsageError("argument --attention: expected --output beside it, got none")
        return
    if len(drawn) != 1:
        raise cli.UsageError(
            "argument --output: expected one of --attention, --by and --calibration beside it, "
            f"got {' and '.join(drawn) or 'none'}"
        )
    if not flags.output.endswith(PICTURE_SUFFIXES):
        raise cli.UsageError(
            f"argument --output: expected a name that ends in {', '.join(PICTURE_SUFFIXES)}, "
            f"got {flags.output}"
        )
    if flags.attention is not None and len(flags.paths) > 1:
        raise cli.UsageError(
            f"argument --attention: expected one model to draw, got {len(flags.paths)}"
        )


if __name__ == "__main__":
    cli.run(main)
