"""What every language model can do: train, name the next word, show its attention."""

import warnings

import keras
import numpy as np
import pytest

import models
from data.corpora import TOY_SENTENCES
from data.prefixes import Prefixes
from losses import MaskedCrossentropy
from metrics import MaskedAccuracy, MeanCrossentropy, Perplexity
from models import EncoderLanguageModel, LanguageModel
from tests.layers.layer_checks import to_numpy
from tests.models.test_decoder import logits_of, with_what_it_needs

TOKEN_IDS = np.array([[2, 3, 4, 5], [6, 7, 0, 0], [1, 8, 9, 0]], "int32")


def compile_and_fit(model, **arguments):
    prefixes = Prefixes(model.tokenizer.encode_batch(TOY_SENTENCES), context_length=4)
    examples = next(prefixes.evaluation_batches(batch_size=16).as_numpy_iterator())
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss=MaskedCrossentropy(),
        weighted_metrics=[MeanCrossentropy(), MaskedAccuracy(), Perplexity()],
        jit_compile=keras.backend.backend() == "jax",  # XLA takes longer to compile than it saves
    )
    token_ids, targets, weights = examples
    model.fit(token_ids, targets, sample_weight=weights, epochs=4, verbose=0, **arguments)
    return examples


@pytest.mark.parametrize("name", models.ZOO)
def test_the_zoo_holds_models_from_tokens_to_logits(name, tokenizer):
    model = models.ZOO[name](with_what_it_needs(tokenizer, name), context_length=3)
    assert isinstance(model, LanguageModel) or name == "encoder-decoder"
    assert logits_of(model, TOKEN_IDS[:, :3]).shape == (3, 3, model.tokenizer.vocabulary_size)


# What training reports


def test_an_epoch_reports_its_own_figures(tokenizer):
    keras.utils.set_random_seed(1)
    model = EncoderLanguageModel(tokenizer, context_length=4, dropout=0.0)
    model.compile(
        optimizer=keras.optimizers.SGD(0.0),
        loss=MaskedCrossentropy(),
        weighted_metrics=[MeanCrossentropy(), MaskedAccuracy()],
        jit_compile=keras.backend.backend() == "jax",
    )
    batches = [TOKEN_IDS, np.roll(TOKEN_IDS, 1)]
    expected = [model.evaluate(ids, ids, verbose=0, return_dict=True) for ids in batches]
    assert expected[0]["loss"] != pytest.approx(expected[1]["loss"], rel=1e-3)
    found = [
        model.fit(ids, ids, epochs=2, verbose=0, batch_size=2, shuffle=False).history
        for ids in batches
    ]
    for history, figures in zip(found, expected, strict=True):
        assert history["loss"] == pytest.approx([figures["loss"]] * 2, rel=1e-5)
        assert history["accuracy"] == pytest.approx([figures["accuracy"]] * 2, rel=1e-5)
    assert {name: float(value) for name, value in model.get_metrics_result().items()} == {
        name: values[-1] for name, values in found[-1].items()
    }


# What comes next


def test_the_probabilities_are_the_softmax_at_the_last_word(model, tokenizer):
    for text in ("i", "models learn patterns", "i love deep learning"):
        logits = model.predict_on_batch(np.array([tokenizer.encode(text)]))[0, -1]
        logits = logits.astype("float64")
        expected = np.exp(logits) / np.exp(logits).sum()
        probabilities = model.next_token_probabilities([text])
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, [expected], atol=1e-6)


def test_texts_do_not_change_each_others_probabilities(model):
    texts = ["i love deep learning", "i", "models learn"]
    together = model.next_token_probabilities(texts)
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_allclose(model.next_token_probabilities([text])[0], row, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3, 13])
def test_the_next_tokens_come_sorted_and_without_padding(model, tokenizer, k):
    pairs = model.predict_next("i love", k=k)
    tokens, probabilities = zip(*pairs, strict=True)
    (row,) = model.next_token_probabilities(["i love"])
    expected = sorted(range(1, tokenizer.vocabulary_size), key=lambda id_: -row[id_])[:k]
    assert list(tokens) == tokenizer.tokens(expected)
    assert list(probabilities) == row[expected].tolist()
    assert all(type(probability) is float for probability in probabilities)


def test_padding_is_left_out_also_when_it_is_the_likeliest(model):
    bias = model.get_layer("logits").bias
    bias.assign(50 * np.eye(*bias.shape)[0])
    assert model.next_token_probabilities(["i love"])[0, 0] > 0.99
    assert "[PAD]" not in dict(model.predict_next("i love", k=100))


def test_more_tokens_than_there_are_gives_all_of_them(model, tokenizer):
    tokens = dict(model.predict_next("i love", k=100))
    assert set(tokens) == set(tokenizer.vocabulary) - {"[PAD]"}
    assert len(model.predict_next("i love")) == 5


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_token_is_refused(model, k):
    with pytest.raises(ValueError, match=f"`k` must be at least 1. Received: k={k}"):
        model.predict_next("i love", k=k)


