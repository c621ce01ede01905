"""Known results: their studies can be typed, and their judges tell good models from bad ones."""

import dataclasses
import functools
import json
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from data.corpora import load_corpus
from experiments import preparation, runs, token_losses, training
from experiments.comparison import judges
from experiments.comparison.known_results import KNOWN_RESULTS
from experiments.flags import parse_settings
from experiments.token_losses import Predictions
from tests.conftest import run_script


def variants(result):
    """For each variant of a known result's study the flags of `train.py` that train it."""
    flags = list(result.flags)
    assert "--seeds" in flags
    seeds = flags.index("--seeds")
    del flags[seeds : seeds + 2]
    if "--vary" not in flags:
        return {"base": flags}
    vary = flags.index("--vary")
    name, values = flags[vary + 1].split("=")
    del flags[vary : vary + 2]
    flag = f"--{name.replace('_', '-')}"
    return {f"{name}={value}": [*flags, flag, value] for value in values.split(",")}


def prepare(flags):
    settings, _ = parse_settings(flags)
    return settings, *prepare_corpus(settings.corpus, tuple(flags))


@functools.cache
def prepare_corpus(name, flags):
    corpus = load_corpus(name)
    return corpus, preparation.prepare_data(parse_settings(flags)[0], corpus)


# Studies


@pytest.mark.parametrize("result", KNOWN_RESULTS.values(), ids=KNOWN_RESULTS)
def test_a_study_is_what_could_be_typed_and_needs_no_file(result):
    assert KNOWN_RESULTS[result.name] is result
    for flags in variants(result).values():
        settings, _, data = prepare(flags)
        assert data.evaluation.count
        training.spans(settings, data)


def test_known_results_are_listed_without_keras():
    code = (
        "import sys; from experiments.comparison.known_results import KNOWN_RESULTS; "
        "print(list(KNOWN_RESULTS), {'keras', 'tensorflow', 'matplotlib'} & set(sys.modules))"
    )
    result = run_script("-c", code)
    names = ["toy", "sort", "induction", "positions", "long"]
    assert result.stdout == f"{names} set()\n", result.stderr


# Judges, on models that have learned nothing

FEW = {"induction": ["num_layers=2"], "positions": ["position=none", "position=rotary"]}


@pytest.mark.slow
@pytest.mark.parametrize("result", KNOWN_RESULTS.values(), ids=KNOWN_RESULTS)
def test_models_that_were_not_trained_do_not_pass(result, tmp_path, monkeypatch):
    monkeypatch.setattr(token_losses, "has_xla", lambda: False)  # compiling takes longest
    trials = {}
    for variant, flags in variants(result).items():
        if result.name in FEW and variant not in FEW[result.name]:
            continue
        few = [] if result.name in ("toy", "sort") else ["--validation-split=0.01"]
        settings, corpus, data = prepare([*flags, *few, "--d-model=24", "--jit=off"])
        folder = tmp_path / variant
        folder.mkdir()
        model = training.build_model(settings, corpus, data)
        model.save(folder / "best.keras")
        config = {**dataclasses.asdict(settings), "provenance": model.provenance}
        (folder / runs.CONFIG).write_text(json.dumps(config))
        trials[variant] = {0: folder}
    verdict = result.judge(trials)
    assert not verdict.passed
    assert isinstance(verdict.figure, Figure)
    for claim in verdict.claims:
        if "sorted" in claim.text or "right" in claim.text or "below" in claim.text:
            assert not claim.passed, claim


# Judges, on what models might have predicted


class Model:
    """Answers as `answer` says, which takes a question and gives the words that follow."""

    def __init__(self, tokenizer, answer, logits):
        self.tokenizer, self.answer, self.logits = tokenizer, answer, logits

    def generate(self, prompts, max_new_tokens, top_k, jit_compile):
        assert (max_new_tokens, top_k) == (6, 1)
        return [f"{prompt} {self.answer(prompt)}" for prompt in prompts]

    def predict(self, token_ids, verbose):
        return self.logits(token_ids)


