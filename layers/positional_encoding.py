"""The fixed sinusoidal positional encoding of "Attention Is All You Need"."""

import keras
import numpy as np
from keras import ops

from layers.checks import check_wavelength


@keras.saving.register_keras_serializable(package="mini_transformer")
class SinusoidalPositionalEncoding(keras.layers.Layer):
    """Adds to each vector a pattern of sines and cosines that tells its position.

        PE(pos, 2i)     = sin(pos / 10000^(2i / D))
        PE(pos, 2i + 1) = cos(pos / 10000^(2i / D))

    Attention itself does not see order: it treats its input as a set. These patterns bring order
    in. Each pair of columns turns like the hand of a clock, the first pair fastest, and the
    pattern of pos + k is a rotation of the pattern of pos by an angle that depends on k alone.

    Nothing is learned, and there is no longest length. Angles are computed in float32 under every
    dtype policy: bfloat16 has 8 bits of precision, so positions above 256 would fall together.

    Args:
        max_wavelength: the 10000 of the equations, a number above 1. Default 10000.

    Call arguments:
        inputs: floats, (B, T, D), of any D.
        start: the position of the first of the T, an integer. Default 0.

    Returns:
        Floats, (B, T, D): the inputs plus the encoding.

    Raises:
        ValueError: a `max_wavelength` of 1 or less.

    Example:

    >>> encoded = SinusoidalPositionalEncoding()(np.zeros((1, 2, 4)))
    >>> ops.convert_to_numpy(encoded)[0].round(2)
    array([[0.  , 1.  , 0.  , 1.  ],
           [0.84, 0.54, 0.01, 1.  ]], dtype=float32)

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.5.
    """

    def __init__(self, max_wavelength: float = 10000, **kwargs):
        super().__init__(**kwargs)
        check_wavelength(max_wavelength)
        self.max_wavelength = max_wavelength

    def build(self, inputs_shape):
        pass  # no weights

    def call(self, inputs, start=0):
        length, d_model = ops.shape(inputs)[1], inputs.shape[-1]
        positions = ops.cast(start + ops.arange(length), "float32")[:, None]  # (T, 1)
        column = np.arange(d_model)
        frequencies = self.max_wavelength ** (-2.0 * (column // 2) / d_model)  # (D,)
        angles = positions * ops.convert_to_tensor(frequencies, "float32")  # (T, D)
        encoding = ops.where(column % 2 == 0, ops.sin(angles), ops.cos(angles))  # (T, D)
        return inputs + ops.cast(encoding, inputs.dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "max_wavelength": self.max_wavelength}
