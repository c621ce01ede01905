"""What varies in a study, from the command line: settings with their values, and seeds.

Importing this module does not import Keras.
"""

import argparse
import difflib
import functools
import re
from collections.abc import Sequence

from experiments.cli import UsageError, flag_of
from experiments.settings import FIELDS, make_parser

FIXED = ("logs", "seed", "threads")  # a study decides these, for all of its trials
_SWITCHES = {"yes": True, "true": True, "no": False, "false": False}


def read_vary(texts: Sequence[str]) -> dict[str, list[str]]:
    """What `--vary NAME=VALUE,VALUE` says, by the settings' own names.

    Raises:
        UsageError: an unknown setting, one that is given twice, or no value.

    Example:

    >>> read_vary(["heads=1,4", "position=rotary"])
    {'num_heads': ['1', '4'], 'position': ['rotary']}
    """
    names = {"preset": "preset"} | {name: name for name in FIELDS if name not in FIXED}
    for name, field in FIELDS.items():
        if name not in FIXED:
            names |= {alias[2:].replace("-", "_"): name for alias in field.metadata["aliases"]}
    vary = {}
    for text in texts:
        given, _, values = text.partition("=")
        name = names.get(given.removeprefix("--").replace("-", "_"))
        if name is None and given in FIXED:
            flag = "seeds" if given == "seed" else given
            raise UsageError(
                f"argument --vary: expected what a study does not decide itself, got {given} (see "
                f"--{flag})"
            )
        if name is None:
            close = difflib.get_close_matches(given, names, 1)
            hint = f"; did you mean {close[0]}?" if close else " (see train.py --help)"
            raise UsageError(f"argument --vary: expected a setting, got {given!r}{hint}")
        if name in vary:
            raise UsageError(f"argument --vary: expected each setting once, got {name} twice")
        vary[name] = [value.strip() for value in values.split(",")]
        if "" in vary[name]:
            raise UsageError(
                f"argument --vary: expected {given}=VALUE,VALUE,..., got {text!r} (a value is "
                "missing)"
            )
    return vary


def read_seeds(text: str) -> tuple[int, ...]:
    """The seeds that a text stands for: "3" for the first three, "10-14" for a span.

    Raises:
        argparse.ArgumentTypeError: any other text.

    Example:

    >>> read_seeds("3"), read_seeds("10-12")
    ((0, 1, 2), (10, 11, 12))
    """
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    first, last = (0, int(match[1]) - 1) if match and not match[2] else (0, -1)
    if match and match[2]:
        first, last = int(match[1]), int(match[2])
    if first > last:
        raise argparse.ArgumentTypeError(
            f"expected a number of seeds such as 3, or a span such as 10-14, got {text!r}"
        )
    return tuple(range(first, last + 1))


def flags_of(name: str, text: str) -> tuple[str, ...]:
    """A value of a setting as the flags of `train.py`."""
    if name != "preset" and isinstance(FIELDS[name].default, bool):
        if text.lower() not in _SWITCHES:
            raise UsageError(f"argument --vary: {name}: expected yes or no, got {text!r}")
        return (flag_of(name if _SWITCHES[text.lower()] else f"no_{name}"),)
    return flag_of(name), text


@functools.cache
def typed(name: str, text: str):
    """A value that varies, from its text; a UsageError says what it can be."""
    value = getattr(make_parser().parse_args(flags_of(name, text)), name)
    return text if name == "preset" or isinstance(value, list) else value


def show(value) -> str:
    """A value as it is written in names, without anything lost.

    Example:

    >>> show(True), show(0.001), show(100.0), show(0.0012345678)
    ('yes', '0.001', '100', '0.0012345678')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def canonical(name: str, texts: Sequence[str]) -> list[str]:
    """Values as they are written, each in one way only."""
    return [show(typed(name, text)) for text in texts]
