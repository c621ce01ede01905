"""What a study trains: variants of some settings, each with several seeds, in one folder.

Importing this module does not import Keras.
"""

import argparse
import dataclasses
import difflib
import functools
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments import runs
from experiments.cli import UsageError, flag_of
from experiments.settings import FIELDS, Settings, make_parser, parse_settings

STUDY = "study.json"
_SWITCHES = {"yes": True, "true": True, "no": False, "false": False}
_FIXED = ("logs", "seed", "threads")  # the study decides these, for all of its trials
_NO_PART = ("run_name", "resume", "list_presets", "dry_run")  # of a trial's flags


class Variant(NamedTuple):
    """One combination of the values that vary.

    Attributes:
        name: such as "position=rotary,num_heads=4"; "base" where nothing varies.
        values: what varies, texts by the names of settings or "preset".
        arguments: the flags of `train.py` that train it, but for seed, threads and folder.
        settings: what they come to.
    """

    name: str
    values: dict
    arguments: tuple[str, ...]
    settings: Settings


class Trial(NamedTuple):
    """One training of a study.

    Attributes:
        variant: the variant's name.
        seed: the seed.
        folder: the run's folder.
        arguments: the flags with which `train.py` would train the same.
        hparams: what sets it apart in TensorBoard's HParams.
    """

    variant: str
    seed: int
    folder: Path
    arguments: tuple[str, ...]
    hparams: dict


class Study:
    """Variants of some settings, each to be trained with several seeds.

    Args:
        folder: the study's folder, which need not exist yet.
        base: flags of `train.py` that hold for all variants.
        vary: by the name of a setting, or "preset", the texts of its values as on the command line.
        seeds: the seeds of each variant.
        one_at_a_time: whether one setting varies after the other, from the base, instead of all of
            them together. Default False: the whole grid.
        reference: the name of the variant that others are compared to. Default None: the first.

    Attributes:
        variants: by name, in the order of their values.
        threads: how many threads an operation of a trial may use. Default None: as `train.py` does.
        failures: by the name of a trial's folder, why it failed.
        baselines: what is known of the texts without a model, see `baselines`.

    Raises:
        UsageError: flags that can't be, or that cancel what varies.

    Example:

    >>> study = Study("logs/heads", ["--epochs", "9"], {"num_heads": ["1", "2"]}, seeds=[0, 1])
    >>> [trial.folder.name for trial in study.trials()][:2]
    ['num_heads=1,seed=0', 'num_heads=2,seed=0']
    >>> study.variants["num_heads=2"].arguments
    ('--epochs', '9', '--num-heads', '2')
    """

    def __init__(
        self,
        folder: str | Path,
        base: Sequence[str],
        vary: dict[str, list[str]],
        seeds: Sequence[int],
        one_at_a_time: bool = False,
        reference: str | None = None,
    ):
        self.folder = Path(folder)
        self.base = tuple(base)
        self.vary = {name: _canonical(name, texts) for name, texts in vary.items()}
        for name, texts in self.vary.items():
            twice = [text for text in texts if texts.count(text) > 1]
            if twice:
                raise UsageError(f"argument --vary: {name}: expected {twice[0]} once, got it twice")
        self.seeds = tuple(seeds)
        self.one_at_a_time = one_at_a_time
        self.threads = None
        self.failures = {}
        self.baselines = {}
        _check_base(self.base, self.vary)
        self.settings, _ = parse_settings(self.base)
        self.variants = {variant.name: variant for variant in self._make_variants()}
        self._check_variants()
        self.reference = next(iter(self.variants)) if reference is None else reference
        if self.reference not in self.variants:
            known = ", ".join(self.variants)
            raise UsageError(f"argument --reference: expected one of {known}, got {reference}")

    def trials(self) -> list[Trial]:
        """All trainings, seed by seed: where a study is cut short, seeds are whole."""
        return [
            self._trial(variant, seed) for seed in self.seeds for variant in self.variants.values()
        ]

    def save(self) -> None:
        """Writes study.json, from which the study can be gone on with."""
        content = {
            "base": self.base,
            "vary": self.vary,
            "seeds": self.seeds,
            "one_at_a_time": self.one_at_a_time,
            "reference": self.reference,
            "threads": self.threads,
            "settings": _identity(self.settings),
            "failures": self.failures,
            "baselines": self.baselines,
        }
        runs.write_json(self.folder / STUDY, content)

    def _make_variants(self) -> Iterator[Variant]:
        if not self.one_at_a_time:
            for values in itertools.product(*self.vary.values()):
                yield self._variant(dict(zip(self.vary, values, strict=True)))
            return
        yield self._variant({})
        for name, values in self.vary.items():
            for value in values:
                if name == "preset" or value != _show(getattr(self.settings, name)):
                    yield self._variant({name: value})

    def _variant(self, values):
        name = ",".join(f"{name}={value}" for name, value in values.items()) or "base"
        flags = [flag for pair in values.items() for flag in _flags_of(*pair)]
        arguments = (*self.base, *flags)
        try:
            settings, _ = parse_settings(arguments)
        except UsageError as error:
            where = f" (of the variant {name})" if values else ""
            raise UsageError(f"{error}{where}") from error
        return Variant(name, values, arguments, settings)

    def _check_variants(self):
        seen = {}
        for name, variant in self.variants.items():
            other = seen.setdefault(str(variant.settings), name)
            if other != name:
                raise UsageError(
                    f"argument --vary: expected variants that differ, but {other} and {name} come "
                    "to the same settings, which other flags or a --preset decide"
                )

    def _trial(self, variant, seed):
        stem = f"{variant.name}," if variant.values else ""
        hparams = {name: typed(name, text) for name, text in variant.values.items()}
        folder = self.folder / re.sub(r"[^\w.,=+-]+", "_", f"{stem}seed={seed}")
        threads = () if self.threads is None else ("--threads", str(self.threads))
        return Trial(
            variant.name,
            seed,
            folder,
            (*variant.arguments, "--seed", str(seed), *threads, "--logs", str(self.folder)),
            {**hparams, "seed": str(seed)},  # a word, as "mean of 3" is in TensorBoard
        )


