"""What an encoder-decoder writes after a source."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from models.beam_search import BeamSearch, Hypothesis, check_beam_search

_MOST_ROWS = 80  # texts side by side, all beams counted: more do not fit into a CPU's caches
_STEP = 16  # of the lengths that sources are padded to: each is compiled


class TargetScores(NamedTuple):
    """How right some targets are, each compared with the right answers to its source.

    Attributes:
        exact_match: share of the targets that equal any of the right answers.
        token_error_rate: how many tokens must be put in, taken out or replaced in all to make each
            target the closest of its right answers, by the number of tokens of these. In work on
            pronunciation it is the phone error rate.
    """

    exact_match: float
    token_error_rate: float

    @property
    def word_error_rate(self) -> float:
        """Share of the targets that equal none, as work on pronunciation calls it."""
        return 1 - self.exact_match


class Translation:
    """Mixed into an `EncoderDecoderModel`: targets that it writes."""

    def _open_for_translation(self):
        self._beam_search = BeamSearch(self, self.tokenizer.special_id("[END]"))

    def translate(
        self,
        sources: str | Sequence[str],
        beams: int = 1,
        length_penalty: float = 0.6,
        max_new_tokens: int | None = None,
        use_cache: bool = True,
        jit_compile: bool = True,
    ) -> str | list[str]:
        """The target of each source: what the model finds most likely.

        Args:
            sources: one text or several, of no other tokens than the model knows.
            beams: how many targets are kept in view while each is written, at least 1, which
                always takes the likeliest token ("greedy"). Default 1.
            length_penalty: how much longer targets are favoured, at least 0: see `BeamSearch`.
                Default 0.6, the paper's.
            max_new_tokens: the longest target, its end counted. Default None: what the context
                holds. A target that has not ended by then stops there.
            use_cache: whether source and target are read once and kept. Default True; the
                targets are the same.
            jit_compile: whether XLA compiles the loop at the first call. Default True.

        Returns:
            A text for a text, and a list for a list.

        Raises:
            ValueError: an argument out of its range, or a source that can't be read.

        Example:

        >>> model.translate("march 3rd 2001")  # doctest: +SKIP
        '2001-03-03'
        """
        texts = [sources] if isinstance(sources, str) else list(sources)
        found = self.beam_search(
            texts, beams, length_penalty, max_new_tokens, 1, use_cache, jit_compile
        )
        targets = [hypotheses[0].text for hypotheses in found]
        return targets[0] if isinstance(sources, str) else targets

    def beam_search(
        self,
        sources: Sequence[str],
        beams: int = 5,
        length_penalty: float = 0.6,
        max_new_tokens: int | None = None,
        num_best: int | None = None,
        use_cache: bool = True,
        jit_compile: bool = True,
    ) -> list[list[Hypothesis]]:
        """For each source the best targets that a beam search finds.

        Args:
            sources: the texts.
            num_best: how many targets of each, at least 1; there are no more than `beams`. Default
                None: as many.
            The others are those of `translate`.

        Returns:
            For each source its targets, the best first; fewer where there are no more.

        Raises:
            ValueError: as `translate`.

        Example:

        >>> for hypothesis in model.beam_search(["tomato"])[0]:  # doctest: +SKIP
        ...     print(f"{hypothesis.score:.2f}  {hypothesis.text}")
        """
        encoded = [self.encode_source(source) for source in sources]
        found = self._search(
            encoded, beams, length_penalty, max_new_tokens, num_best, use_cache, jit_compile
        )
        return [
            [Hypothesis(self.tokenizer.decode(ids), *others) for ids, *others in hypotheses]
            for hypotheses in found
        ]

    def score_targets(
        self,
        sources: Sequence[Sequence[int]],
        answers: Sequence[Sequence[Sequence[int]]],
        beams: int = 1,
        length_penalty: float = 0.6,
    ) -> TargetScores:
        """Writes a target after each source, and compares it with what is right.

        Args:
            sources: token ids, the ends left out. What is written after one that is too long to
                be read counts as empty.
            answers: for each source its right targets, token ids, the ends left out.
            beams, length_penalty: those of `translate`. Default 1, greedy, and 0.6.

        Example:

        >>> source, answer = [[2, 3]], [[[3, 2]]]
        >>> model.score_targets(source, answer).exact_match  # doctest: +SKIP
        1.0
        """
        end_id = self.source_tokenizer.special_id("[END]")
        readable = [n for n, source in enumerate(sources) if len(source) < self.context_length]
        encoded = [[*sources[n], end_id] for n in readable]
        found = [[]] * len(sources)
        for number, ((written, *_),) in zip(
            readable, self._search(encoded, beams, length_penalty, num_best=1), strict=True
        ):
            found[number] = [id_ for id_ in written if id_ not in self.tokenizer.special_ids]
        right = wrong_tokens = tokens = 0
        for written, rights in zip(found, answers, strict=True):
            distances = [(Levenshtein.distance(written, r), -len(r)) for r in map(list, rights)]
            distance, length = min(distances)  # of equally close ones the longest
            right += distance == 0
            wrong_tokens += distance
            tokens -= length
        return TargetScores(right / len(sources), wrong_tokens / tokens)

    def _search(
        self,
        encoded,
        beams,
        length_penalty=0.6,
        max_new_tokens=None,
        num_best=None,
        use_cache=True,
        jit_compile=True,
    ) -> list[list[tuple[list[int], float, bool]]]:
        """What `beam_search` finds for sources with their ends, in token ids."""
        num_best = beams if num_best is None else num_best
        limit = self.context_length - 1  # beside [BEGIN]
        max_new_tokens = limit if max_new_tokens is None else max_new_tokens
        check_beam_search(
            beams=beams,
            num_best=num_best,
            length_penalty=length_penalty,
            max_new_tokens=max_new_tokens,
        )
        found = [[]] * len(encoded)
        for numbers, source_ids in self._batches(encoded, max(_MOST_ROWS // beams, 1)):
            begins = np.full((len(source_ids), 1), self.tokenizer.special_id("[BEGIN]"))
            results = self._beam_search.search(
                begins,
                min(max_new_tokens, limit),
                beams,
                length_penalty,
                source_ids,
                min(num_best, beams),
                use_cache,
                jit_compile,
            )
            for number, *result in zip(numbers, *results, strict=False):
                found[number] = [
                    (token_ids.tolist(), float(score), bool(is_finished))
                    for token_ids, score, is_finished in zip(*result, strict=True)
                    if score > -np.inf
                ][:num_best]
        return found

    def _batches(self, encoded, most) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Sources of similar lengths side by side, in a few shapes: their numbers, and their ids.

        The last batch of a shape may have more rows than numbers.
        """
        step = max(_STEP, -(-self.context_length // 4))
        shapes = np.array([-(-len(ids) // step) for ids in encoded])
        for shape in np.unique(shapes):
            lengths = [len(ids) for ids in encoded]
            numbers = sorted(np.flatnonzero(shapes == shape), key=lengths.__getitem__)
            rows = min(most, 2 ** (len(numbers) - 1).bit_length())
            for begin in range(0, len(numbers), rows):
                some = numbers[begin : begin + rows]
                source_ids = np.zeros((rows, min(shape * step, self.context_length)), "int32")
                for row, number in enumerate([*some, *[some[-1]] * (rows - len(some))]):
                    source_ids[row, : lengths[number]] = encoded[number]
                yield some, source_ids
