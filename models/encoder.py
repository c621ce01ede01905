"""The paper's encoder, made to predict the next token."""

import keras

from data.tokenizer import WordTokenizer
from layers import (
    PaddingMask,
    SinusoidalPositionalEncoding,
    TokenEmbedding,
    TransformerEncoderLayer,
)
from layers.checks import check_dropout, check_positive_integers
from models.language_model import LanguageModel


@keras.saving.register_keras_serializable(package="mini_transformer")
class EncoderLanguageModel(LanguageModel):
    """A Transformer encoder that reads a prefix of a text and predicts the token after it.

        token ids -> embedding * sqrt(D) -> + positional encoding -> dropout
                  -> num_layers x TransformerEncoderLayer -> dense -> logits

    Every position sees the whole prefix, also what lies to its right, so only the prediction at
    the last token says something about the future: train it on prefixes (`data.datasets`), with
    weight on their last token. Padding (id 0) must be on the right; nothing attends to it, so the
    logits of real tokens do not depend on how much of it there is.

    Args:
        tokenizer: a `WordTokenizer`; its vocabulary sets V.
        context_length: the longest prefix that the model reads, in tokens. A positive integer.
        d_model: width of the model, D. A positive integer, default 16.
        num_heads: attention heads of each layer, N. Must divide `d_model`. Default 2.
        num_layers: number of encoder layers. A positive integer, default 2.
        dff: width of the feed-forward networks' hidden layer. A positive integer, default 64.
        dropout: share dropped after the embedding and after each sub-layer in training,
            0 <= dropout < 1. Default 0.1.
        provenance: where the model comes from; saved with it. Default None: an empty dict.
        dtype: Keras dtype policy of all layers, such as "mixed_bfloat16". Default None: Keras's
            global policy.
        name: Keras's name for the model. Default "encoder".

    Call arguments:
        token_ids: integers, (B, T), T at most `context_length`.

    Returns:
        Logits, (B, T, V).

    Raises:
        ValueError: an argument out of its range.

    Example:

    >>> tokenizer = WordTokenizer.from_texts(["i love deep learning"])
    >>> model = EncoderLanguageModel(tokenizer, context_length=4)
    >>> tuple(model(np.array([tokenizer.encode("i love")])).shape)
    (1, 2, 6)

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, figure 1, left half.
    """

    def __init__(
        self,
        tokenizer: WordTokenizer,
        context_length: int,
        d_model: int = 16,
        num_heads: int = 2,
        num_layers: int = 2,
        dff: int = 64,
        dropout: float = 0.1,
        provenance: dict | None = None,
        dtype=None,
        name: str = "encoder",
    ):
        check_positive_integers(num_layers=num_layers)
        check_dropout(dropout)
        policy = keras.dtype_policies.get(dtype)

        token_ids = keras.Input((None,), dtype="int32", name="token_ids")  # (B, T)
        padding_mask = PaddingMask(tokenizer.padding_id, name="padding_mask")(token_ids)  # (B, T)

        x = TokenEmbedding(tokenizer.vocabulary_size, d_model, name="embedding", dtype=policy)(
            token_ids
        )  # (B, T, D)
        x = SinusoidalPositionalEncoding(name="positional_encoding", dtype=policy)(x)
        x = keras.layers.Dropout(dropout, name="embedding_dropout", dtype=policy)(x)

        attention_scores = []
        for number in range(1, num_layers + 1):
            x, scores = TransformerEncoderLayer(
                d_model, num_heads, dff, dropout, name=f"encoder_layer_{number}", dtype=policy
            )(x, padding_mask=padding_mask)  # (B, T, D), (B, N, T, T)
            attention_scores.append(scores)

        logits = keras.layers.Dense(tokenizer.vocabulary_size, name="logits", dtype=policy)(x)

        super().__init__(
            token_ids, logits, attention_scores, tokenizer, context_length, provenance, name
        )
        self.d_model = d_model
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.dff = dff
        self.dropout = dropout
        self.dtype_policy = policy

    def get_config(self):
        return {
            **super().get_config(),
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "dff": self.dff,
            "dropout": self.dropout,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }
