"""The encoder-decoder: who sees what, with every switch, cached and saved."""

import keras
import numpy as np
import pytest

from data.tokenizer import CharTokenizer
from models import EncoderDecoderModel
from tests.conftest import run_script
from tests.layers.layer_checks import randomize, to_numpy
from tests.models.test_decoder import EACH, FEW, VARIANTS, name_of

LETTERS = CharTokenizer("abcdefgh").with_extra_tokens("[BEGIN]", "[END]")
PHONES = CharTokenizer("ABC").with_extra_tokens("[BEGIN]", "[END]")
SOURCES = np.array([[2, 3, 4, 11, 0], [9, 8, 7, 6, 11]], "int32")
TARGETS = np.array([[5, 2, 3, 0, 0], [5, 4, 4, 2, 3]], "int32")


def make(source_tokenizer=LETTERS, tokenizer=PHONES, **variant):
    keras.utils.set_random_seed(3)
    arguments = {"context_length": 8, "d_model": 8, "num_layers": 2, "dff": 12, **variant}
    model = EncoderDecoderModel(tokenizer, source_tokenizer=source_tokenizer, **arguments)
    randomize(model)
    return model


def logits_of(model, sources=SOURCES, targets=TARGETS):
    return to_numpy(model({"source_ids": sources, "target_ids": targets}))


@pytest.fixture(scope="module", params=EACH, ids=name_of)
def varied(request):
    """A model of each kind, made once; nobody changes it."""
    return make(**request.param)


def test_padding_changes_no_logit_and_no_prediction(varied):
    model = varied
    together = logits_of(model)[0, :3]  # beside a longer source and a longer target
    alone = logits_of(model, SOURCES[:1, :4], TARGETS[:1, :3])[0]
    padded = logits_of(model, np.pad(SOURCES, ((0, 0), (0, 3))), np.pad(TARGETS, ((0, 0), (0, 3))))
    for other in (together, padded[0, :3]):
        np.testing.assert_allclose(other, alone, rtol=0, atol=1e-5 * max(1, np.abs(alone).max()))
        assert (other.argmax(axis=-1) == alone.argmax(axis=-1)).all()


def test_later_tokens_of_a_target_change_nothing_and_every_token_of_a_source_does(varied):
    # Two rows for each place of a target, then one for each of a source; also at [BEGIN].
    sources = np.concatenate([SOURCES] * 4 + [SOURCES[1:]] * 5)
    targets = np.concatenate([TARGETS] * 4 + [TARGETS[1:]] * 5)
    logits, places = logits_of(varied, sources, targets), np.repeat(range(1, 5), 2)
    for row, place in enumerate(places):
        targets[row, place] = 3 - (targets[row, place] == 3)
    for place in range(5):
        sources[8 + place, place] = 2
    others = logits_of(varied, sources, targets)
    for row, place in enumerate(places):
        np.testing.assert_array_equal(others[row, :place], logits[row, :place])
    assert (np.abs(others - logits)[8:].max(axis=-1) > 0).all()


@pytest.mark.parametrize("variant", FEW, ids=name_of)
def test_cross_attention_never_looks_at_padding(variant):
    model = make(**variant)
    memory, mask, encoder = model.encode(SOURCES)
    _, decoder, cross = model.decode(TARGETS, memory, mask)
    for scores in map(to_numpy, [*encoder, *cross]):
        assert (scores[0, ..., 4] == 0).all()
        assert (scores[1, ..., 4] > 0).all()
    for scores in map(to_numpy, decoder):
        assert (np.triu(scores, k=1) == 0).all()


@pytest.mark.parametrize("variant", EACH, ids=name_of)
def test_with_caches_the_targets_are_those_without(variant):
    model = make(**variant)
    beams = 1 + 2 * (VARIANTS.index(variant) % 2)
    sources = ["abc", "h", "gfedcba"]
    cached, uncached = (
        model.beam_search(sources, beams, use_cache=use_cache, jit_compile=False)
        for use_cache in (True, False)
    )
    for one, other in zip(cached, uncached, strict=True):
        assert [text for text, *_ in one] == [text for text, *_ in other]
        np.testing.assert_allclose([s for _, s, _ in one], [s for _, s, _ in other], rtol=1e-4)


def test_one_vocabulary_is_one_embedding():
    shared, apart = make(None, LETTERS), make(LETTERS, LETTERS)
    names = [[w.path for w in m.weights if "embedding" in w.path] for m in (shared, apart)]
    assert [len(of_one) for of_one in names] == [1, 2]
    assert shared.count_params() == apart.count_params() - 12 * 8
    tied = make(None, LETTERS, tie_embeddings=True)
    assert tied.count_params() == shared.count_params() - (12 * 8 + 12)
    assert "source_tokenizer" not in shared.get_config()


RELOAD = """
import sys, numpy as np, keras, models
for number in range(2):
    model = keras.saving.load_model(f"{sys.argv[1]}/{number}.keras")
    logits = model(dict(np.load(f"{sys.argv[1]}/inputs.npz")))
    np.save(f"{sys.argv[1]}/{number}.npy", keras.ops.convert_to_numpy(logits))
    print(model.translate("abc"), model.source_tokenizer.vocabulary_size)
"""


@pytest.mark.slow
def test_a_saved_model_gives_the_same_logits_in_another_process(tmp_path):
    shared, apart = (
        make(*tokenizers, position="rotary", convolution="both")
        for tokenizers in ((None, LETTERS), (LETTERS, PHONES))
    )
    np.savez(tmp_path / "inputs.npz", source_ids=SOURCES, target_ids=TARGETS)
    for number, model in enumerate((shared, apart)):
        model.save(tmp_path / f"{number}.keras")
    result = run_script("-c", RELOAD, tmp_path)
    assert result.returncode == 0, result.stderr
    for number, model in enumerate((shared, apart)):
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), logits_of(model))
        assert result.stdout.splitlines()[number - 2] == f"{model.translate('abc')} 12"


def test_attention_has_tokens_for_its_axes():
    found = make().attention("abc", "CBA")
    assert found.source == ["a", "b", "c", "[END]"]
    assert found.target == ["[BEGIN]", "C", "B", "A"]
    shapes = [scores.shape for scores in (found.encoder, found.decoder, found.cross)]
    assert shapes == [(2, 2, 4, 4)] * 3
    assert found.maps["cross"][:2] == (found.target, found.source)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.translate("xyz"), "The source must hold only characters that the model knows"),
        (lambda m: m.translate(""), "The source must hold at least one character. Received: ''"),
        (lambda m: m.translate("a" * 8), "The source must hold at most 7 characters. Received: 8"),
        (lambda m: m.attention("a", "A" * 8), "The target must have at most 7 tokens"),
        (lambda m: m.translate("a", beams=0), "`beams` must be a whole number of at least 1"),
        (lambda m: m.translate("a", length_penalty=-1), "`length_penalty` must be a number of at"),
        (lambda m: m.translate("a", max_new_tokens=0), "`max_new_tokens` must be a whole number"),
        (lambda m: m.beam_search(["a"], num_best=0), "`num_best` must be a whole number of at"),
        (
            lambda m: EncoderDecoderModel(CharTokenizer("a"), 4),
            r"must have the extra tokens",
        ),
    ],
)
def test_what_can_not_be_read_is_refused_by_name(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(make())
