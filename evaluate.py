"""Score saved models on a text, or draw one's attention: `python evaluate.py logs/*/best.keras`.

`experiments/evaluation.py` does the work.
"""

import os
from collections.abc import Sequence

from experiments import cli

PICTURE_SUFFIXES = (".png", ".pdf", ".svg")


def make_parser() -> cli.ArgumentParser:
    """The parser of `evaluate.py`'s flags."""
    parser = cli.ArgumentParser(
        prog="evaluate.py",
        description="Score saved models: one row each, the lowest loss first.",
        epilog="Loss is in nats a token; with different vocabularies, compare bits per character. "
        "Flags may be written with - or _.",
    )
    parser.add_argument("paths", nargs="+", metavar="MODEL.keras", help="the saved models")
    parser.add_argument(
        "--corpus",
        metavar="TEXT",
        help="what to score on: toy, a file, a folder or an address (the validation part of each "
        "model's own corpus, or all of it where it had none)",
    )
    parser.add_argument(
        "--batch-size", type=cli.number(int, least=1), default=64, metavar="N", help="examples (64)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the rows as JSON")
    parser.add_argument("--markdown", metavar="FILE", help="also write the rows as Markdown")
    parser.add_argument(
        "--attention", metavar="TEXT", help="instead, draw what one model attends to in this text"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="picture for --attention, .png, .svg or .pdf"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="instead, prove of each model that nothing leaks from later tokens, padding or other "
        "texts of a batch, that attention adds up, and that the cache and saving change nothing; "
        "needs no corpus",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Scores or draws; returns the exit status."""
    flags = make_parser().parse_args(argv)
    check_flags(flags)
    if flags.check:
        return check(flags.paths)
    cli.import_keras()
    from experiments import evaluation  # only now: it imports Keras

    if flags.attention is not None:
        evaluation.draw_attention(flags.paths[0], flags.attention, flags.output)
        return 0
    results = evaluation.evaluate_models(flags.paths, flags.corpus, flags.batch_size)
    rows = sorted((result.score for result in results), key=lambda score: score.loss)
    evaluation.print_rows(rows)
    if flags.json is not None:
        evaluation.write_json(rows, flags.json)
    if flags.markdown is not None:
        evaluation.write_markdown(rows, flags.markdown)
    return 0


def check(paths: Sequence[str]) -> int:
    """Checks models; returns the exit status."""
    # On the processor: the arithmetic of some accelerators rounds as half precision does.
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    cli.import_keras()
    from experiments import model_checks

    return 0 if model_checks.check_models(paths) else 1


def check_flags(flags) -> None:
    """Raises a UsageError for what can be told wrong before anything is loaded."""
    for path in flags.paths:
        cli.check_model_path(path)
    for name in ("json", "markdown", "output"):
        cli.check_output_path(f"--{name}", getattr(flags, name))
    for name, other in (("attention", "output"), ("output", "attention")):
        if getattr(flags, name) is not None and getattr(flags, other) is None:
            raise cli.UsageError(f"argument --{name}: expected --{other} beside it, got none")
    if flags.attention is not None:
        if len(flags.paths) > 1:
            raise cli.UsageError(
                f"argument --attention: expected one model to draw, got {len(flags.paths)}"
            )
        if not flags.output.endswith(PICTURE_SUFFIXES):
            raise cli.UsageError(
                f"argument --output: expected a name that ends in {', '.join(PICTURE_SUFFIXES)}, "
                f"got {flags.output}"
            )


if __name__ == "__main__":
    cli.run(main)
