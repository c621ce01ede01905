"""The parts of a Transformer, each a Keras layer written from scratch with `keras.ops`.

Read them in this order: `token_embedding`, `positional_encoding`, `masks`, `attention`,
`feed_forward`, `encoder`, `decoder`. Then the other ways to tell positions:
`learned_positional_embedding`, `rotary_embedding`, `alibi`. And what lets neighbours see each other
without attention: `short_convolution`.
"""

from layers.alibi import ALiBi, alibi_slopes
from layers.attention import MultiHeadAttention, scaled_dot_product_attention
from layers.decoder import TransformerDecoderLayer
from layers.encoder import TransformerEncoderLayer
from layers.feed_forward import FeedForward, relu_squared
from layers.key_value_cache import KeyValueCache
from layers.learned_positional_embedding import LearnedPositionalEmbedding
from layers.masks import CausalMask, PaddingMask, causal_mask, combine_masks
from layers.positional_encoding import SinusoidalPositionalEncoding
from layers.rotary_embedding import RotaryEmbedding
from layers.short_convolution import ShortConvolution
from layers.token_embedding import TokenEmbedding

__all__ = [
    "ALiBi",
    "CausalMask",
    "FeedForward",
    "KeyValueCache",
    "LearnedPositionalEmbedding",
    "MultiHeadAttention",
    "PaddingMask",
    "RotaryEmbedding",
    "ShortConvolution",
    "SinusoidalPositionalEncoding",
    "TokenEmbedding",
    "TransformerDecoderLayer",
    "TransformerEncoderLayer",
    "alibi_slopes",
    "causal_mask",
    "combine_masks",
    "relu_squared",
    "scaled_dot_product_attention",
]
