"""What finds a known result in the trials of a study: a judge for each.

A judge looks at what the finished trials have saved, and says which of the expected findings are
there.

Importing this module does not import Keras.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from data.corpora import Corpus
    from data.examples import Examples
    from experiments.settings import Settings
    from experiments.token_losses import Predictions
    from models import LanguageModel

# For each variant, such as "num_layers=2", and each seed, the folder of its finished run.
Trials = Mapping[str, Mapping[int, Path]]

# On average (geometric) a model then gives what happens 99% of the probability that the best
# possible one gives. Trained models stand some 0.003 above the floor.
TOY_TOLERANCE = 0.01
SORT_TESTS = 5000  # as in minGPT's demo
INDUCTION_LOSS = 0.2
POSITIONS_RIGHT = 0.99
# To who can't tell positions apart all orders are one, and no prediction for all of them costs less
# than guessing. The held-out orders alone may cost a little less, by chance.
POSITIONS_TOLERANCE = 0.02
SAME_LOGITS = 1e-3  # sums in another order differ in the last digits
LONG_TOLERANCE = 0.1  # a tenth more perplexity, as good as none beside what breaking costs


class Claim(NamedTuple):
    """One finding that is expected.

    Attributes:
        text: what is expected, with its bound.
        measured: what was found.
        passed: whether it is as expected.
    """

    text: str
    measured: str
    passed: bool


class Verdict(NamedTuple):
    """What a judge says.

    Attributes:
        claims: the findings, one after the other.
        figure: a picture of what was found.
    """

    claims: list[Claim]
    figure: Figure

    @property
    def passed(self) -> bool:
        """Whether every finding is there."""
        return all(claim.passed for claim in self.claims)


class _Trial(NamedTuple):
    """A finished trial, opened again.

    Attributes:
        name: its variant and seed.
        variant: its variant alone.
        seed: its seed.
        settings: the run's settings.
        model: the run's best.keras.
        examples: what the run's figures are reported on.
        predictions: what the model made of each token of `examples`.
        trained_on: the text that the model has learned from.
        evaluated_on: the text of `examples`.
    """

    name: str
    variant: str
    seed: int
    settings: Settings
    model: LanguageModel
    examples: Examples
    predictions: Predictions
    trained_on: Corpus
    evaluated_on: Corpus

    @property
    def loss(self) -> float:
        return float(self.predictions.losses.mean())

    @property
    def accuracy(self) -> float:
        return float((self.predictions.ranks == 0).mean())


def judge_toy(trials: Trials) -> Verdict:
    """Whether the models are at the floor of the toy's loss: not below it, and hardly above."""
    claims = []
    axes = _new_picture("The toy: loss of each model", "seed", "loss, nats")
    for style, trial in _opened(trials):
        floor = trial.examples.best_possible()
        above = trial.loss - floor["loss"]
        claims += [
            Claim(
                f"{trial.name}: loss no lower than {floor['loss']:.4f}, and less than "
                f"{TOY_TOLERANCE} higher",
                f"{trial.loss:.4f}",
                -1e-4 < above < TOY_TOLERANCE,
            ),
            Claim(
                f"{trial.name}: {floor['accuracy']:.1%} right, the most that can be",
                f"{trial.accuracy:.1%}",
                math.isclose(trial.accuracy, floor["accuracy"], abs_tol=1e-6),
            ),
        ]
        axes.plot(str(trial.seed), trial.loss, **{**style, "linestyle": ""})
    _draw_level(axes, floor["loss"], "the floor")
    _draw_level(axes, math.log(_vocabulary(trial)), "every word alike")
    axes.set_ylim(bottom=0)
    return Verdict(claims, axes.figure)


