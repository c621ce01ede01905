"""Attention with linear biases: the farther away, the less attention."""

import math

import keras
from keras import ops

from layers.checks import check_positive_integers


def alibi_slopes(num_heads: int) -> list[float]:
    """How fast each head's attention falls with distance.

        m_n = 2^(-8 n / N),  n = 1 ... N

    The first head sees near tokens only, the last one far. Where N is no power of 2, the paper's
    rule: the slopes of the power of 2 below, then every other slope of the power above.

    Example:

    >>> alibi_slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    power = 2 ** math.floor(math.log2(num_heads))
    slopes = [2 ** (-8 * n / power) for n in range(1, power + 1)]
    between = [2 ** (-4 * n / power) for n in range(1, 2 * power + 1, 2)]
    return (slopes + between)[:num_heads]


@keras.saving.register_keras_serializable(package="mini_transformer")
class ALiBi(keras.layers.Layer):
    """What is added to the attention logits: minus the distance, times the slope of the head.

        bias[n, t, s] = - m_n |t - s|

    Nothing is learned. Biases are computed in float32 under every dtype policy.

    Args:
        num_heads: number of heads, N. A positive integer.

    Call arguments:
        query_length: number of queries, T.
        key_length: number of keys, S.
        start: the position of the first query; the keys start at 0. Default 0.

    Returns:
        float32, (N, T, S).

    Raises:
        ValueError: a `num_heads` that is no positive integer.

    Example:

    >>> biases = ALiBi(num_heads=1)(query_length=2, key_length=3)
    >>> ops.convert_to_numpy(biases)[0] * 256
    array([[-0., -1., -2.],
           [-1., -0., -1.]], dtype=float32)

    Reference: Press et al. (2021), Train Short, Test Long, https://arxiv.org/abs/2108.12409.
    """

    def __init__(self, num_heads: int, **kwargs):
        super().__init__(**kwargs)
        check_positive_integers(num_heads=num_heads)
        self.num_heads = num_heads

    def call(self, query_length, key_length, start=0):
        queries = start + ops.arange(query_length)  # (T,)
        distances = ops.abs(queries[:, None] - ops.arange(key_length)[None, :])  # (T, S)
        slopes = ops.convert_to_tensor(alibi_slopes(self.num_heads), "float32")[:, None, None]
        return -slopes * ops.cast(distances, "float32")  # (N, 1, 1) * (T, S) = (N, T, S)

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}
