"""Scaled dot-product attention and its multi-head form, from "Attention Is All You Need".

Axes: B batch, T query positions, S key positions, N heads, H head_dim = d_model / N, D d_model.
"""

import keras
from keras import ops

from layers.checks import check_dropout, check_positive_integers
from layers.masks import combine_masks


def scaled_dot_product_attention(query, key, value, mask=None, dropout=None):
    """Lets every query look at all keys and take the mean of the values it finds relevant.

        Attention(Q, K, V) = softmax(Q K^T / sqrt(H)) V

    The softmax is computed in float32, whatever the dtype of the inputs. A masked key gets the
    score 0 exactly, and a query that may attend to nothing gets zeros, in scores and output.

    Args:
        query: floats, (..., T, H).
        key: floats, (..., S, H).
        value: floats, (..., S, H).
        mask: booleans, broadcastable to (..., T, S), True where a query may attend to a key.
            Default None: everywhere.
        dropout: a function applied to the scores before they weigh the values, such as a Dropout
            layer. The scores that are returned are those before it. Default None.

    Returns:
        `(outputs, attention_scores)`: (..., T, H) and (..., T, S). Scores are the softmax's
        values: each row sums to 1.

    Example:

    >>> query = np.array([[[1.0, 0.0]]], "float32")
    >>> key = np.array([[[1.0, 0.0], [0.0, 1.0]]], "float32")
    >>> outputs, scores = scaled_dot_product_attention(query, key, value=key)
    >>> ops.convert_to_numpy(scores).round(2)
    array([[[0.67, 0.33]]], dtype=float32)

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.2.1, equation 1.
    """
    head_dim = query.shape[-1]
    query = query * ops.cast(head_dim**-0.5, query.dtype)
    attention_logits = ops.matmul(query, ops.swapaxes(key, -2, -1))  # (..., T, S)
    attention_logits = ops.cast(attention_logits, "float32")
    if mask is not None:  # takes masked keys out of the softmax's sum
        attention_logits = ops.where(mask, attention_logits, -1e9)
    # The softmax, written out: `ops.softmax` warns where there is one key only. Taking the maximum
    # off changes nothing but keeps exp from overflowing.
    maximum = ops.max(attention_logits, axis=-1, keepdims=True)  # (..., T, 1)
    attention_scores = ops.exp(attention_logits - maximum)
    attention_scores /= ops.sum(attention_scores, axis=-1, keepdims=True)
    if mask is not None:  # zeros also in a row that is masked throughout, uniform until here
        attention_scores = ops.where(mask, attention_scores, 0.0)
    attention_scores = ops.cast(attention_scores, value.dtype)  # (..., T, S)
    weights = attention_scores if dropout is None else dropout(attention_scores)
    outputs = ops.matmul(weights, value)  # (..., T, H)
    return outputs, attention_scores


@keras.saving.register_keras_serializable(package="mini_transformer")
class MultiHeadAttention(keras.layers.Layer):
    """Attends several times in parallel, each head in a subspace of its own.

        head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)
        MultiHead(Q, K, V) = Concat(head_1, ..., head_N) W^O

    The matrices of all heads lie side by side in one (D, D) kernel each for query, key and value:
    project once, then split the result into N heads of H = D / N numbers.

    Self-attention is `layer(x, x)`. Cross-attention is `layer(x, memory)`: queries from `x`, keys
    and values from `memory`, whose length and width may differ.

    Args:
        d_model: width of the output, and of all heads together, D. A positive integer.
        num_heads: number of heads, N. Must divide `d_model`.
        dropout: share of the attention scores dropped in training, 0 <= dropout < 1. Default 0.

    Call arguments:
        query: floats, (B, T, any width).
        value: floats, (B, S, any width).
        key: floats, (B, S, any width). Default None: `value` serves as key too.
        padding_mask: booleans, (B, S), True for keys that are real tokens. Default None.
        attention_mask: booleans, (T, S), or rank 4 broadcastable to (B, N, T, S), True where a
            query may attend to a key. Default None.
        training: whether dropout is active. Default None: Keras decides.

    Returns:
        `(outputs, attention_scores)`: (B, T, D), and (B, N, T, S) after the softmax and before
        dropout.

    Raises:
        ValueError: a size that is no positive integer, `num_heads` that does not divide
            `d_model`, a `dropout` out of its range, or a mask of the wrong rank.

    Example:

    >>> attention = MultiHeadAttention(d_model=8, num_heads=2)
    >>> x = np.random.default_rng(0).normal(size=(1, 3, 8))
    >>> outputs, scores = attention(x, x, padding_mask=np.array([[True, True, False]]))
    >>> tuple(outputs.shape), tuple(scores.shape)
    ((1, 3, 8), (1, 2, 3, 3))

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.2.2.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        check_positive_integers(d_model=d_model, num_heads=num_heads)
        if d_model % num_heads:
            raise ValueError(
                "`d_model` must be divisible by `num_heads`. "
                f"Received: num_heads={num_heads}, d_model={d_model}."
            )
        check_dropout(dropout)
        self.d_model = d_model
        self.num_heads = num_heads
        self.dropout = dropout
        self.head_dim = d_model // num_heads
        # Dense makes a fresh initializer each: with a shared one the kernels would be equal.
        self.query_projection = keras.layers.Dense(d_model, name="query", dtype=self.dtype_policy)
        self.key_projection = keras.layers.Dense(d_model, name="key", dtype=self.dtype_policy)
        self.value_projection = keras.layers.Dense(d_model, name="value", dtype=self.dtype_policy)
        self.output_projection = keras.layers.Dense(d_model, name="output", dtype=self.dtype_policy)
        self.scores_dropout = keras.layers.Dropout(
            dropout, name="scores_dropout", dtype=self.dtype_policy
        )

    def build(self, query_shape, value_shape, key_shape=None):
        self.query_projection.build(query_shape)
        self.key_projection.build(value_shape if key_shape is None else key_shape)
        self.value_projection.build(value_shape)
        self.output_projection.build((*query_shape[:-1], self.d_model))

    def call(self, query, value, key=None, padding_mask=None, attention_mask=None, training=None):
        if key is None:
            key = value
        query = self._split_heads(self.query_projection(query))  # (B, N, T, H)
        key = self._split_heads(self.key_projection(key))  # (B, N, S, H)
        value = self._split_heads(self.value_projection(value))  # (B, N, S, H)

        outputs, attention_scores = scaled_dot_product_attention(
            query,
            key,
            value,
            mask=combine_masks(padding_mask, attention_mask),
            dropout=lambda scores: self.scores_dropout(scores, training=training),
        )  # (B, N, T, H), (B, N, T, S)

        outputs = ops.transpose(outputs, (0, 2, 1, 3))  # (B, T, N, H)
        batch_size, length = ops.shape(outputs)[:2]
        outputs = ops.reshape(outputs, (batch_size, length, self.d_model))  # (B, T, D)
        return self.output_projection(outputs), attention_scores

    def _split_heads(self, x):
        batch_size, length = ops.shape(x)[:2]
        x = ops.reshape(x, (batch_size, length, self.num_heads, self.head_dim))  # (B, T, N, H)
        return ops.transpose(x, (0, 2, 1, 3))  # (B, N, T, H)

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        batch_size, query_length = query_shape[:2]
        key_length = value_shape[1]
        return (
            (batch_size, query_length, self.d_model),
            (batch_size, self.num_heads, query_length, key_length),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