def judge_sort(trials: Trials) -> Verdict:
    """Whether sequences that were not trained on are all sorted, without one wrong digit."""
    import numpy as np

    claims = []
    axes = _new_picture("Sorting unseen sequences", "place in the answer", "share of right digits")
    for style, trial in _opened(trials):
        lines = trial.evaluated_on.sentences
        seen = len(set(lines) & set(trial.trained_on.sentences))
        questions = [line[: line.index("=") + 1] for line in lines]
        answers = np.array([line.split()[-_SORTED:] for line in lines])
        texts = trial.model.generate(questions, _SORTED, top_k=1, jit_compile=False)
        is_right = np.array([text.split()[-_SORTED:] for text in texts]) == answers  # (lines, 6)
        rng = random.Random(trial.seed)
        drawn = [int(rng.random() * len(lines)) for _ in range(SORT_TESTS)]
        right = int(is_right.all(axis=1)[drawn].sum())
        claims += [
            Claim(f"{trial.name}: no test sequence was trained on", f"{seen} were", not seen),
            Claim(
                f"{trial.name}: {SORT_TESTS:,} test sequences sorted, drawn from all that were "
                "not trained on",
                f"{right:,} right; {is_right.all(axis=1).sum()} of {len(lines)} different ones",
                right == SORT_TESTS,
            ),
        ]
        places = np.arange(1, _SORTED + 1)
        axes.plot(places, is_right.mean(axis=0), label=trial.name, **style)
    _draw_level(axes, 1 / len(set(answers.flat)), "guessing")
    axes.set_ylim(0, 1.05)
    axes.legend(loc="lower left")
    return Verdict(claims, axes.figure)


_SORTED = 6  # digits in an answer


def judge_induction(trials: Trials) -> Verdict:
    """Whether two layers of attention foresee what is repeated, and one does not."""
    import numpy as np

    claims = []
    axes = _new_picture(
        "Random tokens, repeated", "tokens since the first repeated one", "loss, nats"
    )
    for style, trial in _opened(trials):
        rows = trial.examples.windows
        losses = trial.predictions.losses.reshape(len(rows), -1)  # (rows, T)
        periods = np.array([_period(row) for row in rows])
        since = np.arange(1, rows.shape[1]) - periods[:, None]  # (rows, T), 0: the first repeated
        loss = float(losses[since >= 0].mean())
        half = math.log(_vocabulary(trial)) / 2
        if trial.settings.num_layers == 1:
            text, passed = f"above {half:.2f}, half of ln {_vocabulary(trial)}", loss > half
        else:
            text, passed = f"below {INDUCTION_LOSS}", loss < INDUCTION_LOSS
        claims.append(
            Claim(f"{trial.name}: loss on what is repeated {text}", f"{loss:.3f}", passed)
        )
        places = np.arange(1 - periods.min(), rows.shape[1] - periods.max())  # in every row
        means = [losses[since == place].mean() for place in places]
        axes.plot(places, means, label=trial.name, markevery=4, **style)
    _draw_level(axes, 2 * half, f"guessing, ln {_vocabulary(trial)}")
    _draw_level(axes, half, "half of it")
    _draw_level(axes, INDUCTION_LOSS, f"{INDUCTION_LOSS}")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.12))
    return Verdict(claims, axes.figure)


def _period(row: np.ndarray) -> int:
    """After how many tokens a row begins again."""
    return next(p for p in range(1, len(row) + 1) if (row[p:] == row[: len(row) - p]).all())


def judge_positions(trials: Trials) -> Verdict:
    """Whether each encoding tells which token came first, and no encoding can't."""
    import numpy as np

    claims = []
    axes = _new_picture("Which token came first?", "", "loss, nats")
    for style, trial in _opened(trials):
        rows = trial.examples.windows[:, :-1]
        others = rows.shape[1] - 1  # the last token asks
        if trial.settings.position == "none":
            swapped = rows[:, [1, 0, *range(2, others + 1)]]
            logits = [trial.model.predict(ids, verbose=0)[:, -1] for ids in (rows, swapped)]
            change = float(np.abs(logits[0] - logits[1]).max())
            claims += [
                Claim(
                    f"{trial.name}: the same logits after 'a b c' and 'b a c'",
                    f"{change:.1g} apart at most",
                    change < SAME_LOGITS,
                ),
                Claim(
                    f"{trial.name}: loss no lower than {math.log(others):.3f}, that of guessing "
                    f"one of {others}",
                    f"{trial.loss:.3f}",
                    trial.loss > math.log(others) - POSITIONS_TOLERANCE,
                ),
            ]
        else:
            claims.append(
                Claim(
                    f"{trial.name}: at least {POSITIONS_RIGHT:.0%} right",
                    f"{trial.accuracy:.1%}",
                    trial.accuracy >= POSITIONS_RIGHT,
                )
            )
        axes.plot(trial.name.replace(", ", "\n"), trial.loss, **{**style, "linestyle": ""})
    _draw_level(axes, math.log(others), f"guessing one of {others}")
    axes.set_ylim(bottom=-0.05)
    return Verdict(claims, axes.figure)


