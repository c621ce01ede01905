"""The paper's own model: an encoder that reads and a decoder that listens to it."""

import dataclasses
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from architecture import Architecture
from data.tokenizer import Tokenizer
from layers import CausalMask, KeyValueCache, PaddingMask, TokenEmbedding
from layers.dropout import make_dropout
from models.parts import (
    make_decoder_layer,
    make_encoder_layer,
    make_final_norm,
    make_positions,
)
from models.prompts import Prompts
from models.translation import Translation
from models.zoo_model import ZooModel

# The special tokens of targets, and of sources the second one.
BEGIN, END = "[BEGIN]", "[END]"


class PairAttention(NamedTuple):
    """What attends to what while a target is written after a source.

    Attributes:
        source: the S tokens that the encoder reads, the last one "[END]".
        target: the T tokens that the decoder reads, the first one "[BEGIN]".
        encoder: float32, (layers, heads, S, S), of the source to itself.
        decoder: float32, (layers, heads, T, T), of the target to itself.
        cross: float32, (layers, heads, T, S), of the target to the source.
    """

    source: list[str]
    target: list[str]
    encoder: np.ndarray
    decoder: np.ndarray
    cross: np.ndarray

    @property
    def maps(self) -> dict[str, tuple[list[str], list[str], np.ndarray]]:
        """For each kind of attention the tokens that look, those that are looked at, the scores."""
        return {
            "encoder": (self.source, self.source, self.encoder),
            "decoder": (self.target, self.target, self.decoder),
            "cross": (self.target, self.source, self.cross),
        }


