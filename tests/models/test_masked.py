"""The masked model: its head, the gaps that it fills, and what it is not asked for."""

import keras
import numpy as np
import pytest
from keras import ops

from data.tokenizer import MASK, BPETokenizer, CharTokenizer
from models import DecoderLanguageModel, EncoderDecoderModel, MaskedLanguageModel
from tests.layers.layer_checks import randomize, to_numpy


@pytest.fixture
def model(tokenizer):
    keras.utils.set_random_seed(2)
    model = MaskedLanguageModel(tokenizer.with_extra_tokens(MASK), context_length=5)
    randomize(model)
    return model


def softmax(logits):
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def test_a_gap_is_filled_by_the_logits_at_its_place(model):
    ids = model.tokenizer.encode("i love deep learning")
    ids[1] = ids[3] = model.tokenizer.special_id(MASK)
    logits = to_numpy(model(np.array([ids])))[0]
    found = model.fill(f"i {MASK} deep {MASK}", k=100)
    assert len(found) == 2
    for place, likeliest in zip((1, 3), found, strict=True):
        shares = softmax(logits[place])
        assert len(likeliest) == len(model.tokenizer.pieces)  # no special token among them
        for token, share in likeliest:
            (id_,) = model.tokenizer.encode(token)
            assert share == pytest.approx(shares[id_], abs=1e-5)
        assert [share for _, share in likeliest] == sorted((s for _, s in likeliest), reverse=True)


def test_what_is_right_of_a_gap_counts_and_padding_does_not(model):
    first, second = (model.fill(f"i {MASK} {word}")[0] for word in ("deep", "models"))
    assert first != second
    ids = np.array([[2, model.tokenizer.special_id(MASK), 4]])
    alone, beside = (to_numpy(model(np.pad(ids, ((0, 0), (0, n))))) for n in (0, 2))
    np.testing.assert_allclose(alone, beside[:, :3], atol=1e-5)


def test_the_head_is_dense_gelu_norm_and_the_embedding(model):
    before = keras.Model(model.input, model.get_layer("encoder_layer_2").output[0])
    x = to_numpy(before(np.array([[2, 3, 4]])))
    kernel, bias = map(to_numpy, model.get_layer("transform").weights)
    h = to_numpy(ops.gelu(x @ kernel + bias, approximate=False))
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)
    gamma, beta = map(to_numpy, model.get_layer("transform_norm").weights)
    embeddings = to_numpy(model.get_layer("embedding").embedding.embeddings)
    expected = (h * gamma + beta) @ embeddings.T
    np.testing.assert_allclose(to_numpy(model(np.array([[2, 3, 4]]))), expected, atol=1e-3)


def test_gaps_stand_between_characters_and_tokens():
    keras.utils.set_random_seed(2)
    letters = MaskedLanguageModel(CharTokenizer("abc ").with_extra_tokens(MASK), context_length=8)
    tokens, _ = letters.attention(f"ab{MASK} c{MASK}")
    assert tokens == ["a", "b", MASK, " ", "c", MASK]
    assert len(letters.fill(f"ab{MASK} c{MASK}")) == 2
    pairs = BPETokenizer(["a b"]).with_extra_tokens(MASK)
    model = MaskedLanguageModel(pairs, context_length=8)
    assert model.attention(f"ab {MASK} é")[0] == ["ab", " ", MASK, " ", "\\xc3", "\\xa9"]
    assert pairs.decode([pairs.special_id(MASK), *pairs.encode("é")]) == f"{MASK}é"


@pytest.mark.parametrize(
    ("text", "k", "message"),
    [
        ("i love deep", 1, r"The text must hold a gap, \[MASK\]. Received: 'i love deep'"),
        (f"i {MASK} zebras", 1, "The text must hold only words .* Received: 'zebras' in"),
        (f"i {MASK} deep deep deep deep", 1, "The text must hold at most 5 words. Received: 6"),
        (f"i {MASK}", 0, "`k` must be at least 1. Received: k=0"),
    ],
)
def test_a_text_that_can_not_be_filled_is_refused(model, text, k, message):
    with pytest.raises(ValueError, match=message):
        model.fill(text, k)


def test_a_masked_model_writes_nothing_on(model):
    for ask in (model.generate, model.predict_next, model.beam_search):
        with pytest.raises(ValueError, match=r"A masked model reads both sides .* use `fill`"):
            ask("i love")


def test_other_models_fill_and_translate_nothing(tokenizer, model):
    decoder = DecoderLanguageModel(tokenizer, context_length=4)
    pairs = EncoderDecoderModel(tokenizer.with_extra_tokens("[BEGIN]", "[END]"), context_length=4)
    for other in (decoder, pairs):
        with pytest.raises(ValueError, match=r"`fill` needs a masked model.*\[MASK\]. Received"):
            other.fill("i [MASK]")
    for other in (decoder, model):
        with pytest.raises(ValueError, match=r"`translate` needs an encoder-decoder.* Received: a"):
            other.translate("i love")


def test_a_tokenizer_without_the_extra_token_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"`tokenizer` must have the extra token \[MASK\]"):
        MaskedLanguageModel(tokenizer, context_length=4)


def test_the_new_token_moves_no_other(tokenizer):
    assert tokenizer.with_extra_tokens(MASK).vocabulary[:-1] == tokenizer.vocabulary
