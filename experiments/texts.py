"""What a model makes of prompts, printed as it comes: the steps of `generate.py`."""

import itertools
import sys
from collections.abc import Sequence

from rich.console import Console

from experiments.cli import UsageError, write_text
from models import LanguageModel


def print_texts(
    model: LanguageModel,
    prompts: Sequence[str],
    num_samples: int,
    sampling: dict,
    output: str | None = None,
) -> list[str]:
    """Continues prompts, side by side, and prints the texts one after the other.

    The first text is printed as it grows; the others are as long by then, or nearly so.

    Args:
        model: the model.
        prompts: what the texts begin with.
        num_samples: how many texts to make of each prompt.
        sampling: what else `LanguageModel.stream` takes.
        output: a file to write the same to. Default None: none.

    Returns:
        The texts.

    Raises:
        UsageError: a prompt that can't be read, or a file that can't be written.
    """
    begins = [prompt for prompt in prompts for _ in range(num_samples)]
    try:
        steps = model.stream(begins, **sampling)
    except ValueError as error:
        raise UsageError(f"argument PROMPT: {error}") from error
    texts = [begin.rstrip(model.tokenizer.separator) for begin in begins]
    with Console().status("compiling"):  # for a few seconds, the first time
        first = next(steps)
    _print(_title(0, len(texts)) + texts[0])
    for pieces in itertools.chain([first], steps):
        texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
        _print(pieces[0])
    shown = [_title(number, len(texts)) + text for number, text in enumerate(texts)]
    _print("\n".join(["", *shown[1:], ""]))
    if output is not None:
        write_text(output, "\n".join([*shown, ""]))
    return texts


def converse(
    model: LanguageModel, num_samples: int, sampling: dict, output: str | None = None
) -> None:
    """Asks for one prompt after the other and continues each, until Ctrl-D.

    The seed grows by 1 with each prompt, so that the same one leads elsewhere.

    Args: those of `print_texts`.
    """
    for number in itertools.count(sampling.get("seed", 0)):
        try:
            prompt = input("prompt> ")
        except EOFError:
            print()
            return
        if prompt:
            try:
                print_texts(model, [prompt], num_samples, {**sampling, "seed": number}, output)
            except UsageError as error:
                print(error, file=sys.stderr)


def _title(number, total):
    return f"--- {number + 1} of {total} ---\n" if total > 1 else ""


def _print(text):
    print(text, end="", flush=True)