@keras.saving.register_keras_serializable(package="mini_transformer")
class EncoderDecoderModel(Translation, ZooModel):
    """The Transformer of "Attention Is All You Need": it writes a target after a source.

        source ids -> embedding * sqrt(D) -> + positions -> dropout
                   -> num_layers x TransformerEncoderLayer -> memory
        target ids -> embedding * sqrt(D) -> + positions -> dropout
                   -> num_layers x TransformerDecoderLayer(memory) -> logits

    The encoder sees the whole source, both sides of each token. The decoder reads the target from
    left to right, and at every position it listens to the whole memory; neither sees padding. A
    source ends with `[END]`. A target begins with `[BEGIN]`, which the first real token is
    predicted from, and ends with `[END]`, the last one to be predicted.

    With `norm_placement="pre"` one more normalisation ends each of the two stacks. Positions never
    reach the cross-attention, for those of two texts have no distance.

    Args:
        tokenizer: that of targets, with the extra tokens `[BEGIN]` and `[END]`.
        context_length: the longest source and the longest target that the model reads, in tokens,
            `[BEGIN]` and `[END]` among them. A positive integer.
        source_tokenizer: that of sources, with the extra token `[END]`. Default None: `tokenizer`.
            Then one matrix embeds both, as in the paper.
        provenance: where the model comes from; saved with it. Default None: an empty dict.
        dtype: Keras dtype policy of all layers, such as "mixed_bfloat16". Default None: Keras's
            global policy.
        name: Keras's name for the model. Default "encoder_decoder".
        switches: all others of `architecture.Architecture`, such as `num_layers=4`, for both
            stacks; each becomes an attribute, too.

    Call arguments:
        inputs: a dictionary of `source_ids`, integers, (B, S), and `target_ids`, integers, (B, T),
            both padded on the right with id 0.

    Returns:
        Logits, (B, T, V).

    Raises:
        ValueError: an argument out of its range, or a tokenizer without the extra tokens.

    Example:

    >>> from data.tokenizer import CharTokenizer
    >>> tokenizer = CharTokenizer("abc").with_extra_tokens("[BEGIN]", "[END]")
    >>> model = EncoderDecoderModel(tokenizer, context_length=8)
    >>> inputs = {"source_ids": np.array([[2, 3, 6]]), "target_ids": np.array([[5, 3]])}
    >>> tuple(model(inputs).shape)
    (1, 2, 7)

    Reference: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, figure 1; one matrix for
    both embeddings and the logits (`tie_embeddings`): section 3.4.
    """

    objective = "pairs"  # of `data.objectives`
    extra_tokens = (BEGIN, END)

    def __init__(
        self,
        tokenizer: Tokenizer,
        context_length: int,
        source_tokenizer: Tokenizer | None = None,
        provenance: dict | None = None,
        dtype=None,
        name: str = "encoder_decoder",
        **switches,
    ):
        architecture = Architecture(context_length=context_length, **switches)
        policy = keras.dtype_policies.get(dtype)
        _check_tokenizer("tokenizer", tokenizer, BEGIN, END)
        _check_tokenizer("source_tokenizer", source_tokenizer or tokenizer, END)
        stacks = _Stacks(architecture, tokenizer, source_tokenizer, policy)
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("source_ids", "target_ids")
        }
        memory, mask, encoder = stacks.encode(inputs["source_ids"])
        logits, decoder, cross = stacks.decode(inputs["target_ids"], memory, mask)
        super().__init__(inputs, logits, tokenizer, context_length, provenance, name)
        self.source_tokenizer = source_tokenizer or tokenizer
        self._has_one_vocabulary = source_tokenizer is None
        self.architecture = architecture
        for switch, value in dataclasses.asdict(architecture).items():
            setattr(self, switch, value)
        self.dtype_policy = policy
        self.encode = stacks.encode
        self.decode = stacks.decode
        self.read = stacks.read
        self.sources = Prompts(self.source_tokenizer, context_length - 1, "source")
        self._open_for_translation()
        # Only its method is kept: a model on `self` would be saved too.
        scores = [ops.stack(kind, axis=1) for kind in (encoder, decoder, cross)]
        self._attention_scores = keras.Model(inputs, scores).predict_on_batch

    is_causal = True  # the decoder: a target is read from left to right
    can_cache = True

    def empty_caches(self, source_ids) -> list[KeyValueCache]:
        """For each layer of the decoder a cache with room for a whole target, and the memory.

        Args:
            source_ids: integers, (B, S), padded on the right.
        """
        memory, mask, _ = self.encode(source_ids)
        batch_size = ops.shape(source_ids)[0]
        layers = [self.get_layer(f"decoder_layer_{n + 1}") for n in range(self.num_layers)]
        return [
            layer.empty_cache(batch_size, self.context_length, memory, mask) for layer in layers
        ]

    def attention(self, source: str, target: str | None = None) -> PairAttention:
        """What each token attends to, in every layer and head.

        Args:
            source: the text that is read.
            target: what has been written. Default None: what `translate` writes.

        Raises:
            ValueError: a source that can't be read, or a target that is too long.

        Example:

        >>> from data.tokenizer import CharTokenizer
        >>> tokenizer = CharTokenizer("abc").with_extra_tokens("[BEGIN]", "[END]")
        >>> attention = EncoderDecoderModel(tokenizer, context_length=8).attention("abc", "cb")
        >>> attention.target, attention.cross.shape
        (['[BEGIN]', 'c', 'b'], (2, 2, 3, 4))
        """
        source_ids = self.encode_source(source)
        target = self.translate(source) if target is None else target
        target_ids = [self.tokenizer.special_id(BEGIN), *self.tokenizer.encode(target)]
        if len(target_ids) > self.context_length:
            raise ValueError(
                f"The target must have at most {self.context_length - 1} tokens. "
                f"Received: {len(target_ids) - 1} tokens."
            )
        scores = self._attention_scores(
            {"source_ids": np.array([source_ids]), "target_ids": np.array([target_ids])}
        )
        return PairAttention(
            self.source_tokenizer.tokens(source_ids),
            self.tokenizer.tokens(target_ids),
            *(kind[0].astype("float32") for kind in scores),
        )

    def encode_source(self, text: str) -> list[int]:
        """The ids of a source, `[END]` the last one.

        Raises:
            ValueError: a text without a token, or with more than the context has room for.
        """
        return [*self.sources.encode_whole(text), self.source_tokenizer.special_id(END)]

    def get_config(self):
        source = self.source_tokenizer
        own = (
            {}
            if self._has_one_vocabulary
            else {"source_tokenizer": keras.saving.serialize_keras_object(source)}
        )
        return {
            **super().get_config(),
            **own,
            **dataclasses.asdict(self.architecture),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }


