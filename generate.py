"""Continue texts with a saved model: `python generate.py logs/RUN/best.keras "To be"`.

A model of pairs writes a target after each source instead, by a beam search, and a masked one says
what may stand where a text has [MASK].

`experiments/texts.py` does the work.
"""

import sys
from collections.abc import Sequence

from experiments import cli

MASK = "[MASK]"  # as `data.tokenizer` has it, which takes long to import
SAMPLING = ("temperature", "top_k", "top_p", "seed")
SEARCH = ("beams", "length_penalty")
TARGET_BEAMS = 5


def make_parser() -> cli.ArgumentParser:
    """The parser of `generate.py`'s flags."""
    parser = cli.ArgumentParser(
        prog="generate.py",
        usage="%(prog)s [-h] MODEL.keras [PROMPT ...] [flags]",
        description="Continue texts with a saved model. Without a prompt, ask for one after the "
        "other (Ctrl-D ends), or read one from standard input where that is no terminal. A model "
        "of pairs takes sources, from standard input one a line, and prints a target a line. A "
        "masked model takes texts with gaps, such as 'i [MASK] deep learning', and fills them in.",
        epilog="With --beams the likeliest texts are looked for instead of drawn; with more than "
        "one sample, the best ones come with their scores: log p, of targets divided by the length "
        "penalty. Flags may be written with - or _.",
    )
    parser.add_argument("model", metavar="MODEL.keras", help="the saved model")
    parser.add_argument(
        "prompts",
        nargs="*",
        metavar="PROMPT",
        type=cli.text("a text", _is_text),
        help="texts to continue, side by side where there are several; or sources; or texts with "
        "[MASK]",
    )
    parser.add_argument(
        "--max-new-tokens",
        type=cli.number(int, least=1),
        metavar="N",
        help="how many tokens each text gets (200); or how many a target has at most, its end "
        "counted (as many as the context holds)",
    )
    parser.add_argument(
        "--beams",
        type=cli.number(int, least=1),
        metavar="N",
        help="look for the likeliest text, keeping N in view; 1 is greedy (5 for targets)",
    )
    parser.add_argument(
        "--length-penalty",
        type=cli.number(float, least=0),
        metavar="X",
        help="how much longer targets are favoured (0.6); texts without an end are equally long, "
        "so it changes nothing there",
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
        metavar="N",
        help="how many texts to make of each prompt, with beams the N best (1); or how many tokens "
        "for each gap (5)",
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
    from models import EncoderDecoderModel, MaskedLanguageModel

    model = cli.load_model(flags.model)
    if isinstance(model, EncoderDecoderModel):
        write_targets(model, flags, prompts, is_interactive)
    elif isinstance(model, MaskedLanguageModel):
        fill_gaps(model, flags, prompts, is_interactive)
    elif is_interactive:
        texts.converse(lambda prompt, number: continue_texts(model, flags, [prompt], number))
    else:
        continue_texts(model, flags, prompts)
    return 0


def continue_texts(model, flags, prompts: Sequence[str], number: int = 0) -> None:
    """Continues prompts, drawing tokens or looking for the likeliest.

    The seed grows by the number of the question, so that the same one leads elsewhere.
    """
    from experiments import texts

    if any(MASK in prompt for prompt in prompts):
        raise cli.UsageError(
            f"argument PROMPT: expected no {MASK}, for the vocabulary of {flags.model} has none; "
            "--model masked trains a model that fills in what is hidden"
        )
    length = {"max_new_tokens": flags.max_new_tokens or 200}
    num_samples = flags.num_samples or 1
    if flags.length_penalty is not None:
        print(
            "generate.py: no text ends by itself, so --length-penalty changes nothing",
            file=sys.stderr,
        )
    if flags.beams is not None:
        search = {"beams": flags.beams, **length}
        texts.print_likeliest_texts(model, prompts, num_samples, search, flags.output)
        return
    sampling = given(flags, SAMPLING) | {"seed": (flags.seed or 0) + number} | length
    if flags.greedy:
        sampling["top_k"] = 1
    texts.print_texts(model, prompts, num_samples, sampling, flags.output)


def write_targets(model, flags, prompts: Sequence[str], is_interactive: bool) -> None:
    """Writes targets after sources, those on the command line or the lines of standard input."""
    from experiments import texts

    refuse(flags, SAMPLING, "writes targets, the likeliest ones")
    search = {"beams": 1 if flags.greedy else TARGET_BEAMS} | given(flags, SEARCH)
    search |= given(flags, ["max_new_tokens"])
    num_samples = flags.num_samples or 1
    check_number_of_samples(num_samples, search["beams"])

    def write(sources, **names):
        texts.print_targets(model, sources, num_samples, search, flags.output, **names)

    if is_interactive:
        texts.converse(lambda source, number: write([source]), "source")
    elif flags.prompts:
        write(prompts)
    else:
        write(prompts[0].split("\n"), name=lambda number: f"standard input: line {number + 1}")


def fill_gaps(model, flags, prompts: Sequence[str], is_interactive: bool) -> None:
    """Says what may stand in the gaps of texts."""
    from experiments import texts

    refuse(flags, (*SAMPLING, *SEARCH, "max_new_tokens", "greedy"), "fills in what is hidden")

    def fill(prompts):
        texts.print_fillings(model, prompts, flags.num_samples or 5, flags.output)

    if is_interactive:
        texts.converse(lambda text, number: fill([text]), "text with [MASK]")
    else:
        fill(prompts)


def refuse(flags, names: Sequence[str], does: str) -> None:
    """Raises a UsageError for the first of some flags, which the model can do nothing with."""
    for name in given(flags, names):
        raise cli.UsageError(
            f"argument {cli.flag_of(name)}: expected a model that continues texts, but "
            f"{flags.model} {does}"
        )


def given(flags, names: Sequence[str]) -> dict:
    """Those of some flags that are given."""
    values = {name: getattr(flags, name) for name in names}
    return {
        name: value for name, value in values.items() if value is not None and value is not False
    }


def check_flags(flags) -> None:
    """Raises a UsageError for what can be told wrong before anything is loaded."""
    cli.check_model_path(flags.model)
    cli.check_output_path("--output", flags.output)
    for alone, others in (("greedy", (*SAMPLING, "beams")), ("beams", SAMPLING)):
        for name, value in given(flags, others if getattr(flags, alone) else ()).items():
            raise cli.UsageError(
                f"argument --{alone}: expected no {cli.flag_of(name)} beside it, got {value}"
            )
    if flags.beams is not None:
        check_number_of_samples(flags.num_samples or 1, flags.beams)
    if flags.greedy and (flags.num_samples or 1) > 1:
        raise cli.UsageError(
            "argument --greedy: expected one sample, for all would be equal, got "
            f"--num-samples {flags.num_samples}"
        )


def check_number_of_samples(number: int, beams: int) -> None:
    """Raises a UsageError where more texts are wanted than are kept in view."""
    if number > beams:
        raise cli.UsageError(
            f"argument --num-samples: expected at most --beams {beams}, got {number}"
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
