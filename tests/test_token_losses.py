"""One number a token: `experiments/token_losses.py`."""

import keras
import numpy as np
import pytest

from data.corpora import TOY_SENTENCES
from data.prefixes import Prefixes
from data.windows import Windows
from experiments.token_losses import predictions
from losses import MaskedCrossentropy
from metrics import MaskedAccuracy, MeanCrossentropy
from models import DecoderLanguageModel


@pytest.fixture
def decoder(tokenizer):
    keras.utils.set_random_seed(1)
    return DecoderLanguageModel(tokenizer, context_length=4)


@pytest.fixture
def windows(tokenizer):
    return Windows([i for s in TOY_SENTENCES for i in tokenizer.encode(s)], context_length=4)


@pytest.fixture
def prefixes(tokenizer):
    return Prefixes(tokenizer.encode_batch(TOY_SENTENCES), context_length=4)


def by_hand(model, context, target):
    """Loss, rank, likeliest token and its probability after one context, alone in its batch."""
    logits = np.array(model(np.array([context])), "float64")[0, -1]
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    order = np.argsort(-logits, kind="stable").tolist()
    return (
        -np.log(probabilities[target]),
        order.index(target),
        order[0],
        probabilities.max(),
    )


def check_each(found, model, contexts, targets):
    assert found.positions.tolist() == [len(context) - 1 for context in contexts]
    for number, (context, target) in enumerate(zip(contexts, targets, strict=True)):
        loss, rank, likeliest, confidence = by_hand(model, context, target)
        assert found.losses[number] == pytest.approx(loss, abs=1e-5)
        assert (found.ranks[number], found.likeliest[number]) == (rank, likeliest)
        assert found.confidences[number] == pytest.approx(confidence, abs=1e-6)


def test_each_token_of_a_text_is_predicted_from_its_window(decoder, windows):
    ids = windows.token_ids.tolist()
    contexts = [ids[place // 4 * 4 : place + 1] for place in range(windows.count)]
    assert windows.count % 4, "the last window should be a part of one"
    check_each(predictions(decoder, windows, batch_size=3), decoder, contexts, windows.targets)


def test_each_prefix_is_a_context(model, prefixes):
    windows = prefixes.windows[prefixes.rows].tolist()
    contexts = [row[:n] for row, n in zip(windows, prefixes.lengths, strict=True)]
    check_each(predictions(model, prefixes, batch_size=5), model, contexts, prefixes.targets)


def test_means_are_those_of_evaluate(tokenizer, windows):
    keras.utils.set_random_seed(2)
    model = DecoderLanguageModel(tokenizer, context_length=4, dtype="mixed_bfloat16")
    found = predictions(model, windows, batch_size=4)
    model.compile(
        loss=MaskedCrossentropy(),
        weighted_metrics=[MeanCrossentropy(), MaskedAccuracy(), MaskedAccuracy(k=5)],
        jit_compile=True,  # half precision rounds otherwise without
    )
    batches = windows.evaluation_batches(4)
    expected = model.evaluate(batches, verbose=0, return_dict=True)
    assert found.losses.dtype == found.confidences.dtype == "float32"
    assert found.losses.mean(dtype="float64") == pytest.approx(expected["loss"], rel=1e-5)
    assert np.mean(found.ranks == 0) == pytest.approx(expected["accuracy"], abs=1e-6)
    assert np.mean(found.ranks < 5) == pytest.approx(expected["top5_accuracy"], abs=1e-6)


def test_a_model_that_gives_no_numbers_is_never_right(decoder, windows):
    decoder.get_layer("logits").bias.assign(np.full(decoder.tokenizer.vocabulary_size, np.nan))
    found = predictions(decoder, windows)
    assert np.isnan(found.losses).all()
    assert np.isnan(found.confidences).all()
    assert (found.ranks > 0).all()