def judge_long(trials: Trials) -> Verdict:
    """Whether ALiBi holds beyond the length of the training, and the others break, in order."""
    import numpy as np

    claims, rises = [], {}
    axes = _new_picture("Beyond the length of the training", "tokens read", "loss, nats")
    for style, trial in _opened(trials):
        losses, read = trial.predictions.losses, trial.predictions.positions + 1
        length = trial.settings.train_length
        rise = float(
            losses[read > length].mean() - losses[(read > length // 2) & (read <= length)].mean()
        )
        rises.setdefault(trial.settings.position, []).append(rise)
        holds = trial.settings.position == "alibi"
        claims.append(
            Claim(
                f"{trial.name}: loss beyond {length} tokens at {'most' if holds else 'least'} "
                f"{LONG_TOLERANCE} above that at {length // 2 + 1} to {length}",
                f"{rise:+.3f}",
                rise <= LONG_TOLERANCE if holds else rise >= LONG_TOLERANCE,
            )
        )
        ends = np.arange(_BAND, trial.settings.context_length + 1, _BAND)
        means = [losses[(read > end - _BAND) & (read <= end)].mean() for end in ends]
        axes.plot(ends - _BAND / 2, means, label=trial.name, **style)
    rise = {position: sum(some) / len(some) for position, some in rises.items()}
    claims.append(
        Claim(
            "the loss rises least with ALiBi, more with rotary, most with sinusoids",
            ", ".join(
                f"{position} {rise[position]:+.2f}" for position in sorted(rise, key=rise.get)
            ),
            rise["alibi"] < rise["rotary"] < rise["sinusoidal"],
        )
    )
    axes.axvline(length, color="black", linewidth=1, linestyle=":")
    axes.annotate(f" trained on {length}", (length, 0.03), xycoords=("data", "axes fraction"))
    axes.set_ylim(bottom=0)
    axes.legend()
    return Verdict(claims, axes.figure)


_BAND = 16  # places of the context whose mean loss is drawn as one point


def _opened(trials: Trials) -> Iterator[tuple[dict, _Trial]]:
    """Each trial, opened, with the style that it is drawn in."""
    from experiments.pictures import look

    folders = [(v, seed, folder) for v, seeds in trials.items() for seed, folder in seeds.items()]
    for number, folder in enumerate(folders):
        yield look(number), _open(*folder)


def _open(variant: str, seed: int, folder: Path) -> _Trial:
    from data.corpora import load_corpus
    from experiments import cli, preparation, runs, token_losses
    from experiments.flags import parse_settings

    settings, _ = parse_settings(["--config", str(folder / runs.CONFIG)])
    corpus = load_corpus(runs.read_corpus_provenance(folder)[0])
    data = preparation.prepare_data(settings, corpus)
    model = cli.load_model(str(folder / "best.keras"))
    return _Trial(
        name=f"seed {seed}" if variant == "base" else f"{variant}, seed {seed}",
        variant=variant,
        seed=seed,
        settings=settings,
        model=model,
        examples=data.evaluation,
        predictions=token_losses.predictions(model, data.evaluation),
        trained_on=data.trained_on,
        evaluated_on=data.evaluated_on,
    )


def _vocabulary(trial: _Trial) -> int:
    """How many different tokens there are to guess from."""
    return len(trial.model.tokenizer.pieces)


def _new_picture(title: str, x: str, y: str):
    """The axes of an empty picture."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(7, 4), dpi=150, layout="constrained").subplots()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return axes


def _draw_level(axes, height: float, name: str) -> None:
    """A horizontal line with its name."""
    axes.axhline(height, color="black", linewidth=1, linestyle=(0, (1, 1)))
    at = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(name, (1, height), xytext=(-3, 2), ha="right", fontsize=8, **at)
