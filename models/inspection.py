"""Looking inside: what a language model expects next, and what it attends to."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops


class Inspection:
    """Mixed into a `LanguageModel`: its predictions and its attention, in words.

    Looking changes nothing of what is trained or saved.
    """

    def _open_for_inspection(self, token_ids, logits, attention_scores):
        """Makes more functional models on the same layers, from symbolic tensors of the graph.

        They need no XLA, which takes long to compile. Only their methods are kept: a model on
        `self` would be saved too.
        """
        self._logits = keras.Model(token_ids, logits).predict_on_batch
        all_scores = ops.stack(attention_scores, axis=1)  # (B, layers, N, T, T)
        self._attention_scores = keras.Model(token_ids, all_scores).predict_on_batch

    def next_token_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """For each text, how likely each token of the vocabulary is to come next.

        Args:
            texts: one or more texts, each of at least one word. Of a text longer than the
                context, the last `context_length` words are read.

        Returns:
            float32, (len(texts), V); each row sums to 1.

        Raises:
            ValueError: no text, or a text without a word.

        Example:

        >>> model.next_token_probabilities(["i love", "deep"]).shape
        (2, 14)
        """
        if isinstance(texts, str) or not len(texts):
            raise ValueError(f"`texts` must be a list of at least one text. Received: {texts!r}.")
        encoded = [self.prompts.encode(text) for text in texts]
        last = np.array([len(ids) - 1 for ids in encoded])
        return self._probabilities(encoded, last)

    def _probabilities(self, encoded, places=None):
        """Of each token of the vocabulary at every place, (B, T, V); or at one of each, (B, V)."""
        # One shape for every prompt, so that the compiled function is made once.
        token_ids = np.full((len(encoded), self.context_length), self.tokenizer.padding_id, "int32")
        for row, ids in zip(token_ids, encoded, strict=True):
            row[: len(ids)] = ids
        logits = self._logits(token_ids)  # (B, T, V)
        if places is not None:
            logits = logits[np.arange(len(encoded)), places]
        logits = logits.astype("float32")
        unnormalised = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return unnormalised / unnormalised.sum(axis=-1, keepdims=True)

    def predict_next(self, text: str, k: int = 5) -> list[tuple[str, float]]:
        """The k most likely next tokens after `text`, the likeliest first.

        Args:
            text: a prompt of at least one word. Of a prompt longer than the context, the last
                `context_length` words are read. A word out of the vocabulary is read as the
                tokenizer's unknown token, with a warning the first time.
            k: how many tokens, at least 1; at most the whole vocabulary comes back.

        Returns:
            Pairs of a token and its probability. Padding is no token and is left out.

        Raises:
            ValueError: an empty prompt, or k below 1.

        Example:

        >>> [token for token, probability in model.predict_next("i love", k=3)]  # doctest: +SKIP
        ['deep', 'artificial', 'models']
        """
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: k={k!r}.")
        (probabilities,) = self.next_token_probabilities([text])
        return self.top_tokens(probabilities, k)

    def top_tokens(
        self, probabilities: np.ndarray, k: int, left_out: Sequence[int] | None = None
    ) -> list[tuple[str, float]]:
        """The k likeliest tokens of one row of probabilities, (V,).

        Args:
            probabilities: of each token.
            k: how many.
            left_out: ids that are not among them. Default None: padding.
        """
        left_out = [self.tokenizer.padding_id] if left_out is None else left_out
        kept = np.delete(np.arange(len(probabilities)), left_out)
        ranked = kept[np.argsort(-probabilities[kept], kind="stable")][:k]
        tokens = self.tokenizer.tokens(ranked)
        return list(zip(tokens, probabilities[ranked].tolist(), strict=True))

    def attention(self, text: str) -> tuple[list[str], np.ndarray]:
        """What each word of `text` attends to, in every layer and head.

        Args:
            text: a text of at least one word, read as by `predict_next`.

        Returns:
            The T tokens, and float32 scores of shape (layers, heads, T, T): `scores[l, h, t]`
            says how head h of layer l, at token t, shares its attention among the T tokens.

        Raises:
            ValueError: a text without a word.

        Example:

        >>> tokens, scores = model.attention("i love deep")
        >>> tokens, scores.shape
        (['i', 'love', 'deep'], (2, 2, 3, 3))
        """
        token_ids = self.prompts.encode(text)
        (scores,) = self._attention_scores(np.array([token_ids], "int32"))  # (layers, N, T, T)
        return self.tokenizer.tokens(token_ids), scores.astype("float32")
