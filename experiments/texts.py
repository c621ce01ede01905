"""What a model makes of prompts or sources, printed: the steps of `generate.py`."""

import itertools
import sys
import warnings
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import track

from experiments.cli import UsageError, write_text
from experiments.reports import shown_tokens
from models import EncoderDecoderModel, LanguageModel, MaskedLanguageModel

_AT_A_TIME = 1000  # sources, between two steps of the progress bar


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


def print_likeliest_texts(
    model: LanguageModel,
    prompts: Sequence[str],
    num_samples: int,
    search: dict,
    output: str | None = None,
) -> None:
    """Prints the likeliest continuations of prompts that a beam search finds, with their log p.

    Args:
        model, prompts, output: those of `print_texts`.
        num_samples: how many texts of each prompt.
        search: what else `LanguageModel.beam_search` takes.

    Raises:
        UsageError: as `print_texts`.
    """
    try:
        with Console(stderr=True).status("searching"):
            found = model.beam_search(prompts, num_best=num_samples, **search)
    except ValueError as error:
        raise UsageError(f"argument PROMPT: {error}") from error
    texts = [text for of_prompt in found for text in of_prompt]
    lines = []
    for number, (text, log_p, _) in enumerate(texts, start=1):
        lines += [f"--- {number} of {len(texts)}, log p {log_p:.2f} ---"] * (len(texts) > 1)
        lines.append(text)
    _print_lines(lines, output)


def print_targets(
    model: EncoderDecoderModel,
    sources: Sequence[str],
    num_samples: int,
    search: dict,
    output: str | None = None,
    name: Callable[[int], str] = lambda number: "argument PROMPT",
) -> None:
    """Prints the target of each source on a line of its own.

    Of several targets each has a line: source, tab, score, tab, target, the best first. A source
    without a word has an empty line. A warning says which targets came to no end.

    Args:
        model: the model.
        sources: what it listens to.
        num_samples: how many targets of each source.
        search: what else `EncoderDecoderModel.beam_search` takes.
        output: a file to write the same to. Default None: none.
        name: what errors call a source, by its number. Default: an argument.

    Raises:
        UsageError: a source that can't be read, or a file that can't be written.
    """
    asked = [source for source in sources if source.strip()]
    for number, source in enumerate(sources):
        try:
            if source.strip():
                model.encode_source(source)
        except ValueError as error:
            raise UsageError(f"{name(number)}: {error}") from error
    parts = [asked[begin : begin + _AT_A_TIME] for begin in range(0, len(asked), _AT_A_TIME)]
    console = Console(stderr=True)
    progress = track(
        parts, "writing targets", console=console, transient=True, disable=not console.is_terminal
    )
    found = [
        of_one
        for part in progress
        for of_one in model.beam_search(part, num_best=num_samples, **search)
    ]
    lines, answers = [], iter(found)
    for source in sources:
        hypotheses = next(answers) if source.strip() else []
        if num_samples == 1:
            lines.append(hypotheses[0].text if hypotheses else "")
        else:
            lines += [f"{source}\t{score:.4f}\t{text}" for text, score, _ in hypotheses] or [""]
    _print_lines(lines, output)
    endless = [
        source for source, (best, *_) in zip(asked, found, strict=True) if not best.is_finished
    ]
    if endless:
        warnings.warn(
            f"{len(endless):,} of {len(asked):,} targets came to no end and were stopped at the "
            f"limit (see --max-new-tokens), the first of them that of {endless[0]!r}",
            stacklevel=2,
        )


def print_fillings(
    model: MaskedLanguageModel, prompts: Sequence[str], k: int, output: str | None = None
) -> None:
    """Prints each text, and for each of its gaps a line with the tokens that fit best.

    Args:
        model: the model.
        prompts: texts with `[MASK]`.
        k: how many tokens for each gap.
        output: a file to write the same to. Default None: none.

    Raises:
        UsageError: a text without a gap, or one that can't be read, or a file that can't be
            written.
    """
    lines = []
    for prompt in prompts:
        try:
            found = model.fill(prompt, k)
        except ValueError as error:
            raise UsageError(f"argument PROMPT: {error}") from error
        lines += [prompt, *(f"  {shown_tokens(likeliest)}" for likeliest in found)]
    _print_lines(lines, output)


def converse(answer: Callable[[str, int], None], name: str = "prompt") -> None:
    """Asks for one text after the other and answers each, until Ctrl-D.

    Args:
        answer: prints what the model makes of a text; it gets the number of the question, too.
        name: what is asked for.
    """
    for number in itertools.count():
        try:
            text = input(f"{name}> ")
        except EOFError:
            print()
            return
        if text:
            try:
                answer(text, number)
            except UsageError as error:
                print(error, file=sys.stderr)


def _print_lines(lines, output):
    _print("".join(f"{line}\n" for line in lines))
    if output is not None:
        write_text(output, "".join(f"{line}\n" for line in lines))


def _title(number, total):
    return f"--- {number + 1} of {total} ---\n" if total > 1 else ""


def _print(text):
    print(text, end="", flush=True)
