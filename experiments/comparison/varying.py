"""What varies in a study, from the command line: settings with their values, and seeds.

Importing this module does not import Keras.
"""

import argparse
import difflib
import functools
import re
from collections.abc import Sequence

from experiments.cli import UsageError, flag_of
from experiments.flags import make_parser
from experiments.settings import FIELDS

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
    """The seeds that a text stands for: "3" for the first three, "10-14" for spans of them.

    Raises:
        argparse.ArgumentTypeError: any other text.

    Example:

    >>> read_seeds("3"), read_seeds("10-12"), read_seeds("0-1,7-8")
    ((0, 1, 2), (10, 11, 12), (0, 1, 7, 8))
    """
    is_count = re.fullmatch(r"[1-9]\d{0,8}", text)
    spans = [re.fullmatch(r"(\d{1,9})-(\d{1,9})", span) for span in text.split(",")]
    if is_count:
        return tuple(range(int(text)))
    if not all(span and int(span[1]) <= int(span[2]) for span in spans):
        raise argparse.ArgumentTypeError(
            "expected a number of seeds such as 3, or spans such as 10-14 or 0-2,10-14, "
            f"got {text!r}"
        )
    seeds = [seed for span in spans for seed in range(int(span[1]), int(span[2]) + 1)]
    return tuple(dict.fromkeys(seeds))


def show_seeds(seeds: Sequence[int]) -> str:
    """A text for `read_seeds`, in any order of the seeds.

    Example:

    >>> show_seeds([0, 1, 2]), show_seeds([10, 11, 0])
    ('3', '0-0,10-11')
    """
    spans = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    if len(spans) == 1 and spans[0][0] == 0:
        return str(len(seeds))
    return ",".join(f"{first}-{last}" for first, last in spans)


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
