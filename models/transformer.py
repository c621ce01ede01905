"""A stack of Transformer layers that predicts the next token, with all its variants."""

import keras

from data.tokenizer import Tokenizer
from layers import (
    CausalMask,
    LearnedPositionalEmbedding,
    PaddingMask,
    SinusoidalPositionalEncoding,
    TokenEmbedding,
    TransformerEncoderLayer,
    relu_squared,
)
from layers.checks import check_dropout, check_positive_integers
from models.language_model import LanguageModel

POSITIONS = ("sinusoidal", "learned", "rotary", "alibi", "none")
NORMS = {"layer": keras.layers.LayerNormalization, "rms": keras.layers.RMSNormalization}
NORM_PLACEMENTS = ("post", "pre")
# The function of the feed-forward network, and whether it is a gate.
ACTIVATIONS = {
    "relu": (keras.activations.relu, False),
    "gelu": (keras.activations.gelu, False),
    "relu_squared": (relu_squared, False),
    "swiglu": (keras.activations.silu, True),
}


class TransformerLanguageModel(LanguageModel):
    """What the encoder and the decoder of the zoo share: everything but who may look at whom.

        token ids -> embedding * sqrt(D) -> + positions -> dropout
                  -> num_layers x TransformerEncoderLayer -> logits

    With `norm_placement="pre"` one more normalisation comes before the logits.

    Args:
        tokenizer: one of `data.tokenizer`; its vocabulary sets V.
        context_length: the longest text that the model reads, in tokens. A positive integer.
        d_model: width of the model, D. A positive integer, default 16.
        num_heads: attention heads of each layer, N. Must divide `d_model`. Default 2.
        num_layers: number of layers. A positive integer, default 2.
        dff: width of the feed-forward networks' hidden layer. A positive integer, default 64.
        dropout: share dropped after the embedding and after each sub-layer in training,
            0 <= dropout < 1. Default 0.1.
        position: how the model tells positions: "sinusoidal" (a fixed pattern is added), "learned"
            (a vector for each is added), "rotary" (queries and keys are turned), "alibi"
            (attention falls with distance) or "none". Default "sinusoidal".
        rotary_wavelength: with "rotary", how slowly the slowest pair turns (`RotaryEmbedding`). A
            number above 1, default 10000; a short context wants a shorter one.
        norm: "layer" or "rms" (root mean square). Default "layer".
        norm_placement: where the normalisations are: "post", after each residual, or "pre", before
            each sub-layer. Default "post".
        qk_norm: whether queries and keys are normalised. Default False.
        num_kv_heads: number of different heads of keys and values. Must divide `num_heads`.
            Default None: as many as `num_heads`.
        activation: of the feed-forward networks: "relu", "gelu", "relu_squared" or "swiglu".
            Default "relu".
        tie_embeddings: whether the logits are made by the embedding's own matrix. Default False.
        use_bias: whether dense layers add a bias. Default True.
        output_scale: how large the layers' output projections start out, as a factor on Keras's
            default, at least 0. Default 1.
        provenance: where the model comes from; saved with it. Default None: an empty dict.
        dtype: Keras dtype policy of all layers, such as "mixed_bfloat16". Default None: Keras's
            global policy.
        name: Keras's name for the model. Default None: made by Keras.

    Call arguments:
        token_ids: integers, (B, T), T at most `context_length`.

    Returns:
        Logits, (B, T, V).

    Raises:
        ValueError: an argument out of its range.
    """

    is_causal: bool

    def __init__(
        self,
        tokenizer: Tokenizer,
        context_length: int,
        d_model: int = 16,
        num_heads: int = 2,
        num_layers: int = 2,
        dff: int = 64,
        dropout: float = 0.1,
        position: str = "sinusoidal",
        rotary_wavelength: float = 10000,
        norm: str = "layer",
        norm_placement: str = "post",
        qk_norm: bool = False,
        num_kv_heads: int | None = None,
        activation: str = "relu",
        tie_embeddings: bool = False,
        use_bias: bool = True,
        output_scale: float = 1.0,
        provenance: dict | None = None,
        dtype=None,
        name: str | None = None,
    ):
        check_positive_integers(num_layers=num_layers, context_length=context_length)
        check_dropout(dropout)
        _check_choice("position", position, POSITIONS)
        _check_choice("norm", norm, NORMS)
        _check_choice("norm_placement", norm_placement, NORM_PLACEMENTS)
        _check_choice("activation", activation, ACTIVATIONS)
        policy = keras.dtype_policies.get(dtype)

        token_ids = keras.Input((None,), dtype="int32", name="token_ids")  # (B, T)
        # Padding is on the right: where nobody looks to the right, nobody sees it.
        masks = (
            {"attention_mask": CausalMask(name="causal_mask")(token_ids)}  # (T, T)
            if self.is_causal
            else {"padding_mask": PaddingMask(tokenizer.padding_id, name="padding_mask")(token_ids)}
        )  # (B, T)

        embedding = TokenEmbedding(
            tokenizer.vocabulary_size, d_model, name="embedding", dtype=policy
        )
        x = embedding(token_ids)  # (B, T, D)
        if position == "sinusoidal":
            x = SinusoidalPositionalEncoding(name="positional_encoding", dtype=policy)(x)
        elif position == "learned":
            x = LearnedPositionalEmbedding(
                context_length, name="positional_embedding", dtype=policy
            )(x)
        x = keras.layers.Dropout(dropout, name="embedding_dropout", dtype=policy)(x)

        function, gated = ACTIVATIONS[activation]
        attention_scores = []
        for number in range(1, num_layers + 1):
            x, scores = TransformerEncoderLayer(
                d_model,
                num_heads,
                dff,
                dropout,
                norm_first=norm_placement == "pre",
                rms_norm=norm == "rms",
                num_kv_heads=num_kv_heads,
                rotary_wavelength=rotary_wavelength if position == "rotary" else None,
                alibi=position == "alibi",
                qk_norm=qk_norm,
                activation=function,
                gated=gated,
                use_bias=use_bias,
                output_scale=output_scale,
                name=f"encoder_layer_{number}",
                dtype=policy,
            )(x, **masks)  # (B, T, D), (B, N, T, T)
            attention_scores.append(scores)

        if norm_placement == "pre":
            x = NORMS[norm](epsilon=1e-6, name="final_norm", dtype=policy)(x)
        if tie_embeddings:
            logits = embedding(x, reverse=True)  # (B, T, V)
        else:
            logits = keras.layers.Dense(
                tokenizer.vocabulary_size, use_bias=use_bias, name="logits", dtype=policy
            )(x)

        super().__init__(
            token_ids, logits, attention_scores, tokenizer, context_length, provenance, name
        )
        self.d_model = d_model
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.dff = dff
        self.dropout = dropout
        self.position = position
        self.rotary_wavelength = rotary_wavelength
        self.norm = norm
        self.norm_placement = norm_placement
        self.qk_norm = qk_norm
        self.num_kv_heads = num_kv_heads
        self.activation = activation
        self.tie_embeddings = tie_embeddings
        self.use_bias = use_bias
        self.output_scale = output_scale
        self.dtype_policy = policy

    @property
    def can_cache(self) -> bool:
        """Whether a token's keys and values stay as they are when the text grows."""
        return self.is_causal

    def empty_caches(self, batch_size: int) -> list:
        """For each layer `MultiHeadAttention.empty_cache`, with room for a whole context."""
        return [
            layer.attention.empty_cache(batch_size, self.context_length)
            for layer in self._encoder_layers()
        ]

    def call_with_caches(self, token_ids, caches, start):
        """Reads new tokens of texts whose tokens before `start` are in the caches.

        It is the same computation as the model's own, on the same layers, in a causal model.

        Args:
            token_ids: the new tokens, integers, (B, T).
            caches: for each layer what `TransformerEncoderLayer.call_with_cache` takes.
            start: the position of the first new token, an integer.

        Returns:
            `(logits, caches)`: (B, T, V), and the caches with the new tokens in them.

        Example:

        >>> from data.tokenizer import WordTokenizer
        >>> from models import DecoderLanguageModel
        >>> tokenizer = WordTokenizer.from_texts(["i love deep learning"])
        >>> model = DecoderLanguageModel(tokenizer, context_length=4)
        >>> caches = model.empty_caches(batch_size=1)
        >>> logits, caches = model.call_with_caches(np.array([[2, 3]]), caches, start=0)
        >>> logits, caches = model.call_with_caches(np.array([[4]]), caches, start=2)
        >>> bool(np.allclose(logits[:, 0], model(np.array([[2, 3, 4]]))[:, 2], atol=1e-5))
        True
        """
        x = self.get_layer("embedding")(token_ids)  # (B, T, D)
        if self.position == "sinusoidal":
            x = self.get_layer("positional_encoding")(x, start=start)
        elif self.position == "learned":
            x = self.get_layer("positional_embedding")(x, start=start)
        new_caches = []
        for layer, cache in zip(self._encoder_layers(), caches, strict=True):
            x, cache = layer.call_with_cache(x, cache, start)
            new_caches.append(cache)
        if self.norm_placement == "pre":
            x = self.get_layer("final_norm")(x)
        if self.tie_embeddings:
            logits = self.get_layer("embedding")(x, reverse=True)
        else:
            logits = self.get_layer("logits")(x)  # (B, T, V)
        return logits, new_caches

    def _encoder_layers(self):
        return [self.get_layer(f"encoder_layer_{n}") for n in range(1, self.num_layers + 1)]

    def get_config(self):
        return {
            **super().get_config(),
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "dff": self.dff,
            "dropout": self.dropout,
            "position": self.position,
            "rotary_wavelength": self.rotary_wavelength,
            "norm": self.norm,
            "norm_placement": self.norm_placement,
            "qk_norm": self.qk_norm,
            "num_kv_heads": self.num_kv_heads,
            "activation": self.activation,
            "tie_embeddings": self.tie_embeddings,
            "use_bias": self.use_bias,
            "output_scale": self.output_scale,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }


def _check_choice(name, value, choices):
    if value not in choices:
        names = ", ".join(map(repr, choices))
        raise ValueError(f"`{name}` must be one of {names}. Received: {name}={value!r}.")