class _Stacks:
    """The layers of an encoder-decoder. Like those of `models.transformer`, no attributes of it.

    Args:
        a: sizes and variants.
        tokenizer: sets the number of tokens of targets.
        source_tokenizer: and of sources; None where they share one embedding.
        dtype: dtype policy of all layers.
    """

    def __init__(self, a: Architecture, tokenizer, source_tokenizer, dtype):
        def embed(tokenizer, name):
            return TokenEmbedding(tokenizer.vocabulary_size, a.d_model, name=name, dtype=dtype)

        numbers = range(1, a.num_layers + 1)
        self.padding_mask = PaddingMask(tokenizer.padding_id, name="padding_mask")
        self.causal_mask = CausalMask(name="causal_mask")
        self.embedding = embed(tokenizer, "embedding")
        self.source_embedding = (
            self.embedding
            if source_tokenizer is None
            else embed(source_tokenizer, "source_embedding")
        )
        self.source_positions = make_positions(a, dtype, prefix="source_")
        self.positions = make_positions(a, dtype)
        self.source_dropout = make_dropout(a.dropout, name="source_dropout", dtype=dtype)
        self.dropout = make_dropout(a.dropout, name="embedding_dropout", dtype=dtype)
        self.encoder_layers = [make_encoder_layer(a, n, dtype) for n in numbers]
        self.decoder_layers = [make_decoder_layer(a, n, dtype) for n in numbers]
        self.source_norm = make_final_norm(a, dtype, name="source_norm")
        self.final_norm = make_final_norm(a, dtype)
        self.logits = (
            None
            if a.tie_embeddings
            else keras.layers.Dense(
                tokenizer.vocabulary_size, use_bias=a.use_bias, name="logits", dtype=dtype
            )
        )

    def encode(self, source_ids):
        """What the encoder makes of sources, (B, S).

        Returns:
            `(memory, mask, attention_scores)`: (B, S, D); booleans, (B, S), True for real tokens;
            and for each layer (B, N, S, S).
        """
        mask = self.padding_mask(source_ids)
        x = self.source_embedding(source_ids)  # (B, S, D)
        if self.source_positions is not None:
            x = self.source_positions(x)
        x = self.source_dropout(x)
        attention_scores = []
        for layer in self.encoder_layers:
            x, scores = layer(x, padding_mask=mask)
            attention_scores.append(scores)
        if self.source_norm is not None:
            x = self.source_norm(x)
        return x, mask, attention_scores

    def decode(self, target_ids, memory, mask, caches: list[KeyValueCache] | None = None):
        """What the decoder makes of targets, (B, T), that follow sources.

        Args:
            target_ids: integers, (B, T); with caches, the next tokens of targets.
            memory, mask: what `encode` made of the sources; None where caches keep them.
            caches: for each layer what is kept of the tokens before. The new ones are written into
                them. Default None: there are none before.

        Returns:
            `(logits, attention_scores, cross_attention_scores)`: (B, T, V), and for each layer
            (B, N, T, T) and (B, N, T, S).
        """
        start, length = (caches[0].start, caches[0].length) if caches else (0, None)
        # Padding is on the right, where nobody looks.
        causal_mask = self.causal_mask(target_ids, key_length=length, start=start)
        x = self.embedding(target_ids)  # (B, T, D)
        if self.positions is not None:
            x = self.positions(x, start=start)
        x = self.dropout(x)
        attention_scores, cross_attention_scores = [], []
        caches = caches or [None] * len(self.decoder_layers)
        for layer, cache in zip(self.decoder_layers, caches, strict=True):
            x, scores, cross_scores = layer(
                x, memory, attention_mask=causal_mask, memory_mask=mask, cache=cache
            )
            attention_scores.append(scores)
            cross_attention_scores.append(cross_scores)
        if self.final_norm is not None:
            x = self.final_norm(x)
        logits = self.embedding(x, reverse=True) if self.logits is None else self.logits(x)
        return logits, attention_scores, cross_attention_scores

    def read(self, target_ids, caches: list[KeyValueCache]):
        """The logits of the next tokens of targets, (B, T, V), and their attention scores."""
        logits, *scores = self.decode(target_ids, None, None, caches)
        return logits, scores


def _check_tokenizer(name, tokenizer, *tokens):
    if not set(tokens) <= set(tokenizer.extra_tokens):
        raise ValueError(
            f"`{name}` must have the extra tokens {', '.join(tokens)}. "
            f"Received: extra_tokens={tokenizer.extra_tokens}."
        )
