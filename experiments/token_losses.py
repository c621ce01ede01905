"""How well a model predicts each token of a text, one number a token."""

import time
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from data.examples import Examples
from losses import MaskedCrossentropy
from metrics import target_ranks
from models import ZooModel
from models.xla import has_xla


class Predictions(NamedTuple):
    """What a model made of each predicted token, in the order of `Examples.targets`.

    All but the last are arrays of one number a token, (count,).

    Attributes:
        losses: float32, -log p(token) in nats.
        positions: int32, its place in the context: 0 is predicted from one token, 1 from two.
        ranks: int32, how many tokens the model found likelier, 0 where it was right. Of equally
            likely tokens that of the lower id goes ahead.
        likeliest: int32, the id that the model found likeliest.
        confidences: float32, the probability that it gave to that one.
        seconds: what it took by the clock, without compilation and reading.

    Where the logits of a token are not numbers, its loss and its confidence are NaN, and it is not
    right.
    """

    losses: np.ndarray
    positions: np.ndarray
    ranks: np.ndarray
    likeliest: np.ndarray
    confidences: np.ndarray
    seconds: float


def predictions(model: ZooModel, examples: Examples, batch_size: int = 64) -> Predictions:
    """Lets a model predict every token of some examples once, in one pass.

    Everything is computed in float32 from the logits, whatever the model computes in. The mean of
    the losses is what `model.evaluate` reports as "loss" with `metrics.MeanCrossentropy`, up to
    rounding. Only one batch's logits are in memory at a time.

    Args:
        model: the model; it need not be compiled, and is left as it is.
        examples: what it predicts, with the model's objective and context; at least one token.
        batch_size: rows evaluated at a time. Default 64.

    Example:

    >>> from data.tokenizer import WordTokenizer
    >>> from data.windows import Windows
    >>> from models import DecoderLanguageModel
    >>> tokenizer = WordTokenizer.from_texts(["i love deep learning"])
    >>> model = DecoderLanguageModel(tokenizer, context_length=2)
    >>> found = predictions(model, Windows([2, 3, 4, 5], context_length=2))
    >>> found.positions.tolist(), found.losses.shape
    ([0, 1, 0], (3,))
    """
    predict = _Predictor(model).predict_on_batch
    compiled, found, seconds = set(), [], 0.0
    for inputs, targets, weights in examples.evaluation_batches(batch_size).as_numpy_iterator():
        batch = {"inputs": inputs, "targets": targets}
        shapes = tuple(array.shape for array in keras.tree.flatten(batch))
        if shapes not in compiled:
            predict(batch)
            compiled.add(shapes)
        begin = time.perf_counter()
        figures = predict(batch)
        seconds += time.perf_counter() - begin
        places = np.nonzero(weights)  # row by row, which is the order of the targets
        found.append((places[1].astype("int32"), *(figure[places] for figure in figures)))
    positions, losses, ranks, likeliest, confidences = map(np.concatenate, zip(*found, strict=True))
    return Predictions(losses, positions, ranks, likeliest, confidences, seconds)


class _Predictor(keras.Model):
    """Losses, ranks, likeliest tokens and their probabilities, (B, T) each.

    A Keras model, never saved, is what Keras compiles on every backend.
    """

    def __init__(self, model):
        super().__init__(autocast=False, name="predictor")
        self.model = model
        self.built = True
        self.jit_compile = has_xla()

    def call(self, inputs):
        logits = ops.cast(self.model(inputs["inputs"], training=False), "float32")  # (B, T, V)
        targets = ops.cast(inputs["targets"], "int32")
        losses = MaskedCrossentropy().call(targets, logits)
        likeliest = ops.cast(ops.argmax(logits, axis=-1), "int32")
        confidences = ops.exp(-MaskedCrossentropy().call(likeliest, logits))
        return losses, target_ranks(targets, logits), likeliest, confidences
