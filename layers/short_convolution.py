"""A causal convolution over the last few positions."""

import keras
from keras import ops

from layers.checks import check_positive_integers


@keras.saving.register_keras_serializable(package="mini_transformer")
class ShortConvolution(keras.layers.Layer):
    """Adds to each position a weighted sum of itself and the few positions before it.

        y_t = x_t + sum_{i < K} w_i * x_{t-i}

    The w_i are vectors of D numbers, multiplied with the x number by number: each of the D numbers
    is convolved by itself ("depthwise"), so there are K D weights only. What lies before the first
    position is 0.

    Attention can find a token wherever it stands, but has to learn where to look, even for the one
    just before. Here neighbours are at hand from the first step on. Each position sees itself and
    what is to its left: the layer is causal, and padding on the right changes no token before it.

    The weights start at 0, so a fresh layer changes nothing. They have three axes, since Muon would
    take a (K, D) matrix for a projection and make its rows orthogonal; what is no matrix it leaves
    to Adam.

    Args:
        kernel_size: how many positions each sees, itself among them, K. A positive integer,
            default 4.

    Call arguments:
        inputs: floats, (B, T, D).
        extended: the inputs once more, after those of the K - 1 positions to their left, where
            these were read before: floats, (B, K - 1 + T, D). Default None: nothing is to the left.

    Returns:
        Floats, (B, T, D).

    Raises:
        ValueError: a `kernel_size` that is no positive integer.

    Example:

    >>> convolution = ShortConvolution(kernel_size=2)
    >>> convolution.build((1, 3, 1))
    >>> convolution.set_weights([np.array([[[0.0]], [[0.5]]])])  # half of the one before
    >>> ops.convert_to_numpy(convolution(np.array([[[1.0], [2.0], [4.0]]])))[0, :, 0]
    array([1. , 2.5, 5. ], dtype=float32)

    References: So et al. (2021), Primer, https://arxiv.org/abs/2109.08668, with convolutions of
    three positions; Allen-Zhu (2025), "Canon layers", https://arxiv.org/abs/2512.17351.
    """

    def __init__(self, kernel_size: int = 4, **kwargs):
        super().__init__(**kwargs)
        check_positive_integers(kernel_size=kernel_size)
        self.kernel_size = kernel_size

    def build(self, inputs_shape):
        self.kernel = self.add_weight(
            shape=(self.kernel_size, 1, inputs_shape[-1]), initializer="zeros", name="kernel"
        )  # (K, 1, D)

    def call(self, inputs, extended=None):
        length, past = ops.shape(inputs)[1], self.kernel_size - 1
        if extended is None:
            extended = ops.pad(inputs, [(0, 0), (past, 0), (0, 0)])  # (B, K - 1 + T, D)
        kernel = ops.unstack(ops.cast(self.kernel, inputs.dtype))  # K times (1, D)
        return inputs + sum(
            weights * extended[:, past - i : past - i + length] for i, weights in enumerate(kernel)
        )  # (B, T, D)

    def empty_inputs(self, batch_size: int):
        """What a `KeyValueCache` keeps for texts that begin.

        Returns:
            Zeros for what lies before the first token, (B, K - 1, D).
        """
        shape = batch_size, self.kernel_size - 1, self.kernel.shape[-1]
        return ops.zeros(shape, self.compute_dtype)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}
