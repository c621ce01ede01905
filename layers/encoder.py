"""One layer of the Transformer encoder."""

import keras

from layers.attention import MultiHeadAttention
from layers.checks import check_dropout
from layers.feed_forward import FeedForward


@keras.saving.register_keras_serializable(package="mini_transformer")
class TransformerEncoderLayer(keras.layers.Layer):
    """Self-attention, then a feed-forward network, each with a residual and a normalisation.

        x = LayerNorm(x + Dropout(MultiHead(x, x, x)))
        x = LayerNorm(x + Dropout(FFN(x)))

    The residual `x + ...` leaves each sub-layer only the change to learn. The normalisation comes
    after it, as in the paper ("post-norm").

    Args:
        d_model: width of inputs and outputs, D. A positive integer.
        num_heads: number of attention heads, N. Must divide `d_model`.
        dff: width of the feed-forward network's hidden layer. A positive integer.
        dropout: share of each sub-layer's output dropped in training, 0 <= dropout < 1.
            Default 0.1. The attention scores themselves are not dropped, as in the paper.

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

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.1.
    """

    def __init__(self, d_model: int, num_heads: int, dff: int, dropout: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        check_dropout(dropout)
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout = dropout
        policy = self.dtype_policy
        self.attention = MultiHeadAttention(d_model, num_heads, name="attention", dtype=policy)
        self.attention_dropout = keras.layers.Dropout(
            dropout, name="attention_dropout", dtype=policy
        )
        self.attention_norm = keras.layers.LayerNormalization(
            epsilon=1e-6, name="attention_norm", dtype=policy
        )
        self.feed_forward = FeedForward(d_model, dff, name="feed_forward", dtype=policy)
        self.feed_forward_dropout = keras.layers.Dropout(
            dropout, name="feed_forward_dropout", dtype=policy
        )
        self.feed_forward_norm = keras.layers.LayerNormalization(
            epsilon=1e-6, name="feed_forward_norm", dtype=policy
        )

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
        attended, attention_scores = self.attention(
            inputs,
            inputs,
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            training=training,
        )  # (B, T, D), (B, N, T, T)
        attended = self.attention_dropout(attended, training=training)
        x = self.attention_norm(inputs + attended)  # (B, T, D)

        transformed = self.feed_forward(x)  # (B, T, D)
        transformed = self.feed_forward_dropout(transformed, training=training)
        return self.feed_forward_norm(x + transformed), attention_scores

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
        }
