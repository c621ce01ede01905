"""Rotary position embedding: positions as rotations of queries and keys."""

import keras
import numpy as np
from keras import ops

from layers.checks import check_wavelength


@keras.saving.register_keras_serializable(package="mini_transformer")
class RotaryEmbedding(keras.layers.Layer):
    """Turns each query and key by angles that grow with its position.

        (x_i, x_{i + H/2})  ->  (x_i cos a - x_{i + H/2} sin a,  x_i sin a + x_{i + H/2} cos a)
        a = pos / max_wavelength^(2i / H)

    The numbers of a head are taken in pairs, number i with number i + H/2, and each pair is turned
    like the hand of a clock, the first pair fastest. The dot product of a query turned by t and a
    key turned by s depends on t - s alone, so attention sees how far apart two tokens stand, not
    where. (The paper pairs neighbours, i and i + 1; which numbers make a pair is a matter of
    naming, since they are learned.)

    Nothing is learned. Angles are computed in float32 under every dtype policy.

    With `fraction` below 1 only the first R of the H numbers of each head are turned, and R stands
    for H in the equations; the others carry what has nothing to do with positions.

    Args:
        max_wavelength: the slowest pair turns once in about 2 pi times so many positions. A
            number above 1, default 10000.
        fraction: which part of the numbers is turned, above 0 and at most 1; rounded down to an
            even number of them, at least 2. Default 1: all.

    Call arguments:
        inputs: queries or keys, floats, (B, N, T, H). H must be even.
        start: the position of the first of the T, an integer. Default 0.

    Returns:
        Floats, (B, N, T, H), each vector as long as before.

    Raises:
        ValueError: a `max_wavelength` of 1 or less, a `fraction` out of its range, or an odd H.

    Example:

    >>> x = np.ones((1, 1, 3, 2))
    >>> ops.convert_to_numpy(RotaryEmbedding()(x))[0, 0].round(2)  # turned by 0, 1 and 2 radians
    array([[ 1.  ,  1.  ],
           [-0.3 ,  1.38],
           [-1.33,  0.49]], dtype=float32)

    Reference: Su et al. (2021), RoFormer, https://arxiv.org/abs/2104.09864, section 3.2; in part:
    Black et al. (2022), GPT-NeoX-20B, https://arxiv.org/abs/2204.06745, section 2.1.1.
    """

    def __init__(self, max_wavelength: float = 10000, fraction: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        check_wavelength(max_wavelength)
        if not 0 < fraction <= 1:
            raise ValueError(
                f"`fraction` must be above 0 and at most 1. Received: fraction={fraction!r}."
            )
        self.max_wavelength = max_wavelength
        self.fraction = fraction

    def build(self, inputs_shape):
        if inputs_shape[-1] % 2:
            raise ValueError(
                "Rotary embedding needs an even width, for it turns pairs of numbers. "
                f"Received: head_dim={inputs_shape[-1]}."
            )

    def call(self, inputs, start=0):
        length, head_dim = ops.shape(inputs)[2], inputs.shape[-1]
        positions = ops.cast(start + ops.arange(length), "float32")[:, None]  # (T, 1)
        turning = max(int(self.fraction * head_dim) // 2 * 2, 2)
        frequencies = self.max_wavelength ** (-np.arange(0, turning, 2) / turning)  # (R/2,)
        angles = positions * ops.convert_to_tensor(frequencies, "float32")  # (T, R/2)
        cos, sin = ops.cast(ops.cos(angles), inputs.dtype), ops.cast(ops.sin(angles), inputs.dtype)
        first, second = ops.split(inputs[..., :turning], 2, axis=-1)
        others = inputs[..., turning:]
        turned = [first * cos - second * sin, first * sin + second * cos, others]
        return ops.concatenate(turned, axis=-1)  # (B, N, T, H)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        own = {"max_wavelength": self.max_wavelength, "fraction": self.fraction}
        return {**super().get_config(), **own}
