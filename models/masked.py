"""The masked language model, BERT's kind."""

import keras

from data.tokenizer import MASK
from models.parts import make_norm
from models.prompts import Prompts
from models.transformer import Stack, TransformerLanguageModel


class _MaskedStack(Stack):
    """The encoder's layers, with BERT's head: one more layer before the logits."""

    def __init__(self, a, tokenizer, is_causal, dtype):
        super().__init__(a, tokenizer, is_causal, dtype)
        self.transform = keras.layers.Dense(
            a.d_model, activation="gelu", use_bias=a.use_bias, name="transform", dtype=dtype
        )
        self.transform_norm = make_norm(a, dtype, name="transform_norm")

    def predict(self, x):
        return super().predict(self.transform_norm(self.transform(x)))


@keras.saving.register_keras_serializable(package="mini_transformer")
class MaskedLanguageModel(TransformerLanguageModel):
    """A Transformer encoder that tells hidden tokens of a text from what is on both sides of them.

    A hidden token is read as `[MASK]`. The model's word about it is what the logits say at its own
    place, after a head of its own:

        h = Norm(GELU(x W + b));  logits = h E^T,  E the embedding

    It reads from both sides, so it can't write a text on as the others do: ask it with `fill`.
    Train it on `data.masked`.

    Arguments are those of `TransformerLanguageModel`; the tokenizer needs the extra token `[MASK]`,
    and `tie_embeddings` is True by default, as in the paper.

    Example:

    >>> from data.tokenizer import WordTokenizer
    >>> tokenizer = WordTokenizer.from_texts(["i love deep learning"]).with_extra_tokens("[MASK]")
    >>> model = MaskedLanguageModel(tokenizer, context_length=4)
    >>> [len(likeliest) for likeliest in model.fill("i [MASK] deep [MASK]", k=2)]
    [2, 2]

    Reference: Devlin et al. (2018), https://arxiv.org/abs/1810.04805, section 3.1.
    """

    is_causal = False
    objective = "masked"  # of `data.objectives`
    extra_tokens = (MASK,)
    stack = _MaskedStack

    def __init__(
        self, tokenizer, *args, tie_embeddings: bool = True, name: str = "masked", **kwargs
    ):
        if MASK not in tokenizer.extra_tokens:
            raise ValueError(
                f"`tokenizer` must have the extra token {MASK}. "
                f"Received: extra_tokens={tokenizer.extra_tokens}."
            )
        super().__init__(tokenizer, *args, tie_embeddings=tie_embeddings, name=name, **kwargs)
        self.prompts = Prompts(self.tokenizer, self.context_length, "text", MASK)

    def fill(self, text: str, k: int = 5) -> list[list[tuple[str, float]]]:
        """What may stand in the gaps of a text.

        Args:
            text: a text with at least one `[MASK]`, which stands for one token. No longer than the
                context, and of no other tokens than the model knows.
            k: how many tokens for each gap, at least 1; at most the whole vocabulary comes back.

        Returns:
            For each `[MASK]`, in their order, pairs of a token and its probability, the likeliest
            first. Each gap is filled as if the others stayed open.

        Raises:
            ValueError: a text without a gap, one that can't be read, or k below 1.

        Example:

        >>> model.fill("i [MASK] deep learning", k=1)  # doctest: +SKIP
        [[('love', 0.99)]]
        """
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: k={k!r}.")
        if MASK not in text:
            raise ValueError(f"The text must hold a gap, {MASK}. Received: {text!r}.")
        token_ids = self.prompts.encode_whole(text)
        mask_id = self.tokenizer.special_id(MASK)
        probabilities = self._probabilities([token_ids])[0]  # (T, V)
        return [
            self.top_tokens(row, k, self.tokenizer.special_ids)
            for row, id_ in zip(probabilities, token_ids, strict=False)
            if id_ == mask_id
        ]

    def next_token_probabilities(self, *_, **__):
        """Not asked of a masked model: see `fill`."""
        raise _no_writer()

    def stream(self, *_, **__):
        """Not asked of a masked model: see `fill`."""
        raise _no_writer()

    def beam_search(self, *_, **__):
        """Not asked of a masked model: see `fill`."""
        raise _no_writer()


def _no_writer():
    return ValueError("A masked model reads both sides of a gap and writes nothing on: use `fill`.")
