"""One layer of the paper's decoder."""

import keras

from layers.encoder import TransformerEncoderLayer
from layers.key_value_cache import KeyValueCache
from layers.parts import build_part, check_layers, check_policy, serialize_part


@keras.saving.register_keras_serializable(package="mini_transformer")
class TransformerDecoderLayer(TransformerEncoderLayer):
    """An encoder layer that also listens: between its two sub-layers it attends to a memory.

        x = Norm(x + Dropout(MultiHead(x, x, x)))
        x = Norm(x + Dropout(MultiHead(x, memory, memory)))
        x = Norm(x + Dropout(FFN(x)))

    or with each normalisation before its sub-layer, as in `TransformerEncoderLayer`. The memory is
    what an encoder made of another text. There is no distance between positions of two texts, so
    `cross_attention` must know nothing of positions.

    Args:
        attention, feed_forward, dropout, norm_first, rms_norm, attention_convolution,
            feed_forward_convolution: those of `TransformerEncoderLayer`.
        cross_attention: a `MultiHeadAttention` without `rotary` and `position_bias`, or a layer
            that is called and answers alike.

    Call arguments:
        inputs: floats, (B, T, D).
        memory: floats, (B, S, any width). Default None: that of `cache`.
        padding_mask, attention_mask, cache: for `attention`, as in `TransformerEncoderLayer`. Mask
            the future with an `attention_mask`: this layer does not.
        memory_mask: booleans, (B, S), True for real tokens of the memory. Default None: all are.
        training: whether dropout is active. Default None: Keras decides.

    Returns:
        `(outputs, attention_scores, cross_attention_scores)`: (B, T, D), (B, N, T, T) and
        (B, N, T, S).

    Raises:
        ValueError: as `TransformerEncoderLayer`, or a `cross_attention` with positions.

    Example:

    >>> from layers import FeedForward, MultiHeadAttention
    >>> layer = TransformerDecoderLayer(
    ...     MultiHeadAttention(d_model=8, num_heads=2),
    ...     FeedForward(d_model=8, dff=32),
    ...     cross_attention=MultiHeadAttention(d_model=8, num_heads=4),
    ... )
    >>> outputs = layer(np.zeros((1, 3, 8)), memory=np.zeros((1, 5, 6)))
    >>> [tuple(output.shape) for output in outputs]
    [(1, 3, 8), (1, 2, 3, 3), (1, 4, 3, 5)]

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.1, figure 1.
    """

    def __init__(
        self,
        attention: keras.layers.Layer,
        feed_forward: keras.layers.Layer | None,
        cross_attention: keras.layers.Layer,
        **kwargs,
    ):
        super().__init__(attention, feed_forward, **kwargs)
        check_layers(cross_attention=cross_attention)
        for name in ("rotary", "position_bias"):
            if getattr(cross_attention, name, None) is not None:
                raise ValueError(
                    "`cross_attention` must know nothing of positions, for those of two texts have "
                    f"no distance. Received: {name}={getattr(cross_attention, name)!r}."
                )
        self.cross_attention = cross_attention
        self.cross_attention_dropout = self._make_dropout("cross_attention_dropout")
        self.cross_attention_norm = self._make_norm("cross_attention_norm")

    def build(self, inputs_shape, memory_shape):
        super().build(inputs_shape)
        check_policy(self, cross_attention=self.cross_attention)
        build_part(self.cross_attention, inputs_shape, memory_shape)
        self.cross_attention_dropout.build(inputs_shape)
        self.cross_attention_norm.build(inputs_shape)

    def call(
        self,
        inputs,
        memory=None,
        padding_mask=None,
        attention_mask=None,
        memory_mask=None,
        cache=None,
        training=None,
    ):
        residual, attention_scores = self._attend(
            inputs, padding_mask, attention_mask, cache, training
        )  # (B, T, D), (B, N, T, T)
        x = self._norm_before(self.cross_attention_norm, residual)
        remembered = None
        if memory is None:
            remembered = KeyValueCache(cache.memory["keys"], cache.memory["values"])
            memory_mask = cache.memory["mask"]
        attended, cross_attention_scores = self.cross_attention(
            x, memory, padding_mask=memory_mask, cache=remembered, training=training
        )  # (B, T, D), (B, N, T, S)
        attended = self.cross_attention_dropout(attended, training=training)
        residual = self._norm_after(self.cross_attention_norm, residual + attended)
        outputs = self._transform(residual, cache, training)
        return outputs, attention_scores, cross_attention_scores

    def empty_cache(
        self, batch_size: int, length: int, memory=None, memory_mask=None
    ) -> KeyValueCache:
        """A cache for texts that begin.

        Args:
            batch_size: how many texts, B.
            length: for how many tokens of each there is room.
            memory: what all of them will attend to, (B, S, any width). Default None: it is handed
                over at each call.
            memory_mask: booleans, (B, S), with `memory`.
        """
        cache = super().empty_cache(batch_size, length)
        if memory is not None:
            kept = self.cross_attention.remember(memory)
            cache.memory = {**kept.tensors, "mask": memory_mask}
        return cache

    def compute_output_shape(self, inputs_shape, memory_shape):
        return (
            *super().compute_output_shape(inputs_shape),
            self.cross_attention.compute_output_shape(inputs_shape, memory_shape)[1],
        )

    def get_config(self):
        return {**super().get_config(), "cross_attention": serialize_part(self.cross_attention)}
