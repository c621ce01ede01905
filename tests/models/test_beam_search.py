"""Beam search, beside what enumeration and one step at a time find."""

import functools
import itertools

import keras
import numpy as np
import pytest

from data.tokenizer import CharTokenizer
from models import EncoderDecoderModel
from models.xla import has_xla
from tests.layers.layer_checks import randomize, to_numpy
from tests.models.test_generation import generate, make_decoder

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


# Of models that continue a text


@pytest.fixture(scope="module")
def decoder():
    return make_decoder()


def test_one_beam_is_greedy(decoder):
    prompts = ["abc", "l", "abcdefgh"]
    found = decoder.beam_search(prompts, 1, 20, jit_compile=False)
    assert [text for ((text, *_),) in found] == generate(decoder, prompts, top_k=1)


@pytest.mark.parametrize("kind", ["decoder", pytest.param("encoder", marks=pytest.mark.slow)])
def test_a_beam_as_wide_as_the_space_finds_the_likeliest_texts(kind):
    """All texts of three tokens after a prompt, also where the context is full in between."""
    decoder = make_decoder(CharTokenizer("abc"), kind, context_length=4)
    randomize(decoder)
    for prompt in ("a", "cab"):
        begin = decoder.tokenizer.encode(prompt)
        log_p_of_next = functools.cache(functools.partial(log_p_after, decoder))
        log_p = {}
        for new in itertools.product(decoder.tokenizer.encode("abc"), repeat=3):
            ids = [*begin, *new]
            log_p[decoder.tokenizer.decode(ids)] = sum(
                log_p_of_next(tuple(ids[:number]))[ids[number]]
                for number in range(len(begin), len(ids))
            )
        expected = sorted(log_p, key=log_p.get, reverse=True)
        (found,) = decoder.beam_search(prompt, beams=27, max_new_tokens=3, jit_compile=False)
        assert [text for text, *_ in found] == expected
        scores = [score for _, score, _ in found]
        assert scores == pytest.approx([log_p[text] for text in expected], abs=1e-4)
        assert not any(is_finished for *_, is_finished in found)
        (best,) = decoder.beam_search(prompt, 27, 3, num_best=1, jit_compile=False)
        assert [text for text, *_ in best] == expected[:1]


def log_p_after(model, before):
    """log p of each token by the logits alone, from all before it that the model still remembers.

    Args:
        model: a language model.
        before: the ids before that token, a tuple.
    """
    length = model.context_length
    first = 0
    while len(before) > first + length:
        first += length - length // 2
    window = list(before[first:])
    padded = np.array([window + [model.tokenizer.padding_id] * (length - len(window))])
    logits = to_numpy(model(padded))[0, len(window) - 1].astype("float64")
    logits[[model.tokenizer.padding_id, model.tokenizer.unknown_id]] = -np.inf
    return logits - np.logaddexp.reduce(logits)


@pytest.mark.parametrize(
    "arguments", [{"beams": 0}, {"num_best": 0}, {"max_new_tokens": 0}, {"beams": 1.5}]
)
def test_a_search_for_nothing_is_refused_by_name(decoder, arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be a whole number of"):
        decoder.beam_search("a", **arguments)
