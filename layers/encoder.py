"""One layer of the Transformer encoder."""

import keras

from layers.attention import MultiHeadAttention
from layers.checks import check_dropout
from layers.dropout import make_dropout
from layers.feed_forward import FeedForward
from layers.key_value_cache import KeyValueCache
from layers.parts import build_part, check_layers, check_policy, serialize_part


@keras.saving.register_keras_serializable(package="mini_transformer")
class TransformerEncoderLayer(keras.layers.Layer):
    """Self-attention, then a feed-forward network, each with a residual and a normalisation.

        x = Norm(x + Dropout(MultiHead(x, x, x)))         x = x + Dropout(MultiHead(Norm(x), ...))
        x = Norm(x + Dropout(FFN(x)))                     x = x + Dropout(FFN(Norm(x)))

    The residual `x + ...` leaves each sub-layer only the change to learn. The normalisation comes
    after it, as in the paper ("post-norm", on the left), or before each sub-layer ("pre-norm", on
    the right). Pre-norm keeps a straight path from the first layer to the last, so that deep models
    train without care; its output still wants a normalisation after the last layer.

    The sub-layers are parts that are handed over ready made, of the same dtype policy, and saved
    with it. Make new ones for each layer. Before each of them there may be one more part, such as a
    `ShortConvolution`, which changes what the sub-layer reads and not the residual.

    Args:
        attention: a `MultiHeadAttention`, or a layer that is called and answers alike.
        feed_forward: a `FeedForward`, or any layer from (B, T, D) to (B, T, D). None: the layer is
            attention alone, without the second sub-layer.
        dropout: share of each sub-layer's output dropped in training, 0 <= dropout < 1.
            Default 0.1.
        norm_first: whether each normalisation comes before its sub-layer. Default False.
        rms_norm: whether it divides by the root mean square alone, without taking off the mean or
            adding a bias (`keras.layers.RMSNormalization`). Default False.
        attention_convolution, feed_forward_convolution: what the inputs of `attention` and of
            `feed_forward` go through first, a `ShortConvolution` or a layer that is called and
            answers alike. Default None: nothing.

    Call arguments:
        inputs: floats, (B, T, D).
        padding_mask: booleans, (B, T), True for real tokens. Default None: all are.
        attention_mask: booleans, (T, T), or rank 4 broadcastable to (B, N, T, T), True where a
            query may attend to a key. Default None: everywhere.
        cache: that of `MultiHeadAttention`, made by `empty_cache`. Default None.
        training: whether dropout is active. Default None: Keras decides.
        is_causal: that of `MultiHeadAttention`; an `attention` of another class is not told.
            Default False.

    Returns:
        `(outputs, attention_scores)`: (B, T, D) and (B, N, T, T).

    Raises:
        ValueError: a `dropout` out of its range, or a part that is no layer, is in another layer,
            or has another dtype policy.

    Example:

    >>> layer = TransformerEncoderLayer(
    ...     MultiHeadAttention(d_model=8, num_heads=2), FeedForward(d_model=8, dff=32)
    ... )
    >>> outputs, scores = layer(np.zeros((1, 3, 8)))
    >>> tuple(outputs.shape), tuple(scores.shape)
    ((1, 3, 8), (1, 2, 3, 3))

    References: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.1; pre-norm:
    Xiong et al. (2020), https://arxiv.org/abs/2002.04745; root mean square: Zhang and Sennrich
    (2019), https://arxiv.org/abs/1910.07467.
    """

    def __init__(
        self,
        attention: keras.layers.Layer,
        feed_forward: keras.layers.Layer | None,
        dropout: float = 0.1,
        norm_first: bool = False,
        rms_norm: bool = False,
        attention_convolution: keras.layers.Layer | None = None,
        feed_forward_convolution: keras.layers.Layer | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_dropout(dropout)
        parts = {
            "attention_convolution": attention_convolution,
            "feed_forward": feed_forward,
            "feed_forward_convolution": feed_forward_convolution,
        }
        check_layers(
            attention=attention,
            **{name: part for name, part in parts.items() if part is not None},
        )
        if feed_forward is None and feed_forward_convolution is not None:
            raise ValueError(
                "`feed_forward_convolution` must be None without `feed_forward`. Received: "
                f"feed_forward_convolution={feed_forward_convolution!r}."
            )
        self.dropout = dropout
        self.norm_first = norm_first
        self.rms_norm = rms_norm
        # In this order: the state of an optimizer goes by the order of the weights.
        self.attention = attention
        self.attention_dropout = self._make_dropout("attention_dropout")
        self.attention_norm = self._make_norm("attention_norm")
        self.feed_forward = feed_forward
        if feed_forward is not None:
            self.feed_forward_dropout = self._make_dropout("feed_forward_dropout")
            self.feed_forward_norm = self._make_norm("feed_forward_norm")
        self.attention_convolution = attention_convolution
        self.feed_forward_convolution = feed_forward_convolution

    def build(self, inputs_shape):
        check_policy(
            self,
            attention=self.attention,
            feed_forward=self.feed_forward,
            attention_convolution=self.attention_convolution,
            feed_forward_convolution=self.feed_forward_convolution,
        )
        build_part(self.attention, inputs_shape, inputs_shape)
        build_part(self.feed_forward, inputs_shape)
        build_part(self.attention_convolution, inputs_shape)
        build_part(self.feed_forward_convolution, inputs_shape)
        children = [self.attention_dropout, self.attention_norm]
        if self.feed_forward is not None:
            children += [self.feed_forward_dropout, self.feed_forward_norm]
        for child in children:
            child.build(inputs_shape)

    def call(
        self,
        inputs,
        padding_mask=None,
        attention_mask=None,
        cache=None,
        training=None,
        is_causal=False,
    ):
        attended, attention_scores = self._attend(
            inputs, padding_mask, attention_mask, cache, training, is_causal
        )  # (B, T, D), (B, N, T, T)
        return self._transform(attended, cache, training), attention_scores

    def _attend(self, inputs, padding_mask, attention_mask, cache, training, is_causal=False):
        """The self-attention with all that belongs to it, (B, T, D), and its scores."""
        x = self._norm_before(self.attention_norm, inputs)
        x = self._convolve("attention_convolution", x, cache)
        known = {"is_causal": is_causal} if isinstance(self.attention, MultiHeadAttention) else {}
        attended, attention_scores = self.attention(
            x,
            x,
            padding_mask=padding_mask,
            attention_mask=attention_mask,
            cache=cache,
            training=training,
            **known,
        )
        attended = self.attention_dropout(attended, training=training)
        return self._norm_after(self.attention_norm, inputs + attended), attention_scores

    def _transform(self, inputs, cache, training):
        """The feed-forward network with all that belongs to it, (B, T, D), if there is one."""
        if self.feed_forward is None:
            return inputs
        x = self._norm_before(self.feed_forward_norm, inputs)
        x = self._convolve("feed_forward_convolution", x, cache)
        transformed = self.feed_forward(x)
        transformed = self.feed_forward_dropout(transformed, training=training)
        return self._norm_after(self.feed_forward_norm, inputs + transformed)

    def _convolve(self, name, x, cache):
        convolution = getattr(self, name)
        if convolution is None:
            return x
        extended = None if cache is None else cache.extend_inputs(name, x)  # (B, K - 1 + T, D)
        return convolution(x, extended=extended)

    def _norm_before(self, norm, x):
        return norm(x) if self.norm_first else x

    def _norm_after(self, norm, x):
        return x if self.norm_first else norm(x)

    def empty_cache(self, batch_size: int, length: int) -> KeyValueCache:
        """A cache for texts that begin, with room for `length` tokens each."""
        cache = self.attention.empty_cache(batch_size, length)
        for name in ("attention_convolution", "feed_forward_convolution"):
            convolution = getattr(self, name)
            if convolution is not None:
                cache.inputs[name] = convolution.empty_inputs(batch_size)
        return cache

    def _make_dropout(self, name):
        return make_dropout(self.dropout, name=name, dtype=self.dtype_policy)

    def _make_norm(self, name):
        kind = keras.layers.RMSNormalization if self.rms_norm else keras.layers.LayerNormalization
        return kind(epsilon=1e-6, name=name, dtype=self.dtype_policy)

    def compute_output_shape(self, inputs_shape):
        return self.attention.compute_output_shape(inputs_shape, inputs_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "attention": serialize_part(self.attention),
            "feed_forward": serialize_part(self.feed_forward),
            "dropout": self.dropout,
            "norm_first": self.norm_first,
            "rms_norm": self.rms_norm,
            "attention_convolution": serialize_part(self.attention_convolution),
            "feed_forward_convolution": serialize_part(self.feed_forward_convolution),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if "attention" not in config:  # of an earlier version
            config = _with_parts_for_switches(config)
        for name, part in config.items():
            if isinstance(part, dict):
                config[name] = keras.saving.deserialize_keras_object(part)
        return super().from_config(config)


def _with_parts_for_switches(config: dict) -> dict:
    """The config of a layer that was told what to make its parts of."""
    switches = dict(config)
    own = {
        name: switches.pop(name)
        for name in ("name", "trainable", "dropout", "norm_first", "rms_norm")
    }
    of_both = ("d_model", "use_bias", "output_scale", "dtype")
    of_feed_forward = (*of_both, "dff", "activation", "gated")
    feed_forward = {name: switches[name] for name in of_feed_forward}
    attention = {
        name: value
        for name, value in switches.items()
        if name in of_both or name not in of_feed_forward
    }
    return {
        **own,
        "dtype": config["dtype"],
        "attention": serialize_part(
            MultiHeadAttention.from_config({**attention, "name": "attention"})
        ),
        "feed_forward": serialize_part(
            FeedForward.from_config({**feed_forward, "name": "feed_forward"})
        ),
    }
