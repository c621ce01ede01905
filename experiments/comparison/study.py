"""What a study trains: variants of some settings, each with several seeds, in one folder.

Importing this module does not import Keras.
"""

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments import runs
from experiments.cli import UsageError, flag_of
from experiments.comparison.varying import FIXED, canonical, flags_of, show, typed
from experiments.flags import make_parser, parse_settings
from experiments.settings import FIELDS, Settings

STUDY = "study.json"
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
        texts: by corpus the hash of its text; of the base under "" where the corpus does not vary.

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
        self.vary = {name: canonical(name, texts) for name, texts in vary.items()}
        for name, texts in self.vary.items():
            twice = [text for text in texts if texts.count(text) > 1]
            if twice:
                raise UsageError(f"argument --vary: {name}: expected {twice[0]} once, got it twice")
        self.seeds = tuple(seeds)
        self.one_at_a_time = one_at_a_time
        self.threads = None
        self.failures = {}
        self.baselines = {}
        self.texts = {}
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

    def keep_texts(self, hashes: dict[str, str]) -> None:
        """Sees to it that all trials learn from the same text.

        Args:
            hashes: by corpus, as the flags name it, the hash of its text.

        Raises:
            UsageError: a text has changed since the study was begun.
        """
        for source, sha256 in hashes.items():
            name = source if "corpus" in self.vary else ""
            if self.texts.setdefault(name, sha256) != sha256:
                raise UsageError(
                    f"argument --corpus: {source} is not the text that {self.folder} was begun on, "
                    "or has changed since"
                )

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
            "texts": self.texts,
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
                if name == "preset" or value != show(getattr(self.settings, name)):
                    yield self._variant({name: value})

    def _variant(self, values):
        name = ",".join(f"{name}={value}" for name, value in values.items()) or "base"
        flags = [flag for pair in values.items() for flag in flags_of(*pair)]
        arguments = (*self.base, *flags)
        try:
            settings, _ = parse_settings(arguments)
        except UsageError as error:
            where = f" (of the variant {name})" if values else ""
            raise UsageError(f"{error}{where}") from error
        return Variant(name, values, arguments, settings)

    def _check_variants(self):
        folders = {}
        for name in self.variants:
            other = folders.setdefault(_folder_name(name), name)
            if other != name:
                raise UsageError(
                    f"argument --vary: expected values whose folders differ, got {other} and {name}"
                )
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
        folder = self.folder / _folder_name(f"{stem}seed={seed}")
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
    vary = {name: _union(saved["vary"][name], canonical(name, vary[name])) for name in vary}
    reference = saved["reference"] if reference is None else reference
    study = Study(folder, base, vary, _union(saved["seeds"], seeds), one_at_a_time, reference)
    for name, value in _identity(study.settings).items():
        before = saved["settings"].get(name, FIELDS[name].default)
        if before != value:
            raise _other_study(folder, f"{name} is {before} there, and {value} here")
    study.threads = saved["threads"]
    study.failures = saved["failures"]
    study.baselines = saved["baselines"]
    study.texts = saved["texts"]
    if study.settings.threads not in (None, study.threads):
        raise UsageError(
            f"argument --threads: expected {study.threads}, as the study has it, got "
            f"{study.settings.threads}"
        )
    return study


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.,=+-]+", "_", name)


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
            value = show(getattr(flags, name))
            raise UsageError(
                f"argument {flag_of(name)}: expected none beside --vary {name}, got {value}"
            )


def _identity(settings: Settings) -> dict:
    """What must be the same when a study goes on: all but where its runs and their text lie."""
    return {
        name: value
        for name, value in dataclasses.asdict(settings).items()
        if name not in (*FIXED, "corpus")
    }


def _read_study(path: Path) -> dict:
    keys = ("vary", "seeds", "one_at_a_time", "reference", "settings", "threads", "failures")
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if all(key in saved for key in (*keys, "baselines", "texts")):
            return saved
    except (OSError, ValueError, RecursionError):
        pass
    raise UsageError(f"argument --study: expected a study, found a damaged {path}")


def _other_study(folder, difference):
    return UsageError(
        f"argument --study: expected a new name, for {folder} holds another study: {difference}"
    )
