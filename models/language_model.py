"""What every language model of the zoo can do: name the next word, show its attention, be saved."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops

from data.tokenizer import Tokenizer
from layers.checks import check_positive_integers
from models.generation import TokenGenerator
from models.sampling import check_sampling
from models.xla import has_xla


class LanguageModel(keras.Model):
    """A functional Keras model from token ids to logits that carries its tokenizer.

    A subclass builds the graph of its layers and hands it to this constructor. What comes out is
    a `keras.Model` as any other (`fit`, `evaluate`, `save`, ...) with the methods below.

    Args:
        token_ids: the symbolic input, integers, (B, T).
        logits: the symbolic output, floats, (B, T, V).
        attention_scores: for each layer the symbolic scores, (B, N, T, T).
        tokenizer: one of `data.tokenizer`. It is saved with the model.
        context_length: the longest text that the model reads, in tokens. A positive integer.
        provenance: where the model comes from (corpus, versions, settings), any dict that JSON
            can hold. It is saved with the model. Default None: an empty dict.
        name: Keras's name for the model. Default None: made by Keras.

    Raises:
        ValueError: a `context_length` that is no positive integer.
    """

    def __init__(
        self,
        token_ids,
        logits,
        attention_scores,
        tokenizer: Tokenizer,
        context_length: int,
        provenance: dict | None = None,
        name: str | None = None,
    ):
        check_positive_integers(context_length=context_length)
        super().__init__(inputs=token_ids, outputs=logits, name=name)
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.provenance = dict(provenance or {})
        # More functional models on the same layers: looking at predictions and attention changes
        # nothing of what is trained or saved, and they need no XLA, which takes long to compile.
        # Only their methods are kept: a model on `self` would be saved too.
        self._logits = keras.Model(token_ids, logits).predict_on_batch
        all_scores = ops.stack(attention_scores, axis=1)  # (B, layers, N, T, T)
        self._attention_scores = keras.Model(token_ids, all_scores).predict_on_batch
        self._generator = TokenGenerator(self)
        self._unknown_words = {"[unk]"}  # those that need no warning, or no second one

    @property
    def can_cache(self) -> bool:
        """Whether `generate` can keep what it computed for earlier tokens."""
        return False

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
        encoded = [self._encode_prompt(text) for text in texts]
        # One shape for every prompt, so that the compiled function is made once.
        token_ids = np.full((len(encoded), self.context_length), self.tokenizer.padding_id, "int32")
        for row, ids in zip(token_ids, encoded, strict=True):
            row[: len(ids)] = ids
        logits = self._logits(token_ids)  # (B, T, V)
        last = np.array([len(ids) - 1 for ids in encoded])
        last_logits = logits[np.arange(len(encoded)), last].astype("float32")  # (B, V)
        unnormalised = np.exp(last_logits - last_logits.max(axis=-1, keepdims=True))
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

    def top_tokens(self, probabilities: np.ndarray, k: int) -> list[tuple[str, float]]:
        """The k likeliest tokens of one row of probabilities, (V,), padding left out."""
        ranked = np.argsort(-probabilities, kind="stable")
        ranked = ranked[ranked != self.tokenizer.padding_id][:k]
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
        token_ids = self._encode_prompt(text)
        (scores,) = self._attention_scores(np.array([token_ids], "int32"))  # (layers, N, T, T)
        return self.tokenizer.tokens(token_ids), scores.astype("float32")

    def generate(
        self,
        prompts: str | Sequence[str],
        max_new_tokens: int = 100,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        use_cache: bool = True,
        jit_compile: bool = True,
    ) -> list[str]:
        """Continues texts.

        No text ends by itself: each one gets all of its new tokens, and neither padding nor [UNK]
        is among them. What a text becomes does not depend on the texts beside it. Where it is
        longer than the context, the model forgets the older half each time the context is full.

        Args:
            prompts: one text or several, each of at least one token, and of no other tokens than
                the model knows. Of a prompt longer than the context, the last `context_length`
                tokens are read.
            max_new_tokens: how many tokens each text gets, at least 1. Default 100.
            temperature: above 0. Below 1 makes likely tokens likelier still, above 1 rare ones.
                Default 1: as the model learned them.
            top_k: a token is drawn from this many of the likeliest, at least 1, which always
                takes the likeliest ("greedy"). Default None: from all.
            top_p: and from no more of them than it takes to reach this share of the probability,
                0 < top_p <= 1. Default None: from all.
            seed: makes the random numbers, at least 0. Text number n has a stream of its own, made
                from `seed` and n. Default 0.
            use_cache: whether the keys and values of tokens are kept, so that each is read once.
                A model that looks to the right, such as the encoder, reads all anew in any case.
                Default True; the texts are the same.
            jit_compile: whether XLA compiles the loop at the first call: a second or two, after
                which it is many times as fast. Default True; PyTorch, which has no XLA, goes
                through the loop as it is.

        Returns:
            The texts: each prompt and what follows.

        Raises:
            ValueError: an argument out of its range, or a prompt that can't be read.

        Example:

        >>> model.generate("i love", max_new_tokens=3, top_k=1)  # doctest: +SKIP
        ['i love deep learning is']
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        steps = self.stream(
            prompts,
            max_new_tokens,
            temperature,
            top_k,
            top_p,
            seed,
            use_cache,
            jit_compile,
            tokens_at_a_time=self.context_length,
        )
        begins = [prompt.rstrip(self.tokenizer.separator) for prompt in prompts]
        return ["".join(pieces) for pieces in zip(begins, *steps, strict=True)]

    def stream(
        self,
        prompts: str | Sequence[str],
        max_new_tokens: int = 100,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        use_cache: bool = True,
        jit_compile: bool = True,
        tokens_at_a_time: int = 16,
    ) -> Iterator[list[str]]:
        """Continues texts as `generate` does, and hands the pieces out as they come.

        Args:
            tokens_at_a_time: how many tokens a piece holds, at least 1. Default 16.
            The others are those of `generate`.

        Returns:
            An iterator. It gives lists of one piece for each text, which may be empty where a
            longer prompt is beside it. The pieces of a text, joined, are what `generate` puts after
            the prompt; a piece of words begins with a space.

        Raises:
            ValueError: as `generate`.

        Example:

        >>> for (piece,) in model.stream("i love", max_new_tokens=40):  # doctest: +SKIP
        ...     print(piece, end="", flush=True)
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        if not prompts:
            raise ValueError("`prompts` must hold at least one text. Received: prompts=[].")
        check_positive_integers(max_new_tokens=max_new_tokens, tokens_at_a_time=tokens_at_a_time)
        top_p = 1.0 if top_p is None else top_p
        check_sampling(temperature, top_k, top_p, seed)
        steps = self._generator.generate(
            [self._encode_known(prompt) for prompt in prompts],
            max_new_tokens,
            temperature,
            top_k,
            top_p,
            seed,
            use_cache,
            jit_compile,
            tokens_at_a_time,
        )
        decoders = [self.tokenizer.continuation() for _ in prompts]
        return ([decode(ids) for decode, ids in zip(decoders, step, strict=True)] for step in steps)

    def save(self, filepath, overwrite: bool = True, **kwargs) -> None:
        """Saves the whole model to one `.keras` file, all of it or nothing.

        The file is written beside its destination under another name and then renamed, so
        whatever happens meanwhile (a kill, a full disk), an earlier file of that name stays.
        Arguments are those of `keras.Model.save`.
        """
        path = Path(filepath)
        is_wrong = not path.parent.is_dir() or (path.exists() and not overwrite)
        if path.suffix != ".keras" or is_wrong:
            return super().save(filepath, overwrite=overwrite, **kwargs)  # Keras says what is wrong
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.keras")
        try:
            super().save(temporary, **kwargs)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def compile_from_config(self, config):
        """As Keras does; but a model that was compiled with XLA does without where there is none.

        Keras would put `torch.compile` in its place.
        """
        super().compile_from_config({**config, "jit_compile": config["jit_compile"] and has_xla()})

    def get_config(self):
        return {
            "name": self.name,
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "context_length": self.context_length,
            "provenance": self.provenance,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for key in ("tokenizer", "dtype"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)

    def _encode_prompt(self, text: str) -> list[int]:
        """The ids of the last `context_length` words of `text`."""
        token_ids = self._encode(text)
        unknown = [
            piece
            for piece in self._unknown_pieces(text, token_ids)
            if piece not in self._unknown_words
        ]
        if unknown:
            self._unknown_words.update(unknown)
            warnings.warn(
                f"Not in the model's vocabulary, read as [UNK]: {', '.join(unknown)}.",
                stacklevel=_stacklevel_outside_this_file(),
            )
        return token_ids[-self.context_length :]

    def _encode_known(self, text: str) -> list[int]:
        """The ids of `text`, in which nothing may be unknown."""
        token_ids = self._encode(text)
        unknown = self._unknown_pieces(text, token_ids)
        if unknown:
            raise ValueError(
                f"The prompt must hold only {self.tokenizer.pieces_name} that the model knows. "
                f"Received: {', '.join(map(repr, unknown))} in {text!r}."
            )
        return token_ids

    def _encode(self, text: str) -> list[int]:
        token_ids = self.tokenizer.encode(text)
        if not token_ids:
            piece = self.tokenizer.pieces_name.removesuffix("s")
            raise ValueError(f"The prompt must hold at least one {piece}. Received: {text!r}.")
        return token_ids

    def _unknown_pieces(self, text: str, token_ids: list[int]) -> list[str]:
        """What the vocabulary lacks of a text, each piece once, in their order."""
        pieces = zip(self.tokenizer.split(text), token_ids, strict=True)
        return list(dict.fromkeys(p for p, id_ in pieces if id_ == self.tokenizer.unknown_id))


def _stacklevel_outside_this_file() -> int:
    """The `stacklevel` with which a warning of the calling function points at the user's code."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame, level = frame.f_back, level + 1
    return level
