"""Positions as vectors that are learned, one for each."""

import keras
from keras import ops

from layers.checks import check_positive_integers


@keras.saving.register_keras_serializable(package="mini_transformer")
class LearnedPositionalEmbedding(keras.layers.Layer):
    """Adds to each vector a learned vector that belongs to its position.

        x_t + P[t]

    The simplest way to tell positions apart, used by GPT-2. There are only `context_length`
    positions: nothing is known about later ones.

    Args:
        context_length: the number of positions. A positive integer.

    Call arguments:
        inputs: floats, (B, T, D), `start` + T at most `context_length`.
        start: the position of the first of the T, an integer. Default 0.

    Returns:
        Floats, (B, T, D).

    Raises:
        ValueError: a `context_length` that is no positive integer, or an input longer than it.

    Example:

    >>> layer = LearnedPositionalEmbedding(context_length=8)
    >>> tuple(layer(np.zeros((1, 3, 4))).shape)
    (1, 3, 4)

    Reference: Radford et al. (2019), Language Models are Unsupervised Multitask Learners (GPT-2).
    """

    def __init__(self, context_length: int, **kwargs):
        super().__init__(**kwargs)
        check_positive_integers(context_length=context_length)
        self.context_length = context_length

    def build(self, inputs_shape):
        self.embedding = self.add_weight(
            shape=(self.context_length, inputs_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="embedding",
        )

    def call(self, inputs, start=0):
        length = inputs.shape[1]
        if length is not None and length > self.context_length:
            raise ValueError(
                f"Expected at most `context_length` = {self.context_length} positions. "
                f"Received: inputs of shape {tuple(inputs.shape)}."
            )
        positions = start + ops.arange(ops.shape(inputs)[1])  # (T,)
        return inputs + ops.take(self.embedding, positions, axis=0)  # (B, T, D)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "context_length": self.context_length}
