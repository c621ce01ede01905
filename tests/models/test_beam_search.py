"""Beam search of an encoder-decoder, beside what enumeration and one step at a time find."""

import itertools

import keras
import numpy as np
import pytest

from data.tokenizer import CharTokenizer
from models import EncoderDecoderModel
from models.xla import has_xla
from tests.layers.layer_checks import randomize, to_numpy

LETTERS = CharTokenizer("abcd").with_extra_tokens("[BEGIN]", "[END]")
BEGIN, END = map(LETTERS.special_id, ("[BEGIN]", "[END]"))
SOURCES = ["abc", "d", "ca", "bbbb", "dcba"]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(5)
    model = EncoderDecoderModel(LETTERS, context_length=6, d_model=8, num_layers=1)
    randomize(model)
    return model


def log_p(model, source, targets):
    """log p of targets of one length, with their ends where they have one."""
    targets = np.array(targets)
    begins = np.full((len(targets), 1), BEGIN)
    inputs = {
        "source_ids": np.tile(model.encode_source(source), (len(targets), 1)),
        "target_ids": np.hstack([begins, targets[:, :-1]]),
    }
    logits = to_numpy(model(inputs)).astype("float64")
    logits[..., [0, 1, BEGIN]] = -np.inf  # what is never written
    logits -= np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return np.take_along_axis(logits, targets[..., None], axis=-1).sum(axis=(1, 2))


def all_targets(most):
    """Every target of up to so many tokens, the end counted: those that ended, and the others."""
    letters = LETTERS.encode("abcd")
    for length in range(most):
        for ids in itertools.product(letters, repeat=length):
            yield [*ids, END]
    for ids in itertools.product(letters, repeat=most):
        yield list(ids)


def test_a_beam_as_wide_as_the_space_finds_the_best_of_all_targets(model):
    sources = SOURCES[:2]
    likelihoods = {source: {} for source in sources}
    for length in (1, 2, 3):
        targets = [ids for ids in all_targets(3) if len(ids) == length]
        for source, of_source in likelihoods.items():
            of_source.update(zip(map(tuple, targets), log_p(model, source, targets), strict=True))
    for length_penalty in (0.0, 0.6, 2.0):
        for found, of_source in zip(
            model.beam_search(sources, 85, length_penalty, max_new_tokens=3, jit_compile=False),
            likelihoods.values(),
            strict=True,
        ):
            scores = {
                ids: log_p / ((5 + len(ids)) / 6) ** length_penalty
                for ids, log_p in of_source.items()
            }
            # Those that have ended come before those that were stopped.
            ranked = sorted(scores, key=lambda ids: (ids[-1] != END, -scores[ids]))
            assert len(found) == len(ranked) == 85
            for hypothesis, ids in zip(found, ranked, strict=True):
                assert hypothesis.text == LETTERS.decode(ids)
                assert hypothesis.score == pytest.approx(scores[ids], abs=1e-4)
                assert hypothesis.is_finished == (ids[-1] == END)


def test_one_beam_takes_the_likeliest_token_each_time(model):
    choices = [*LETTERS.encode("abcd"), END]
    for source, written in zip(SOURCES, model.translate(SOURCES, jit_compile=False), strict=True):
        ids = []
        while len(ids) < 5 and ids[-1:] != [END]:
            ids.append(choices[np.argmax(log_p(model, source, [[*ids, id_] for id_ in choices]))])
        assert written == LETTERS.decode(ids)


def test_the_best_come_first_and_differ(model):
    (found,) = model.beam_search(["abc"], 4, jit_compile=False)
    scores = [hypothesis.score for hypothesis in found if hypothesis.is_finished]
    assert scores == sorted(scores, reverse=True)
    assert len({hypothesis.text for hypothesis in found}) == 4
    (best,) = model.beam_search(["abc"], 4, num_best=1, jit_compile=False)
    assert best[0].text == found[0].text


def test_a_text_that_never_ends_stops_at_the_limit(model):
    bias = model.get_layer("logits").bias
    before = to_numpy(bias)
    bias.assign(np.where(np.arange(len(before)) == END, -1e4, before))
    try:
        (found,) = model.beam_search(["abc"], 2, max_new_tokens=4, jit_compile=False)
        whole = model.beam_search(["abc"], 2, jit_compile=False)[0]
    finally:
        bias.assign(before)
    assert [(len(text), is_finished) for text, _, is_finished in found] == [(4, False)] * 2
    assert {len(text) for text, *_ in whole} == {5}  # what the context holds beside [BEGIN]


def test_what_is_beside_a_source_does_not_matter(model):
    alone = [model.beam_search([source], 3, jit_compile=False)[0] for source in SOURCES]
    together = model.beam_search(SOURCES[::-1] * 20, 3, jit_compile=False)[-5:][::-1]
    for one, other in zip(alone, together, strict=True):
        assert [text for text, *_ in one] == [text for text, *_ in other]
        np.testing.assert_allclose([s for _, s, _ in one], [s for _, s, _ in other], atol=1e-5)


@pytest.mark.skipif(not has_xla(), reason="there is no XLA: nothing is compiled")
def test_compiled_the_targets_are_the_same(model):
    compiled, plain = (model.beam_search(SOURCES, 3, jit_compile=jit) for jit in (True, False))
    for one, other in zip(compiled, plain, strict=True):
        assert [text for text, *_ in one] == [text for text, *_ in other]


def test_no_source_has_no_target(model):
    assert model.beam_search([]) == []
