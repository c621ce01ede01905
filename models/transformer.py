"""A stack of Transformer layers that predicts tokens, with all its variants."""

import dataclasses

import keras

from architecture import Architecture
from data.tokenizer import Tokenizer
from layers import CausalMask, KeyValueCache, PaddingMask, TokenEmbedding
from layers.dropout import make_dropout
from models.language_model import LanguageModel
from models.parts import make_encoder_layer, make_final_norm, make_positions


class Stack:
    """The layers of a language model, from token ids to logits.

    They are no attributes of the model: Keras would save their weights under these names, where
    files that are older have them under the names of their classes.

    Args:
        a: sizes and variants.
        tokenizer: sets the number of tokens, and which one is padding.
        is_causal: whether a position sees only itself and what is to its left, or else everything
            but padding.
        dtype: dtype policy of all layers.
    """

    def __init__(self, a: Architecture, tokenizer: Tokenizer, is_causal: bool, dtype):
        size = tokenizer.vocabulary_size
        self.is_causal = is_causal
        # Padding is on the right: where nobody looks to the right, nobody sees it.
        self.mask = (
            CausalMask(name="causal_mask")
            if is_causal
            else PaddingMask(tokenizer.padding_id, name="padding_mask")
        )
        self.embedding = TokenEmbedding(size, a.d_model, name="embedding", dtype=dtype)
        self.positions = make_positions(a, dtype)
        self.dropout = make_dropout(a.dropout, name="embedding_dropout", dtype=dtype)
        self.layers = [make_encoder_layer(a, n, dtype) for n in range(1, a.num_layers + 1)]
        self.final_norm = make_final_norm(a, dtype)
        self.logits = (
            None
            if a.tie_embeddings
            else keras.layers.Dense(size, use_bias=a.use_bias, name="logits", dtype=dtype)
        )

    def read(self, token_ids, caches: list[KeyValueCache] | None = None):
        """What the model makes of some texts; with caches, of the next tokens of texts.

        Args:
            token_ids: integers, (B, T).
            caches: in a causal model, for each layer what is kept of the tokens before. The new
                tokens are written into them. Default None: there are none before.

        Returns:
            `(logits, attention_scores)`: (B, T, V), and for each layer (B, N, T, S).

        Example:

        >>> from data.tokenizer import WordTokenizer
        >>> from models import DecoderLanguageModel
        >>> tokenizer = WordTokenizer.from_texts(["i love deep learning"])
        >>> model = DecoderLanguageModel(tokenizer, context_length=4)
        >>> caches = model.empty_caches(batch_size=1)
        >>> logits, _ = model.read(np.array([[2, 3]]), caches)
        >>> caches = [KeyValueCache(**cache.tensors, start=2) for cache in caches]
        >>> logits, _ = model.read(np.array([[4]]), caches)
        >>> bool(np.allclose(logits[:, 0], model(np.array([[2, 3, 4]]))[:, 2], atol=1e-5))
        True
        """
        start, length = (caches[0].start, caches[0].length) if caches else (0, None)
        if self.is_causal:
            mask = self.mask(token_ids, key_length=length, start=start)  # (T, S)
            masks = {"attention_mask": mask, "is_causal": True}
        else:
            masks = {"padding_mask": self.mask(token_ids)}  # (B, T)
        x = self.embedding(token_ids)  # (B, T, D)
        if self.positions is not None:
            x = self.positions(x, start=start)
        x = self.dropout(x)
        attention_scores = []
        for layer, cache in zip(self.layers, caches or [None] * len(self.layers), strict=True):
            x, scores = layer(x, **masks, cache=cache)  # (B, T, D), (B, N, T, S)
            attention_scores.append(scores)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return self.predict(x), attention_scores

    def predict(self, x):
        """The logits, (B, T, V), of what the layers made of texts."""
        return self.embedding(x, reverse=True) if self.logits is None else self.logits(x)


class TransformerLanguageModel(LanguageModel):
    """What the encoder and the decoder of the zoo share: everything but who may look at whom.

        token ids -> embedding * sqrt(D) -> + positions -> dropout
                  -> num_layers x TransformerEncoderLayer -> logits

    With `norm_placement="pre"` one more normalisation comes before the logits.

    Args:
        tokenizer: one of `data.tokenizer`; its vocabulary sets V.
        context_length: the longest text that the model reads, in tokens. A positive integer.
        provenance: where the model comes from; saved with it. Default None: an empty dict.
        dtype: Keras dtype policy of all layers, such as "mixed_bfloat16". Default None: Keras's
            global policy.
        name: Keras's name for the model. Default None: made by Keras.
        switches: all others of `architecture.Architecture`, such as `num_layers=4`; each becomes an
            attribute, too.

    Call arguments:
        token_ids: integers, (B, T), T at most `context_length`.

    Returns:
        Logits, (B, T, V).

    Attributes:
        read: the model's forward pass, the one that its graph was made by, for tokens that come
            after those in some caches.

    Raises:
        ValueError: an argument out of its range.
    """

    is_causal: bool
    stack = Stack

    def __init__(
        self,
        tokenizer: Tokenizer,
        context_length: int,
        provenance: dict | None = None,
        dtype=None,
        name: str | None = None,
        **switches,
    ):
        architecture = Architecture(context_length=context_length, **switches)
        policy = keras.dtype_policies.get(dtype)
        stack = self.stack(architecture, tokenizer, self.is_causal, policy)
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")  # (B, T)
        logits, attention_scores = stack.read(token_ids)
        super().__init__(
            token_ids, logits, attention_scores, tokenizer, context_length, provenance, name
        )
        self.architecture = architecture
        for switch, value in dataclasses.asdict(architecture).items():
            setattr(self, switch, value)
        self.dtype_policy = policy
        self.read = stack.read

    @property
    def can_cache(self) -> bool:
        """Whether a token's keys and values stay as they are when the text grows."""
        return self.is_causal

    def empty_caches(self, batch_size: int, length: int | None = None) -> list[KeyValueCache]:
        """For each layer a cache of texts that begin.

        Args:
            batch_size: how many texts.
            length: for how many tokens of each there is room. Default None: a whole context.
        """
        length = self.context_length if length is None else length
        layers = [self.get_layer(f"encoder_layer_{n + 1}") for n in range(self.num_layers)]
        return [layer.empty_cache(batch_size, length) for layer in layers]

    def get_config(self):
        return {
            **super().get_config(),
            **dataclasses.asdict(self.architecture),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }
