"""What an encoder-decoder writes after a source."""

from collections.abc import Iterator, Sequence

import numpy as np

from models.beam_search import BeamSearch, Hypothesis, check_beam_search

_MOST_ROWS = 320  # texts side by side, all beams counted
_MOST_SHAPES = 4  # of sources; each is compiled


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
            num_best: how many targets of each, at most `beams`. Default None: as many.
            The others are those of `translate`.

        Returns:
            For each source its targets, the best first; fewer where there are no more.

        Raises:
            ValueError: as `translate`.

        Example:

        >>> for hypothesis in model.beam_search(["tomato"])[0]:  # doctest: +SKIP
        ...     print(f"{hypothesis.score:.2f}  {hypothesis.text}")
        """
        num_best = beams if num_best is None else num_best
        limit = self.context_length - 1  # beside [BEGIN]
        max_new_tokens = limit if max_new_tokens is None else min(max_new_tokens, limit)
        check_beam_search(beams=beams, length_penalty=length_penalty, max_new_tokens=max_new_tokens)
        encoded = [self.encode_source(source) for source in sources]
        found = [None] * len(encoded)
        for numbers, source_ids in self._batches(encoded, max(_MOST_ROWS // beams, 1)):
            begins = np.full((len(source_ids), 1), self.tokenizer.special_id("[BEGIN]"))
            results = self._beam_search.search(
                begins,
                max_new_tokens,
                beams,
                length_penalty,
                source_ids,
                num_best,
                use_cache,
                jit_compile,
            )
            for number, *result in zip(numbers, *results, strict=False):
                found[number] = [
                    Hypothesis(self.tokenizer.decode(token_ids), float(score), bool(is_finished))
                    for token_ids, score, is_finished in zip(*result, strict=True)
                    if score > -np.inf
                ][:num_best]
        return found

    def _batches(self, encoded, most) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Sources of similar lengths side by side, in a few shapes: their numbers, and their ids.

        The last batch of a shape may have more rows than numbers.
        """
        step = -(-self.context_length // _MOST_SHAPES)
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
