"""The position-wise feed-forward network."""

import keras
from keras import ops

from layers.checks import check_positive_integers
from layers.initializers import scaled_glorot


@keras.saving.register_keras_serializable(package="mini_transformer")
def relu_squared(x):
    """max(0, x)^2.

    Example:

    >>> ops.convert_to_numpy(relu_squared(np.array([-2.0, 3.0], "float32")))
    array([0., 9.], dtype=float32)

    Reference: So et al. (2021), Primer, https://arxiv.org/abs/2109.08668.
    """
    return ops.square(ops.relu(x))


@keras.saving.register_keras_serializable(package="mini_transformer")
class FeedForward(keras.layers.Layer):
    """Two dense layers with a non-linear function between them, applied to every position alike.

        FFN(x) = max(0, x W_1 + b_1) W_2 + b_2                      with ReLU, as in the paper
        FFN(x) = (f(x W_1 + b_1) * (x W_3 + b_3)) W_2 + b_2         gated; SwiGLU where f is SiLU

    Attention moves information between positions; this layer works on each position by itself.

    Args:
        d_model: width of the output, D. A positive integer.
        dff: width of the hidden layer; the paper uses 4 D. A positive integer. A gate is a third
            kernel of this width: to keep the number of weights, take two thirds of it.
        activation: the function f, or Keras's name for it. Default "relu".
        gated: whether f multiplies a second projection of the input. Default False.
        use_bias: whether the projections add a bias. Default True.
        output_scale: how large the output projection starts out, as a factor on Keras's default,
            at least 0. Default 1.

    Call arguments:
        inputs: floats, (B, T, any width).

    Returns:
        Floats, (B, T, D).

    Raises:
        ValueError: a size that is no positive integer, or a negative `output_scale`.

    Example:

    >>> feed_forward = FeedForward(d_model=4, dff=16)
    >>> tuple(feed_forward(np.zeros((1, 3, 4))).shape)
    (1, 3, 4)

    References: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.3, equation 2;
    gates: Shazeer (2020), https://arxiv.org/abs/2002.05202.
    """

    def __init__(
        self,
        d_model: int,
        dff: int,
        activation="relu",
        gated: bool = False,
        use_bias: bool = True,
        output_scale: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive_integers(d_model=d_model, dff=dff)
        self.d_model = d_model
        self.dff = dff
        self.activation = keras.activations.get(activation)
        self.gated = gated
        self.use_bias = use_bias
        self.output_scale = output_scale
        policy = self.dtype_policy
        self.hidden = keras.layers.Dense(
            dff, activation=self.activation, use_bias=use_bias, name="hidden", dtype=policy
        )
        if gated:
            self.gate = keras.layers.Dense(dff, use_bias=use_bias, name="gate", dtype=policy)
        self.output_projection = keras.layers.Dense(
            d_model,
            use_bias=use_bias,
            kernel_initializer=scaled_glorot(output_scale),
            name="output",
            dtype=policy,
        )

    def build(self, inputs_shape):
        self.hidden.build(inputs_shape)
        if self.gated:
            self.gate.build(inputs_shape)
        self.output_projection.build((*inputs_shape[:-1], self.dff))

    def call(self, inputs):
        hidden = self.hidden(inputs)  # (B, T, dff)
        if self.gated:
            hidden = hidden * self.gate(inputs)
        return self.output_projection(hidden)  # (B, T, D)

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:-1], self.d_model)

    def get_config(self):
        return {
            **super().get_config(),
            "d_model": self.d_model,
            "dff": self.dff,
            "activation": keras.activations.serialize(self.activation),
            "gated": self.gated,
            "use_bias": self.use_bias,
            "output_scale": self.output_scale,
        }
