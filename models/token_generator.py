"""Continuing texts token by token, in one compiled loop."""

from collections.abc import Iterator, Sequence

import numpy as np
from keras import ops

from models.compiled_parts import CompiledParts, Part
from models.sampling import sample_tokens

_LEAST_ROOM = 64  # tokens; fewer take about as long


class TokenGenerator:
    """What `LanguageModel.stream` does, in token ids.

    All texts begin at position 0 and grow in step, one position at a time. A text whose prompt
    still has a token there takes that one; the others take the one that the model samples.

    When a text is as long as the context, only its last half is kept, and moves to the beginning.
    Every token has another position then, so what is kept of it is computed anew.

    Each step goes through all that there is room for, so there is no more room than the texts will
    need, rounded up to a power of two: 64 texts of 100 tokens in a context of 512 take a quarter of
    the memory, and of the time where that is what it takes longest to read. The loop is compiled
    once for each room, number of texts and `top_k`. The compiled functions are kept.

    Args:
        model: a `LanguageModel`.
    """

    def __init__(self, model):
        self.model = model
        self._parts = CompiledParts(model)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int = 0,
        use_cache: bool = True,
        jit_compile: bool = True,
        tokens_at_a_time: int = 16,
    ) -> Iterator[list[list[int]]]:
        """Continues prompts.

        Args:
            prompts: for each text the ids that it begins with, at least one; of more than the
                context holds, the last are read.
            max_new_tokens, temperature, top_k, top_p, seed: those of `LanguageModel.generate`.
            use_cache: whether keys and values are kept, where the model can do with those of the
                tokens before. Otherwise it reads the whole text again for each new token.
            jit_compile: whether XLA compiles the loop, where there is XLA.
            tokens_at_a_time: how many positions are gone through before what is new is yielded.

        Yields:
            For each text its new tokens, of which there may be none yet, or none left.
        """
        length, tokenizer = self.model.context_length, self.model.tokenizer
        prompts = [prompt[-length:] for prompt in prompts]
        # Positions count from the beginning of the prompt, as far as it is read.
        begins = np.array([len(prompt) for prompt in prompts], "int32")  # of what is new
        ends = begins + max_new_tokens
        last = ends.max() - 1
        room = max(_LEAST_ROOM, 1 << (int(last) - 1).bit_length())
        length = min(length, room)  # what is longer than the context goes through all of it
        # Wide enough for a window of that length and one token more, wherever it begins.
        token_ids = np.full((len(prompts), last + 1 + length), tokenizer.padding_id, "int32")
        uniform = np.zeros(token_ids.shape, "float32")  # the random number of each new token
        for row, (prompt, begin, end) in enumerate(zip(prompts, begins, ends, strict=True)):
            token_ids[row, :begin] = prompt
            uniform[row, begin:end] = random_numbers(seed, row, end - begin)

        use_cache = use_cache and self.model.can_cache
        num_choices = tokenizer.vocabulary_size - len(tokenizer.special_ids)
        top_k = num_choices if top_k is None else min(top_k, num_choices)
        loop = self._parts.compiled(_Loop, top_k, use_cache, jit_compile=jit_compile)
        first = 0  # the token that has position 0 in the model
        before = begins.min() - 1  # the last token that all prompts have
        # The token to read next. The loop reads a few tokens sooner than `read` a whole window:
        # with two cores, 256 positions take as long as 100 steps.
        position = 0 if use_cache and 8 * before < length else before
        caches = None
        while position < last:
            if position == first + length:  # the context is full
                first, caches = position - length // 2, None
            window = slice(first, first + length + 1)
            if caches is None and use_cache:
                caches = self._parts.read(token_ids[:, window], position - first, jit_compile)
            until = min(max(position, before) + tokens_at_a_time, first + length, last)
            token_ids[:, window], caches = loop(
                {
                    "token_ids": token_ids[:, window],
                    "uniform": uniform[:, window],
                    "begins": begins - first,
                    "caches": caches or (),
                    "start": np.array(position - first, "int32"),
                    "end": np.array(until - first, "int32"),
                    "temperature": np.array(temperature, "float32"),
                    "top_p": np.array(top_p, "float32"),
                }
            )
            yield [
                row[max(position + 1, begin) : min(until + 1, end)].tolist()
                for row, begin, end in zip(token_ids, begins, ends, strict=True)
            ]
            position = until


def random_numbers(seed: int, row: int, count: int) -> np.ndarray:
    """What the new tokens of one text are drawn with: float32, (count,), from 0 to below 1.

    Each text has dice of its own: what is beside it doesn't matter.

    Example:

    >>> random_numbers(seed=0, row=1, count=2).shape
    (2,)
    """
    return np.random.default_rng((seed, row)).random(count, "f4")


class _Loop(Part):
    """Lets texts grow from position `start` to `end`.

    Args:
        model: the language model.
        top_k: how many tokens to choose from.
        use_cache: whether each step reads one token and the caches, or the whole text.

    Call arguments:
        inputs: a dictionary of
            token_ids: the texts, (B, C + 1); one place more than the context, for the last token.
            uniform: the random number of each token, (B, C + 1).
            begins: where each text's prompt ends, (B,).
            caches: what is kept of all tokens before `start`, for each layer.
            start: the first position to read.
            end: the last position to write.
            temperature, top_p: those of `sample_tokens`.

    Returns:
        `(token_ids, caches)`, the caches empty where none are used.
    """

    def __init__(self, model, top_k, use_cache):
        super().__init__(model)
        self.top_k = top_k
        self.use_cache = use_cache
        special = model.tokenizer.special_ids
        self.is_special = np.isin(np.arange(model.tokenizer.vocabulary_size), special)  # (V,)

    def call(self, inputs):
        uniform, begins = inputs["uniform"], inputs["begins"]

        def read_and_write(position, token_ids, caches):
            read = self._read_cached if self.use_cache else self._read_all
            logits, caches = read(position, token_ids, caches)  # (B, V)
            sampled = sample_tokens(
                ops.where(self.is_special, -np.inf, ops.cast(logits, "float32")),
                ops.take(uniform, position + 1, axis=1),
                inputs["temperature"],
                self.top_k,
                inputs["top_p"],
            )  # (B,)
            own = ops.take(token_ids, position + 1, axis=1)  # (B,), where the prompt goes on
            token = ops.where(position + 1 < begins, own, sampled)
            token_ids = ops.slice_update(token_ids, (0, position + 1), token[:, None])
            return position + 1, token_ids, caches

        _, token_ids, caches = ops.while_loop(
            lambda position, token_ids, caches: position < inputs["end"],
            read_and_write,
            (inputs["start"], inputs["token_ids"], inputs["caches"]),
        )
        return token_ids, caches

    def _read_cached(self, position, token_ids, caches):
        token = ops.take(token_ids, position, axis=1)[:, None]  # (B, 1)
        logits, caches = self.read(token, caches, position)
        return logits[:, 0], caches

    def _read_all(self, position, token_ids, caches):
        # What is to the right is padding, or a prompt that goes on: no token is sampled there.
        logits = self.model(token_ids[:, :-1], training=False)  # (B, C, V)
        return ops.take(logits, position, axis=1), caches
