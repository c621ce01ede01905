"""Scaled dot-product attention and its multi-head form, from "Attention Is All You Need".

Axes: B batch, T query positions, S key positions, N heads, H head_dim = d_model / N, D d_model.
"""

import functools
import math

import keras
from keras import ops

from layers.alibi import ALiBi
from layers.causal_blocks import attend_in_blocks
from layers.checks import check_dropout, check_positive_integers
from layers.dropout import make_dropout
from layers.fused_attention import fused_causal_attention, has_fused_attention
from layers.initializers import scaled_glorot
from layers.key_value_cache import KeyValueCache
from layers.masks import combine_masks
from layers.parts import build_part, check_policy, serialize_part
from layers.rotary_embedding import RotaryEmbedding


def scaled_dot_product_attention(
    query, key, value, mask=None, dropout=None, bias=None, softmax_plus_one=False
):
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
        bias: floats, broadcastable to (..., T, S), added to the attention logits. Default None.
        softmax_plus_one: whether a query may attend to nothing, exp(x_i) / (1 + sum exp(x)), as if
            there were one more key, of logit 0, and worth nothing; rows sum to less than 1 then.
            Default False. Miller (2023), https://www.evanmiller.org/attention-is-off-by-one.html.

    Returns:
        `(outputs, attention_scores)`: (..., T, H) and (..., T, S). Scores are the softmax's
        values: each row sums to 1, with `softmax_plus_one` to less.

    Example:

    >>> query = np.array([[[1.0, 0.0]]], "float32")
    >>> key = np.array([[[1.0, 0.0], [0.0, 1.0]]], "float32")
    >>> outputs, scores = scaled_dot_product_attention(query, key, value=key)
    >>> ops.convert_to_numpy(scores).round(2)
    array([[[0.67, 0.33]]], dtype=float32)

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.2.1, equation 1.
    """
    head_dim = query.shape[-1]
    query = ops.multiply(query, ops.cast(head_dim**-0.5, query.dtype))
    attention_logits = ops.matmul(query, ops.swapaxes(key, -2, -1))  # (..., T, S)
    attention_logits = ops.cast(attention_logits, "float32")
    if bias is not None:
        attention_logits = attention_logits + bias
    if mask is not None:  # takes masked keys out of the softmax's sum
        attention_logits = ops.where(mask, attention_logits, -1e9)
    # The softmax, written out: `ops.softmax` warns where there is one key only. Taking the maximum
    # off changes nothing, the gradient neither, but keeps exp from overflowing.
    maximum = ops.stop_gradient(ops.max(attention_logits, axis=-1, keepdims=True))  # (..., T, 1)
    if softmax_plus_one:
        maximum = ops.maximum(maximum, 0.0)  # the logit of nothing
    exponentials = ops.exp(attention_logits - maximum)
    total = ops.sum(exponentials, axis=-1, keepdims=True)
    if softmax_plus_one:
        total = total + ops.exp(-maximum)
    if mask is not None:  # zeros also in a row that is masked throughout, uniform otherwise
        total = ops.where(maximum > -1e9, total, math.inf)
    attention_scores = exponentials / total
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
    project once, then split the result into N heads of H = D / N numbers. With `num_kv_heads`
    below N, neighbouring heads share keys and values: "grouped-query" attention, or "multi-query"
    where all share one. The kernels of keys and values are smaller then, and so is what has to be
    kept of past tokens when a text is generated.

    Self-attention is `layer(x, x)`. Cross-attention is `layer(x, memory)`: queries from `x`, keys
    and values from `memory`, whose length and width may differ.

    Two parts tell it about positions, and are saved with it. `rotary` turns queries and keys.
    `position_bias` says what is added to the attention logits: it is called with
    `query_length=T, key_length=S, start=0`, the position of the first query, and gives (N, T, S).
    Any layer that does the same will do, such as one of your own with learned biases; it is built
    with the shape of the attention logits, (B, N, T, S).

    Args:
        d_model: width of the output, and of all heads together, D. A positive integer.
        num_heads: number of heads, N. Must divide `d_model`.
        dropout: share of the attention scores dropped in training, 0 <= dropout < 1. Default 0.
        num_kv_heads: number of different heads of keys and values. Must divide `num_heads`.
            Default None: as many as `num_heads`.
        rotary: what turns queries and keys by their positions, such as a `RotaryEmbedding` of the
            same dtype policy. Default None: nothing.
        position_bias: what is added to the attention logits, such as an `ALiBi`. Default None:
            nothing.
        qk_norm: whether each query and key is brought to one length by a root-mean-square
            normalisation, before it is turned. Attention logits can't grow without bound then.
            Default False.
        softmax_plus_one: that of `scaled_dot_product_attention`. Default False.
        use_bias: whether the four projections add a bias. Default True.
        output_scale: how large the output projection starts out, as a factor on Keras's default,
            at least 0. With 0 the layer adds nothing to a residual at first. Default 1.

    Call arguments:
        query: floats, (B, T, any width).
        value: floats, (B, S, any width). Default None: keys and values are those of `cache`, as
            `remember` made it, and it stays as it is.
        key: floats, (B, S, any width). Default None: `value` serves as key too.
        padding_mask: booleans, (B, S), True for keys that are real tokens. Default None.
        attention_mask: booleans, (T, S), or rank 4 broadcastable to (B, N, T, S), True where a
            query may attend to a key. Default None.
        cache: a `KeyValueCache` of the tokens before, in causal self-attention. The new keys and
            values are written into it, and all that it has room for are attended to: hide those to
            the right with `causal_mask(T, S, cache.start)`. Default None.
        training: whether dropout is active. Default None: Keras decides.
        is_causal: whether `attention_mask` is the `causal_mask` of a text's own T tokens. It
            changes no result, but what is known of the mask saves time and memory: see
            `layers.causal_blocks` and `layers.fused_attention`. Default False: nothing is known.

    Returns:
        `(outputs, attention_scores)`: (B, T, D), and (B, N, T, S) after the softmax and before
        dropout.

    Raises:
        ValueError: a size that is no positive integer, `num_heads` that does not divide
            `d_model`, `num_kv_heads` that does not divide `num_heads`, a number out of its range,
            a `rotary` of another dtype policy, or a mask of the wrong rank.

    Example:

    >>> attention = MultiHeadAttention(d_model=8, num_heads=2)
    >>> x = np.random.default_rng(0).normal(size=(1, 3, 8))
    >>> outputs, scores = attention(x, x, padding_mask=np.array([[True, True, False]]))
    >>> tuple(outputs.shape), tuple(scores.shape)
    ((1, 3, 8), (1, 2, 3, 3))

    References: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.2.2; shared
    keys and values: Ainslie et al. (2023), https://arxiv.org/abs/2305.13245; `qk_norm`: Henry et
    al. (2020), https://arxiv.org/abs/2010.04245.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        dropout: float = 0.0,
        num_kv_heads: int | None = None,
        rotary: keras.layers.Layer | None = None,
        position_bias: keras.layers.Layer | None = None,
        qk_norm: bool = False,
        softmax_plus_one: bool = False,
        use_bias: bool = True,
        output_scale: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        check_positive_integers(d_model=d_model, num_heads=num_heads, num_kv_heads=num_kv_heads)
        if d_model % num_heads:
            raise ValueError(
                "`d_model` must be divisible by `num_heads`. "
                f"Received: num_heads={num_heads}, d_model={d_model}."
            )
        if num_heads % num_kv_heads:
            raise ValueError(
                "`num_heads` must be divisible by `num_kv_heads`. "
                f"Received: num_kv_heads={num_kv_heads}, num_heads={num_heads}."
            )
        check_dropout(dropout)
        self.d_model = d_model
        self.num_heads = num_heads
        self.dropout = dropout
        self.num_kv_heads = num_kv_heads
        self.qk_norm = qk_norm
        self.softmax_plus_one = softmax_plus_one
        self.use_bias = use_bias
        self.output_scale = output_scale
        self.head_dim = d_model // num_heads
        policy = self.dtype_policy

        def project(width, name, scale=1.0):
            # A fresh initializer each: with a shared one the kernels would be equal.
            return keras.layers.Dense(
                width,
                use_bias=use_bias,
                kernel_initializer=scaled_glorot(scale),
                name=name,
                dtype=policy,
            )

        self.query_projection = project(d_model, "query")
        self.key_projection = project(num_kv_heads * self.head_dim, "key")
        self.value_projection = project(num_kv_heads * self.head_dim, "value")
        self.output_projection = project(d_model, "output", output_scale)
        self.scores_dropout = make_dropout(dropout, name="scores_dropout", dtype=policy)
        if qk_norm:
            self.query_norm = keras.layers.RMSNormalization(name="query_norm", dtype=policy)
            self.key_norm = keras.layers.RMSNormalization(name="key_norm", dtype=policy)
        self.rotary = rotary
        self.position_bias = position_bias

    def build(self, query_shape, value_shape, key_shape=None):
        check_policy(self, rotary=self.rotary)
        self.query_projection.build(query_shape)
        self.key_projection.build(value_shape if key_shape is None else key_shape)
        self.value_projection.build(value_shape)
        self.output_projection.build((*query_shape[:-1], self.d_model))
        heads_shape = (query_shape[0], self.num_heads, query_shape[1], self.head_dim)
        if self.qk_norm:
            self.query_norm.build(heads_shape)
            self.key_norm.build(heads_shape)
        build_part(self.rotary, heads_shape)
        build_part(self.position_bias, (*heads_shape[:3], value_shape[1]))

    def call(
        self,
        query,
        value=None,
        key=None,
        padding_mask=None,
        attention_mask=None,
        cache=None,
        training=None,
        is_causal=False,
    ):
        start = 0 if cache is None else cache.start  # the position of the first query
        query = self._split_heads(self.query_projection(query))  # (B, N, T, H)
        if self.qk_norm:
            query = self.query_norm(query)
        if self.rotary is not None:
            query = self.rotary(query, start=start)
        if value is not None:
            key, value = self._project(value, key, start)  # (B, N_kv, S, H)
        mask, bias = combine_masks(padding_mask, attention_mask), None
        if self.position_bias is not None:
            bias = self.position_bias(
                query_length=ops.shape(query)[2],
                key_length=ops.shape(value)[2] if cache is None else cache.length,
                start=start,
            )  # (N, T, S)
        if cache is not None:
            key, value = cache.read() if value is None else cache.extend(key, value)
            # (B N_kv, S, H)
            lengths = *ops.shape(query)[:3], cache.length  # B, N, T, S
            query, mask, bias = (self._fold(x, lengths) for x in (query, mask, bias))
        elif self.num_kv_heads < self.num_heads:
            heads_that_share = self.num_heads // self.num_kv_heads
            key = ops.repeat(key, heads_that_share, axis=1)  # (B, N, S, H)
            value = ops.repeat(value, heads_that_share, axis=1)  # (B, N, S, H)

        attend = functools.partial(
            scaled_dot_product_attention,
            dropout=lambda scores: self.scores_dropout(scores, training=training),
            softmax_plus_one=self.softmax_plus_one,
        )
        if is_causal and cache is None:
            attend = functools.partial(attend_in_blocks, attend)
        outputs, attention_scores = attend(
            query, key, value, mask=mask, bias=bias
        )  # (B, N, T, H), (B, N, T, S)
        only_causal = is_causal and padding_mask is None and bias is None and cache is None
        unchanged_scores = not self.softmax_plus_one and not (self.dropout and training)
        if only_causal and unchanged_scores and has_fused_attention(query.dtype):
            # The same once more. The compiler drops what nobody reads: the outputs above and, but
            # for those who look at them, the scores.
            outputs = fused_causal_attention(query, key, value)
        if cache is not None:
            outputs = ops.reshape(outputs, (*lengths[:3], self.head_dim))
            attention_scores = ops.reshape(attention_scores, lengths)
        return self._join_heads(outputs), attention_scores

    def _project(self, value, key, start):
        """Keys and values, (B, N_kv, S, H), the first at position `start`."""
        key = self._split_heads(self.key_projection(value if key is None else key))
        value = self._split_heads(self.value_projection(value))
        if self.qk_norm:
            key = self.key_norm(key)
        if self.rotary is not None:
            key = self.rotary(key, start=start)
        return key, value

    def _fold(self, x, lengths):
        """Queries, a mask or a bias for keys as a cache has them, (B N_kv, N / N_kv T, ...).

        Heads that share keys and values ask one after the other, as if their T queries were one
        longer text. So nothing is repeated, which would take longest where the cache is long.
        """
        if x is None:
            return None
        batch_size, _, length, _ = lengths
        width = ops.shape(x)[-1]
        x = ops.broadcast_to(x, (*lengths[:3], width))
        queries = self.num_heads // self.num_kv_heads * length
        return ops.reshape(x, (batch_size * self.num_kv_heads, queries, width))

    def remember(self, value) -> KeyValueCache:
        """The keys and values of what is attended to again and again, floats, (B, S, any width)."""
        return KeyValueCache.of(*self._project(value, key=None, start=0))

    def empty_cache(self, batch_size: int, length: int) -> KeyValueCache:
        """A cache for texts that begin, with room for `length` tokens each."""
        values = (batch_size * self.num_kv_heads, length, self.head_dim)
        keys = (values[0], self.head_dim, length)
        return KeyValueCache(
            ops.zeros(keys, self.compute_dtype), ops.zeros(values, self.compute_dtype)
        )

    def _split_heads(self, x):
        batch_size, length = ops.shape(x)[:2]
        x = ops.reshape(x, (batch_size, length, -1, self.head_dim))  # (B, T, N, H)
        return ops.transpose(x, (0, 2, 1, 3))  # (B, N, T, H)

    def _join_heads(self, outputs):
        outputs = ops.transpose(outputs, (0, 2, 1, 3))  # (B, T, N, H)
        batch_size, length = ops.shape(outputs)[:2]
        outputs = ops.reshape(outputs, (batch_size, length, self.d_model))  # (B, T, D)
        return self.output_projection(outputs)

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
            "num_kv_heads": self.num_kv_heads,
            "rotary": serialize_part(self.rotary),
            "position_bias": serialize_part(self.position_bias),
            "qk_norm": self.qk_norm,
            "softmax_plus_one": self.softmax_plus_one,
            "use_bias": self.use_bias,
            "output_scale": self.output_scale,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("rotary", "position_bias"):
            config[name] = keras.saving.deserialize_keras_object(config.get(name))
        # Files of earlier versions have switches in the place of parts.
        wavelength, alibi = config.pop("rotary_wavelength", None), config.pop("alibi", False)
        if wavelength is not None:
            config["rotary"] = RotaryEmbedding(wavelength, name="rotary", dtype=config["dtype"])
        if alibi:
            config["position_bias"] = ALiBi(config["num_heads"], name="alibi")
        return super().from_config(config)