@pytest.mark.parametrize("text", ["", " \t\n"])
@pytest.mark.parametrize("name", ["predict_next", "attention", "next_token_probabilities"])
def test_a_text_without_a_word_is_refused(model, name, text):
    argument = [text] if name == "next_token_probabilities" else text
    with pytest.raises(ValueError, match=r"must hold at least one word\. Received: "):
        getattr(model, name)(argument)


@pytest.mark.parametrize("texts", [[], "i love"])
def test_texts_that_are_no_list_of_texts_are_refused(model, texts):
    with pytest.raises(ValueError, match=r"`texts` must be a list of at least one text\. Received"):
        model.next_token_probabilities(texts)


def test_of_a_long_text_the_last_words_are_read(model):
    long, short = "deep i love deep learning is", "love deep learning is"
    assert model.predict_next(long) == model.predict_next(short)
    tokens, scores = model.attention(long)
    assert tokens == short.split()
    np.testing.assert_array_equal(scores, model.attention(short)[1])


@pytest.mark.parametrize("name", ["predict_next", "attention", "next_token_probabilities"])
def test_an_unknown_word_warns_once_where_it_was_asked(model, name):
    ask = getattr(model, name)
    wrap = str if name != "next_token_probabilities" else lambda text: [text]
    with pytest.warns(UserWarning, match=r"read as \[UNK\]: zebra, okapi\.") as warned:
        ask(wrap("i love zebra okapi"))
    asked = [w.filename for w in warned if issubclass(w.category, UserWarning)]
    assert asked == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(wrap("okapi i love zebra"))
        model.predict_next("zebra love")
    with pytest.warns(UserWarning, match=r"read as \[UNK\]: gnu\."):
        ask(wrap("zebra gnu"))


def test_a_word_that_is_unknown_twice_is_named_once(model):
    with pytest.warns(UserWarning, match=r"read as \[UNK\]: zebra, lion\.$"):
        model.predict_next("zebra lion zebra")


def test_an_unknown_word_is_read_as_the_unknown_token(model):
    with pytest.warns(UserWarning, match="zebra"):
        tokens, _ = model.attention("i Love zebra")
    assert tokens == ["i", "love", "[UNK]"]


# Attention


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("text", ["i", "i love", "i love deep learning"])
def test_attention_has_a_row_for_each_word_that_sums_to_1(tokenizer, num_layers, text):
    model = EncoderLanguageModel(tokenizer, context_length=4, num_layers=num_layers)
    tokens, scores = model.attention(text)
    length = len(text.split())
    assert tokens == text.split()
    assert scores.shape == (num_layers, 2, length, length)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-6)


def test_a_model_of_half_precision_answers_in_single(tokenizer):
    model = EncoderLanguageModel(tokenizer, context_length=4, dtype="mixed_bfloat16")
    _, scores = model.attention("i love deep")
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=0.01)
    probabilities = model.next_token_probabilities(["i love deep"])
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-6)


@pytest.mark.slow
def test_watching_shows_the_weights_of_the_moment_and_does_not_change_what_is_learned(tokenizer):
    weights, seen = [], []
    for watch in (False, True):
        keras.utils.set_random_seed(3)
        model = EncoderLanguageModel(tokenizer, context_length=4)

        def look(epoch, logs, model=model):
            seen.append((model.attention("i love deep")[1], model.predict_next("i love")))

        watcher = keras.callbacks.LambdaCallback(on_epoch_end=look)
        compile_and_fit(model, callbacks=[watcher] if watch else [])
        weights.append([to_numpy(weight) for weight in model.weights])
    for alone, watched in zip(*weights, strict=True):
        np.testing.assert_array_equal(alone, watched)
    (first_scores, first_pairs), *_, (last_scores, last_pairs) = seen
    assert np.abs(first_scores - last_scores).max() > 1e-4
    assert first_pairs != last_pairs
    np.testing.assert_array_equal(last_scores, model.attention("i love deep")[1])
    assert last_pairs == model.predict_next("i love")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="looks into TensorFlow's graph")
def test_handing_out_scores_is_no_part_of_what_is_trained(model):
    """So scores that nobody reads cost nothing: the layers make them in any case, to attend."""
    import tensorflow as tf

    def ranks(keras_model):
        spec = tf.TensorSpec((2, 4), tf.int32)
        graph = tf.function(keras_model).get_concrete_function(spec).graph
        return {tensor.shape.rank for op in graph.get_operations() for tensor in op.outputs}

    all_scores = 5  # (B, layers, N, T, T)
    assert all_scores in ranks(model._attention_scores.__self__)
    assert all_scores not in ranks(model)
