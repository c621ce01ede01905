"""The parts of a Transformer, each a Keras layer written from scratch with `keras.ops`.

Read them in this order: `token_embedding`, `positional_encoding`, `masks`, `attention`,
`feed_forward`, `encoder`.
"""

from layers.attention import MultiHeadAttention, scaled_dot_product_attention
from layers.encoder import TransformerEncoderLayer
from layers.feed_forward import FeedForward
from layers.masks import PaddingMask, causal_mask, combine_masks
from layers.positional_encoding import SinusoidalPositionalEncoding
from layers.token_embedding import TokenEmbedding

__all__ = [
    "FeedForward",
    "MultiHeadAttention",
    "PaddingMask",
    "SinusoidalPositionalEncoding",
    "TokenEmbedding",
    "TransformerEncoderLayer",
    "causal_mask",
    "combine_masks",
    "scaled_dot_product_attention",
]
