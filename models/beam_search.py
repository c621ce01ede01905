"""Finding a likely text by keeping several at a time, in one compiled loop."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from architecture import Number, SettingError
from models.compiled_parts import CompiledParts, Part


class Hypothesis(NamedTuple):
    """A text that a beam search has found.

    Attributes:
        text: what is written.
        score: log p(text), divided by the length penalty.
        is_finished: whether it came to its end; False: it was stopped at the limit.
    """

    text: str
    score: float
    is_finished: bool


class BeamSearch:
    """Beam search: in each step the best few of all texts that are a token longer.

        score = log p(text) / ((5 + length) / 6)^length_penalty

    The length counts the end token. Texts that have ended keep their place among the best, as long
    as no others are better, and the search ends when all that are kept have ended, or when none can
    become better than the best that has. With one beam it is greedy; with as many beams as there
    are texts it finds the likeliest of all.

    Without an end token all texts are equally long, and the penalty changes nothing.

    Args:
        model: a model of the zoo with `read`, `empty_caches` and `can_cache`.
        end_id: the token that ends a text. Default None: texts only end at their limit.

    Reference: Wu et al. (2016), https://arxiv.org/abs/1609.08144, section 7, which the paper's
    authors follow.
    """

    def __init__(self, model, end_id: int | None = None):
        self.model = model
        self.end_id = end_id
        self._parts = CompiledParts(model)

    def search(
        self,
        begins: Sequence[Sequence[int]],
        max_new_tokens: int,
        beams: int,
        length_penalty: float,
        sources: np.ndarray | None = None,
        wanted: int = 1,
        use_cache: bool = True,
        jit_compile: bool = True,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Continues texts that begin alike long.

        Args:
            begins: for each of B texts the ids that it begins with, at least one, all equally many.
            max_new_tokens: the longest continuation, the end counted; at least 1.
            beams: how many texts to keep of each, K, at least 1.
            length_penalty: the exponent above, at least 0. Above 0 longer texts score better.
            sources: for an encoder-decoder, what it listens to, int32, (B, S). Default None.
            wanted: how many of the K have to be the best there are. Default 1.
            use_cache: whether what was read is kept, where the model can. Default True.
            jit_compile: whether XLA compiles the loop, where there is XLA. Default True.

        Returns:
            `(token_ids, scores, are_finished)`: the new tokens, padded from the end on,
            (B, K, max_new_tokens); float32 (B, K), the best first, those that have ended before the
            others; booleans, (B, K). A score of -inf: there are no more texts.
        """
        begins = np.array(begins, "int32")
        size, begin = begins.shape
        length = self.model.context_length
        use_cache = use_cache and self.model.can_cache
        last = begin + max_new_tokens - 1  # the last token is not read
        token_ids = np.zeros((size * beams, last + 1 + length), "int32")
        token_ids[:, :begin] = np.repeat(begins, beams, axis=0)
        state = {
            # At first there is one text of each.
            "log_p": np.tile(np.append(0.0, np.full(beams - 1, -np.inf)), (size, 1)).astype("f4"),
            "lengths": np.zeros((size, beams), "int32"),
            "ended": np.zeros((size, beams), bool),
        }
        given = {
            "limit": np.array(max_new_tokens, "float32"),
            "length_penalty": np.array(length_penalty, "float32"),
            **({} if sources is None else {"source_ids": sources}),
        }
        how = beams, wanted, use_cache, self.end_id
        loop = self._parts.compiled(_BeamLoop, *how, jit_compile=jit_compile)
        first, position, caches, is_done = 0, begin - 1, None, False
        while position < last and not is_done:
            if position == first + length:  # the context is full: forget its first half
                first, caches = position - length // 2, None
            window = slice(first, first + length + 1)
            if caches is None and use_cache and sources is None:
                caches = self._parts.read(token_ids[:, window], position - first, jit_compile)
            until = min(first + length, last)
            found = loop(
                {
                    **state,
                    **given,
                    "token_ids": token_ids[:, window],
                    "caches": caches or (),
                    "start": np.array(position - first, "int32"),
                    "end": np.array(until - first, "int32"),
                }
            )
            token_ids[:, :first] = token_ids[found["parents"], :first]
            token_ids[:, window], caches = found["token_ids"], found["caches"]
            state = {name: found[name] for name in state}
            position, is_done = until, bool(found["is_done"])
        new = token_ids[:, begin : last + 1].reshape(size, beams, -1)
        scores = _penalize(state["log_p"], state["lengths"], length_penalty)
        ended = state["ended"]
        order = np.lexsort((-scores, ~ended), axis=-1)  # (B, K)
        return (
            np.take_along_axis(new, order[..., None], axis=1),
            np.take_along_axis(scores, order, axis=1),
            np.take_along_axis(ended, order, axis=1),
        )


