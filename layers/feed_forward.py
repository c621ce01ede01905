"""The position-wise feed-forward network."""

import keras

from layers.checks import check_positive_integers


@keras.saving.register_keras_serializable(package="mini_transformer")
class FeedForward(keras.layers.Layer):
    """Two dense layers with a ReLU between them, applied to every position alike.

        FFN(x) = max(0, x W_1 + b_1) W_2 + b_2

    Attention moves information between positions; this layer works on each position by itself.

    Args:
        d_model: width of the output, D. A positive integer.
        dff: width of the hidden layer; the paper uses 4 D. A positive integer.

    Call arguments:
        inputs: floats, (B, T, any width).

    Returns:
        Floats, (B, T, D).

    Raises:
        ValueError: a size that is no positive integer.

    Example:

    >>> feed_forward = FeedForward(d_model=4, dff=16)
    >>> tuple(feed_forward(np.zeros((1, 3, 4))).shape)
    (1, 3, 4)

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.3, equation 2.
    """

    def __init__(self, d_model: int, dff: int, **kwargs):
        super().__init__(**kwargs)
        check_positive_integers(d_model=d_model, dff=dff)
        self.d_model = d_model
        self.dff = dff
        self.hidden = keras.layers.Dense(
            dff, activation="relu", name="hidden", dtype=self.dtype_policy
        )
        self.output_projection = keras.layers.Dense(d_model, name="output", dtype=self.dtype_policy)

    def build(self, inputs_shape):
        self.hidden.build(inputs_shape)
        self.output_projection.build((*inputs_shape[:-1], self.dff))

    def call(self, inputs):
        hidden = self.hidden(inputs)  # (B, T, dff)
        return self.output_projection(hidden)  # (B, T, D)

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:-1], self.d_model)

    def get_config(self):
        return {**super().get_config(), "d_model": self.d_model, "dff": self.dff}
