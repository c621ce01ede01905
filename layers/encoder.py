"""One layer of the Transformer encoder."""

import keras

from layers.attention import MultiHeadAttention
from layers.checks import check_dropout
from layers.feed_forward import FeedForward


@keras.saving.register_keras_serializable(package="mini_transformer")
class TransformerEncoderLayer(keras.layers.Layer):
    """Self-attention, then a feed-forward network, each with a residual and a normalisation.

        x = Norm(x + Dropout(MultiHead(x, x, x)))         x = x + Dropout(MultiHead(Norm(x), ...))
        x = Norm(x + Dropout(FFN(x)))                     x = x + Dropout(FFN(Norm(x)))

    The residual `x + ...` leaves each sub-layer only the change to learn. The normalisation comes
    after it, as in the paper ("post-norm", on the left), or before each sub-layer ("pre-norm", on
    the right). Pre-norm keeps a straight path from the first layer to the last, so that deep models
    train without care; its output still wants a normalisation after the last layer.

    Args:
        d_model: width of inputs and outputs, D. A positive integer.
        num_heads: number of attention heads, N. Must divide `d_model`.
        dff: width of the feed-forward network's hidden layer. A positive integer.
        dropout: share of each sub-layer's output dropped in training, 0 <= dropout < 1.
            Default 0.1. The attention scores themselves are not dropped, as in the paper.
        norm_first: whether each normalisation comes before its sub-layer. Default False.
        rms_norm: whether it divides by the root mean square alone, without taking off the mean or
            adding a bias (`keras.layers.RMSNormalization`). Default False.
        num_kv_heads, rotary_wavelength, alibi, qk_norm: those of `MultiHeadAttention`.
        activation, gated: those of `FeedForward`.
        use_bias, output_scale: those of both.

    Call arguments:
        inputs: floats, (B, T, D).
        padding_mask: booleans, (B, T), True for real tokens. Default None: all are.
        attention_mask: booleans, (T, T), or rank 4 broadcastable to (B, N, T, T), True where a
            query may attend to a key. Default None: everywhere.
        training: whether dropout is active. Default None: Keras decides.

    Returns:
        `(outputs, attention_scores)`: (B, T, D) and (B, N, T, T).

    Raises:
        ValueError: as `MultiHeadAttention` and `FeedForward` do.

    Example:

    >>> layer = TransformerEncoderLayer(d_model=8, num_heads=2, dff=32)
    >>> outputs, scores = layer(np.zeros((1, 3, 8)))
    >>> tuple(outputs.shape), tuple(scores.shape)
    ((1, 3, 8), (1, 2, 3, 3))

    References: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.1; pre-norm:
    Xiong et al. (2020), https://arxiv.org/abs/2002.04745; root mean square: Zhang and Sennrich
    (2019), https://arxiv.org/abs/1910.07467.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        dff: int,
        dropout: float = 0.1,
        norm_first: bool = False,
        rms_norm: bool = False,
        num_kv_heads: int | None = None,
        rotary_wavelength: float | None = None,
        alibi: bool = False,
        qk_norm: bool = False,
        activation="relu",
        gated: bool = False,
        use_bias: bool = True,
        output_scale: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_dropout(dropout)
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout = dropout
        self.norm_first = norm_first
        self.rms_norm = rms_norm
        self.num_kv_heads = num_kv_heads
        self.rotary_wavelength = rotary_wavelength
        self.alibi = alibi
        self.qk_norm = qk_norm
        self.activation = keras.activations.get(activation)
        self.gated = gated
        self.use_bias = use_bias
        self.output_scale = output_scale
        policy = self.dtype_policy
        norm_class = keras.layers.RMSNormalization if rms_norm else keras.layers.LayerNormalization
        self.attention = MultiHeadAttention(
            d_model,
            num_heads,
            num_kv_heads=num_kv_heads,
            rotary_wavelength=rotary_wavelength,
            alibi=alibi,
            qk_norm=qk_norm,
            use_bias=use_bias,
            output_scale=output_scale,
            name="attention",
            dtype=policy,
        )
        self.attention_dropout = keras.layers.Dropout(
            dropout, name="attention_dropout", dtype=policy
        )
        self.attention_norm = norm_class(epsilon=1e-6, name="attention_norm", dtype=policy)
        self.feed_forward = FeedForward(
            d_model,
            dff,
            activation=activation,
            gated=gated,
            use_bias=use_bias,
            output_scale=output_scale,
            name="feed_forward",
            dtype=policy,
        )
        self.feed_forward_dropout = keras.layers.Dropout(
            dropout, name="feed_forward_dropout", dtype=policy
        )
        self.feed_forward_norm = norm_class(epsilon=1e-6, name="feed_forward_norm", dtype=policy)

    def build(self, inputs_shape):
        self.attention.build(inputs_shape, inputs_shape)
        self.feed_forward.build(inputs_shape)
        for child in (
            self.attention_dropout,
            self.attention_norm,
            self.feed_forward_dropout,
            self.feed_forward_norm,
        ):
            child.build(inputs_shape)

    def call(self, inputs, padding_mask=None, attention_mask=None, training=None):
        x = self._attention_inputs(inputs)
        attended, attention_scores = self.attention(
            x, x, padding_mask=padding_mask, attention_mask=attention_mask, training=training
        )  # (B, T, D), (B, N, T, T)
        return self._add_and_transform(inputs, attended, training), attention_scores

    def call_with_cache(self, inputs, cache, start):
        """`MultiHeadAttention.call_with_cache`, with all that follows it in this layer.

        Args:
            inputs: the new tokens, floats, (B, T, D).
            cache: `(keys, values)` of the tokens before; at first, `attention.empty_cache`'s.
            start: the position of the first new token, an integer.

        Returns:
            `(outputs, cache)`: (B, T, D), and the cache with the new tokens in it.

        Example:

        >>> layer = TransformerEncoderLayer(d_model=8, num_heads=2, dff=32)
        >>> layer.build((1, 1, 8))
        >>> cache = layer.attention.empty_cache(batch_size=1, length=3)
        >>> outputs, cache = layer.call_with_cache(np.ones((1, 1, 8), "float32"), cache, start=0)
        >>> tuple(outputs.shape)
        (1, 1, 8)
        """
        x = self._attention_inputs(inputs)
        attended, cache = self.attention.call_with_cache(x, cache, start)  # (B, T, D)
        return self._add_and_transform(inputs, attended), cache

    def _attention_inputs(self, inputs):
        return self.attention_norm(inputs) if self.norm_first else inputs  # (B, T, D)

    def _add_and_transform(self, inputs, attended, training=False):
        """The layer's outputs, (B, T, D): all that comes after the attention."""
        residual = inputs + self.attention_dropout(attended, training=training)  # (B, T, D)
        if not self.norm_first:
            residual = self.attention_norm(residual)

        x = self.feed_forward_norm(residual) if self.norm_first else residual
        transformed = self.feed_forward(x)  # (B, T, D)
        outputs = residual + self.feed_forward_dropout(transformed, training=training)
        return outputs if self.norm_first else self.feed_forward_norm(outputs)

    def compute_output_shape(self, inputs_shape):
        batch_size, length = inputs_shape[:2]
        return inputs_shape, (batch_size, self.num_heads, length, length)

    def get_config(self):
        return {
            **super().get_config(),
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "dff": self.dff,
            "dropout": self.dropout,
            "norm_first": self.norm_first,
            "rms_norm": self.rms_norm,
            "num_kv_heads": self.num_kv_heads,
            "rotary_wavelength": self.rotary_wavelength,
            "alibi": self.alibi,
            "qk_norm": self.qk_norm,
            "activation": keras.activations.serialize(self.activation),
            "gated": self.gated,
            "use_bias": self.use_bias,
            "output_scale": self.output_scale,
        }