class _BeamLoop(Part):
    """Lets the beams of some texts grow from position `start` to `end`.

    Args:
        model: the model.
        beams: how many of each there are, K.
        wanted: how many of the best are looked for.
        use_cache: whether each step reads one token and the caches, or all again.
        end_id: the token that ends a text; None where there is none.

    Call arguments:
        inputs: a dictionary of
            token_ids: the texts, (B K, C + 1), the beams of each one after the other.
            log_p: the log probability of what is new in each, (B, K); -inf for none.
            lengths: how many tokens of each are new, (B, K).
            ended: whether it has come to its end, (B, K).
            source_ids: for an encoder-decoder, (B, S).
            caches: what is kept of all tokens before `start`; of an encoder-decoder nothing yet.
            start, end: the first position to read, and the last one to write.
            limit: how many tokens may be new at most.
            length_penalty: that of `BeamSearch`.

    Returns:
        The same names with what has become of them, and `parents`, from which row each came,
        (B K,), and `is_done`, whether nothing better can be found.
    """

    def __init__(self, model, beams, wanted, use_cache, end_id):
        super().__init__(model)
        self.beams = beams
        self.wanted = wanted
        self.use_cache = use_cache
        self.end_id = end_id
        size, special = model.tokenizer.vocabulary_size, model.tokenizer.special_ids
        self.is_never = np.isin(np.arange(size), [id_ for id_ in special if id_ != end_id])  # (V,)

    def call(self, inputs):
        size, beams = ops.shape(inputs["log_p"])[0], self.beams
        rows = ops.arange(size * beams)
        source_ids, caches = inputs.get("source_ids"), inputs["caches"]
        if source_ids is not None and self.use_cache:
            caches = [cache.tensors for cache in self.model.empty_caches(source_ids)]
            caches = keras.tree.map_structure(lambda x: _repeat(x, size, beams), caches)
        elif source_ids is not None:
            source_ids = ops.repeat(source_ids, beams, axis=0)  # (B K, S)

        def penalize(log_p, lengths):
            return _penalize(log_p, ops.cast(lengths, "float32"), inputs["length_penalty"])

        def step(position, is_done, parents, token_ids, log_p, lengths, ended, caches):
            tokens_log_p, caches = self._read(position, token_ids, caches, source_ids)  # (B K, V)
            never = ops.where(ops.arange(len(self.is_never)) == 0, 0.0, -np.inf)  # but padding
            tokens_log_p = ops.where(ops.reshape(ended, (-1, 1)), never, tokens_log_p)
            tokens_log_p = ops.reshape(tokens_log_p, (size, beams, -1))  # (B, K, V)
            log_p = log_p[..., None] + tokens_log_p
            lengths = lengths + ops.cast(ops.logical_not(ended), "int32")  # (B, K)
            scores = ops.reshape(penalize(log_p, lengths[..., None]), (size, -1))  # (B, K V)
            scores, best = ops.top_k(scores, beams)  # (B, K)
            best = ops.cast(best, "int32")
            parent, token = best // len(self.is_never), best % len(self.is_never)
            log_p = ops.take_along_axis(ops.reshape(log_p, (size, -1)), best, axis=1)
            lengths = ops.take_along_axis(lengths, parent, axis=1)
            ended = ops.take_along_axis(ended, parent, axis=1)
            if self.end_id is not None:
                ended = ops.logical_or(ended, token == self.end_id)
            rows = ops.reshape(ops.arange(size)[:, None] * beams + parent, (-1,))  # (B K,)
            token_ids = ops.take(token_ids, rows, axis=0)
            token = ops.reshape(token, (-1, 1))
            token_ids = ops.slice_update(token_ids, (0, position + 1), token)
            parents = ops.take(parents, rows, axis=0)
            if self.use_cache and beams > 1:
                caches = [_take_rows(cache, rows) for cache in caches]
            # The most that one can reach that has not ended: if all of its tokens were certain.
            bound = ops.max(penalize(ops.where(ended, -np.inf, log_p), inputs["limit"]), axis=1)
            found = ops.top_k(ops.where(ended, scores, -np.inf), self.wanted)[0][:, -1]  # (B,)
            is_done = ops.all(found >= bound)
            return position + 1, is_done, parents, token_ids, log_p, lengths, ended, caches

        names = ("parents", "token_ids", "log_p", "lengths", "ended", "caches")
        before = (rows, *(inputs[name] for name in names[1:-1]), caches)
        _, is_done, *after = ops.while_loop(
            lambda position, is_done, *_: ops.logical_and(
                position < inputs["end"], ops.logical_not(is_done)
            ),
            step,
            (inputs["start"], ops.convert_to_tensor(False), *before),
        )
        return {"is_done": is_done, **dict(zip(names, after, strict=True))}

    def _read(self, position, token_ids, caches, source_ids):
        """The log probabilities of the next tokens, (B K, V), those that are never written -inf."""
        if self.use_cache:
            token = ops.take(token_ids, position, axis=1)[:, None]  # (B K, 1)
            logits, caches = self.read(token, caches, position)
            logits = logits[:, 0]
        else:
            texts = token_ids[:, :-1]
            if source_ids is not None:
                texts = {"source_ids": source_ids, "target_ids": texts}
            logits = ops.take(self.model(texts, training=False), position, axis=1)
        logits = ops.where(self.is_never, -np.inf, ops.cast(logits, "float32"))
        return ops.log_softmax(logits, axis=-1), caches