@pytest.fixture
def judge(monkeypatch):
    """Judges a known result by made-up losses, and whether the likeliest token was right.

    Both are functions of the settings and the examples; they give one number or (count,).
    """

    def judge_made_up(name, losses, are_right=None, answer=None, logits=None):
        all_flags = variants(KNOWN_RESULTS[name])

        def open_made_up(variant, seed, folder):
            settings, corpus, data = prepare(all_flags[variant])
            examples, count = data.evaluation, data.evaluation.count
            positions = [
                np.nonzero(weights)[1]
                for _, _, weights in examples.evaluation_batches(64).as_numpy_iterator()
            ]
            right = 1 if are_right is None else are_right(settings, examples)
            predictions = Predictions(
                losses=np.zeros(count),
                positions=np.concatenate(positions),
                ranks=1 - np.broadcast_to(right, count),
                likeliest=None,
                confidences=None,
                seconds=0.0,
            )
            found = losses(settings, examples, predictions.positions)
            predictions = predictions._replace(losses=np.broadcast_to(found, count))
            trained_on, held_out = corpus.split(settings.validation_split, at_lines=True)
            return judges._Trial(
                f"{variant}, seed {seed}",
                *(variant, seed, settings, Model(data.tokenizer, answer, logits)),
                *(examples, predictions, trained_on, held_out),
            )

        monkeypatch.setattr(judges, "_open", open_made_up)
        verdict = KNOWN_RESULTS[name].judge({variant: {3: None} for variant in all_flags})
        assert isinstance(verdict.figure, Figure)
        return verdict

    return judge_made_up


@pytest.mark.parametrize(
    ("above", "share", "passed"),
    [(0.003, 0.875, True), (0.02, 0.875, False), (-0.01, 0.875, False), (0.003, 0.8125, False)],
)
def test_the_toy_must_be_at_its_floor(judge, above, share, passed):
    verdict = judge(
        "toy",
        lambda *_: 3 * math.log(3) / 16 + above,
        lambda _, examples: np.arange(examples.count) < share * examples.count,
    )
    assert verdict.passed is passed


def test_every_sequence_must_be_sorted(judge):
    def sort(question):
        return " ".join(sorted(question.removesuffix(" =").split()))

    held_out = load_corpus("sort").sentences[-1]
    assert judge("sort", lambda *_: 0.0, answer=sort).passed
    verdict = judge(
        "sort",
        lambda *_: 0.0,
        answer=lambda q: "0 0 0 0 0 0" if held_out.startswith(q) else sort(q),
    )
    assert [claim.passed for claim in verdict.claims] == [True, False]
    assert "181 of 182 different ones" in verdict.claims[1].measured


def repeated(examples):
    """(count,), whether a token stands one period after itself."""
    rows = examples.windows
    periods = [row.tolist().index(row[0], 1) for row in rows]
    return (np.arange(1, rows.shape[1]) >= np.array(periods)[:, None]).ravel()


@pytest.mark.parametrize(
    ("one", "two", "passed"),
    [(2.0, 0.1, [True, True]), (2.0, 0.3, [True, False]), (1.7, 0.1, [False, True])],
)
def test_two_layers_must_foresee_and_one_must_not(judge, one, two, passed):
    def losses(settings, examples, _):
        return np.where(repeated(examples), one if settings.num_layers == 1 else two, 3.4)

    assert [claim.passed for claim in judge("induction", losses).claims] == passed


@pytest.mark.parametrize(
    ("none", "right", "by_place", "passed"),
    [
        (1.39, 1, False, [True] * 6),
        (1.2, 1, False, [True, False, *[True] * 4]),
        (1.39, 0.98, False, [True, True, *[False] * 4]),
        (1.39, 1, True, [False, *[True] * 5]),
    ],
)
def test_encodings_must_tell_and_none_must_not(judge, none, right, by_place, passed):
    def logits(token_ids):
        weights = np.arange(token_ids.shape[1]) if by_place else np.ones(token_ids.shape[1])
        return (token_ids * weights).sum(axis=1)[:, None, None]

    verdict = judge(
        "positions",
        lambda settings, *_: none if settings.position == "none" else 0.01,
        lambda _, examples: np.arange(examples.count) < right * examples.count,
        logits=logits,
    )
    assert [claim.passed for claim in verdict.claims] == passed


@pytest.mark.parametrize(
    ("alibi", "rotary", "sinusoidal", "passed"),
    [
        (0.0, 0.5, 1.5, [True] * 4),
        (0.2, 0.5, 1.5, [False, True, True, True]),
        (0.0, 0.05, 1.5, [True, False, True, True]),
        (0.0, 1.5, 0.5, [True, True, True, False]),
    ],
)
def test_alibi_must_hold_and_others_break_in_order(judge, alibi, rotary, sinusoidal, passed):
    rises = {"alibi": alibi, "rotary": rotary, "sinusoidal": sinusoidal}

    def losses(settings, _, positions):
        loss = np.where(positions < 32, 5.0, 1.0)  # the first tokens of a text are hard to foresee
        return np.where(positions < 64, loss, 1 + rises[settings.position])

    assert [claim.passed for claim in judge("long", losses).claims] == passed
