"""Computations around a model that Keras compiles: what generation and beam search share."""

import keras
import numpy as np

from layers import KeyValueCache
from models.xla import compiles


class Part(keras.Model):
    """A computation around a language model, never saved: a Keras model is what Keras compiles."""

    def __init__(self, model):
        super().__init__(autocast=False, name="generation")
        self.model = model
        self.built = True

    def read(self, token_ids, caches, start, count=None):
        """The logits of new tokens, and the caches, the tensors of each layer's, with them."""
        caches = [KeyValueCache(**tensors, start=start, count=count) for tensors in caches]
        logits, _ = self.model.read(token_ids, caches)
        return logits, [cache.tensors for cache in caches]


class Reader(Part):
    """Fills caches with what is kept of the first `number` tokens of texts, (B, C)."""

    def call(self, inputs):
        token_ids, caches, number = (inputs[name] for name in ("token_ids", "caches", "number"))
        _, caches = self.read(token_ids, caches, start=0, count=number)
        return caches


class CompiledParts:
    """The compiled parts of one model, each made when it is first asked for, and kept.

    Args:
        model: a model of the zoo with `read`, `empty_caches` and `can_cache`.
    """

    def __init__(self, model):
        self.model = model
        self._compiled = {}

    def compiled(self, part: type[Part], *arguments, jit_compile: bool):
        """The compiled function of a part.

        Args:
            part: its class.
            arguments: what it takes beside the model.
            jit_compile: whether XLA compiles it, where that may be chosen (`compiles`).
        """
        jit_compile = compiles(jit_compile)
        key = (part, arguments, jit_compile)
        if key not in self._compiled:
            keras_model = part(self.model, *arguments)
            keras_model.jit_compile = jit_compile
            # Works on every backend, and hands the weights over as they are at each call.
            self._compiled[key] = keras_model.predict_on_batch
        return self._compiled[key]

    def read(self, token_ids: np.ndarray, number: int, jit_compile: bool) -> list[dict]:
        """The caches once the first `number` of these tokens, (B, C + 1), have been read."""
        size, length = len(token_ids), token_ids.shape[1] - 1
        caches = [cache.tensors for cache in self.model.empty_caches(size, length)]
        if not number:
            return caches
        # The whole window, so that there is one shape to compile. Tokens do not see what lies to
        # their right, and the loop writes over it.
        read = self.compiled(Reader, jit_compile=jit_compile)
        number = np.array(number, "int32")
        return read({"token_ids": token_ids[:, :-1], "number": number, "caches": caches})