def _repeat(tensor, size, times):
    """Of (B ..., ...) the part of each of B texts several times, one after the other."""
    shape = ops.shape(tensor)[1:]
    parts = ops.reshape(tensor, (size, -1, *shape))
    return ops.reshape(ops.repeat(parts, times, axis=0), (-1, *shape))


def _take_rows(cache, rows):
    """What a cache keeps of texts, in another order; their memories are the same."""

    def take(tensor):
        shape = ops.shape(tensor)
        parts = ops.reshape(tensor, (ops.shape(rows)[0], -1, *shape[1:]))
        return ops.reshape(ops.take(parts, rows, axis=0), shape)

    kept = {name: tensors for name, tensors in cache.items() if name != "memory"}
    return {**cache, **keras.tree.map_structure(take, kept)}


def _penalize(log_p, lengths, length_penalty):
    return log_p / ((5.0 + lengths) / 6.0) ** length_penalty


_COUNT = Number(int, least=1)
_ALLOWED = {
    "max_new_tokens": _COUNT,
    "beams": _COUNT,
    "num_best": _COUNT,
    "length_penalty": Number(float, least=0),
}


def check_beam_search(**arguments) -> None:
    """Raises a ValueError that names the first of these arguments that is out of its range."""
    for name, value in arguments.items():
        if value not in _ALLOWED[name]:
            raise SettingError(name, str(_ALLOWED[name]), value)
