"""Continue texts with a saved model: `python generate.py logs/RUN/best.keras "To be"`.

`experiments/texts.py` does the work.
"""

import sys
from collections.abc import Sequence

from experiments import cli

SAMPLING = ("temperature", "top_k", "top_p", "seed")


def make_parser() -> cli.ArgumentParser:
    """The parser of `generate.py`'s flags."""
    parser = cli.ArgumentParser(
        prog="generate.py",
        usage="%(prog)s [-h] MODEL.keras [PROMPT ...] [flags]",
        description="Continue texts with a saved model. Without a prompt, ask for one after the "
        "other (Ctrl-D ends), or read one from standard input where that is no terminal.",
        epilog="Flags may be written with - or _.",
    )
    parser.add_argument("model", metavar="MODEL.keras", help="the saved model")
    parser.add_argument(
        "prompts",
        nargs="*",
        metavar="PROMPT",
        type=cli.text("a text", _is_text),
        help="texts to continue; more than one are continued side by side",
    )
    parser.add_argument(
        "--max-new-tokens",
        type=cli.number(int, least=1),
        default=200,
        metavar="N",
        help="how many tokens each text gets (200)",
    )
    parser.add_argument(
        "--temperature",
        type=cli.number(float, above=0),
        metavar="T",
        help="below 1 likely tokens become likelier still, above 1 rare ones (1)",
    )
    parser.add_argument(
        "--top-k",
        type=cli.number(int, least=1),
        metavar="K",
        help="draw from the K likeliest tokens (all)",
    )
    parser.add_argument(
        "--top-p",
        type=cli.number(float, above=0, most=1),
        metavar="P",
        help="draw from the likeliest tokens that together have the probability P (1)",
    )
    parser.add_argument(
        "--seed", type=cli.number(int, least=0), metavar="N", help="of the random numbers (0)"
    )
    parser.add_argument("--greedy", action="store_true", help="always take the likeliest token")
    parser.add_argument(
        "--num-samples",
        type=cli.number(int, least=1),
        default=1,
        metavar="N",
        help="how many texts to make of each prompt (1)",
    )
    parser.add_argument("--output", metavar="FILE", help="also write the texts to this file")
    return parser


def main(argv: Sequence[str]) -> int:
    """Continues texts; returns the exit status."""
    flags = make_parser().parse_intermixed_args(argv)
    check_flags(flags)
    is_interactive = not flags.prompts and sys.stdin.isatty()
    prompts = flags.prompts or ([] if is_interactive else [read_prompt()])
    cli.import_keras()
    from experiments import texts  # only now: it imports Keras

    model = cli.load_model(flags.model)
    sampling = {name: getattr(flags, name) for name in SAMPLING if getattr(flags, name) is not None}
    sampling["max_new_tokens"] = flags.max_new_tokens
    if flags.greedy:
        sampling["top_k"] = 1
    if is_interactive:
        texts.converse(model, flags.num_samples, sampling, flags.output)
    else:
        texts.print_texts(model, prompts, flags.num_samples, sampling, flags.output)
    return 0


def check_flags(flags) -> None:
    """Raises a UsageError for what can be told wrong before anything is loaded."""
    cli.check_model_path(flags.model)
    cli.check_output_path("--output", flags.output)
    if flags.greedy:
        for name in SAMPLING:
            if getattr(flags, name) is not None:
                flag = f"--{name.replace('_', '-')}"
                raise cli.UsageError(
                    f"argument --greedy: expected no {flag} beside it, got {getattr(flags, name)}"
                )
        if flags.num_samples > 1:
            raise cli.UsageError(
                "argument --greedy: expected one sample, for all would be equal, got "
                f"--num-samples {flags.num_samples}"
            )


def read_prompt() -> str:
    """The prompt on standard input, without the new line that ends it."""
    content = sys.stdin.buffer.read()
    try:
        prompt = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise cli.UsageError(f"standard input: expected a text in UTF-8 ({error})") from error
    if not prompt:
        raise cli.UsageError("standard input: expected a prompt, got nothing")
    return prompt


def _is_text(argument: str) -> bool:
    """Whether there is anything, and all of it is Unicode."""
    return argument == argument.encode(errors="ignore").decode() != ""


if __name__ == "__main__":
    cli.run(main)