def open_study(
    folder: Path,
    base: Sequence[str],
    vary: dict[str, list[str]],
    seeds: Sequence[int],
    one_at_a_time: bool = False,
    reference: str | None = None,
) -> Study:
    """A new study, or the one that the folder holds with what is new added to it.

    What the folder's study has beyond what is asked for, values and seeds, stays part of it.

    Args: those of `Study`.

    Raises:
        UsageError: as `Study`, or a folder that holds another study or something else.
    """
    path = Path(folder) / STUDY
    if not path.exists():
        if Path(folder).exists() and any(Path(folder).iterdir()):
            raise UsageError(f"argument --study: expected a new name, but {folder} is no study")
        return Study(folder, base, vary, seeds, one_at_a_time, reference)
    saved = _read_study(path)
    if list(saved["vary"]) != list(vary) or saved["one_at_a_time"] != one_at_a_time:
        names = ", ".join(saved["vary"]) or "nothing"
        how = ", one at a time" if saved["one_at_a_time"] else ""
        raise _other_study(folder, f"what varies there is {names}{how}")
    vary = {name: _union(saved["vary"][name], _canonical(name, vary[name])) for name in vary}
    reference = saved["reference"] if reference is None else reference
    study = Study(folder, base, vary, _union(saved["seeds"], seeds), one_at_a_time, reference)
    for name, value in _identity(study.settings).items():
        before = saved["settings"].get(name, FIELDS[name].default)
        if before != value:
            raise _other_study(folder, f"{name} is {before} there, and {value} here")
    study.threads = saved["threads"]
    study.failures = saved["failures"]
    study.baselines = saved["baselines"]
    return study


def read_vary(texts: Sequence[str]) -> dict[str, list[str]]:
    """What `--vary NAME=VALUE,VALUE` says, by the settings' own names.

    Raises:
        UsageError: an unknown setting, one that is given twice, or no value.

    Example:

    >>> read_vary(["heads=1,4", "position=rotary"])
    {'num_heads': ['1', '4'], 'position': ['rotary']}
    """
    names = {"preset": "preset"} | {name: name for name in FIELDS if name not in _FIXED}
    for name, field in FIELDS.items():
        if name not in _FIXED:
            names |= {alias[2:].replace("-", "_"): name for alias in field.metadata["aliases"]}
    vary = {}
    for text in texts:
        given, _, values = text.partition("=")
        name = names.get(given.removeprefix("--").replace("-", "_"))
        if name is None and given in _FIXED:
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


def _flags_of(name: str, text: str) -> tuple[str, ...]:
    """A value of a setting as the flags of `train.py`."""
    if name != "preset" and isinstance(FIELDS[name].default, bool):
        if text.lower() not in _SWITCHES:
            raise UsageError(f"argument --vary: {name}: expected yes or no, got {text!r}")
        return (flag_of(name if _SWITCHES[text.lower()] else f"no_{name}"),)
    return flag_of(name), text


@functools.cache
def typed(name: str, text: str):
    """A value that varies, from its text; a UsageError says what it can be."""
    value = getattr(make_parser().parse_args(_flags_of(name, text)), name)
    return text if name == "preset" or isinstance(value, list) else value


def _show(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _canonical(name: str, texts: Sequence[str]) -> list[str]:
    """Values as they are written, each in one way only."""
    return [_show(typed(name, text)) for text in texts]


def _union(first: Sequence, second: Sequence) -> list:
    return list(dict.fromkeys([*first, *second]))


def _check_base(base, vary):
    """Raises a UsageError for flags that have no place in a study, or that fix what varies."""
    flags = make_parser().parse_args(base)
    for name in _NO_PART:
        if getattr(flags, name) is not None:
            raise UsageError(f"argument {flag_of(name)}: expected none beside a study, got one")
    if flags.seed is not None:
        raise UsageError(f"argument --seed: expected --seeds in a study, got --seed {flags.seed}")
    for name in vary:
        if getattr(flags, name) is not None:
            value = _show(getattr(flags, name))
            raise UsageError(
                f"argument {flag_of(name)}: expected none beside --vary {name}, got {value}"
            )


def _identity(settings: Settings) -> dict:
    """What must be the same when a study goes on: all but where its runs and their text lie."""
    return {
        name: value
        for name, value in dataclasses.asdict(settings).items()
        if name not in (*_FIXED, "corpus")
    }


def _read_study(path: Path) -> dict:
    keys = ("vary", "seeds", "one_at_a_time", "reference", "settings", "threads", "failures")
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if all(key in saved for key in (*keys, "baselines")):
            return saved
    except (OSError, ValueError, RecursionError):
        pass
    raise UsageError(f"argument --study: expected a study, found a damaged {path}")


def _other_study(folder, difference):
    return UsageError(
        f"argument --study: expected a new name, for {folder} holds another study: {difference}"
    )
