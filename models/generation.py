"""What a language model writes after a prompt."""

from collections.abc import Iterator, Sequence

from models.beam_search import Hypothesis, check_beam_search
from models.sampling import check_sampling


class Generation:
    """Mixed into a `LanguageModel`: texts that it continues."""

    @property
    def can_cache(self) -> bool:
        """Whether `generate` can keep what it computed for earlier tokens."""
        return False

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
        top_p = 1.0 if top_p is None else top_p
        check_sampling(
            max_new_tokens=max_new_tokens,
            tokens_at_a_time=tokens_at_a_time,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )
        steps = self._generator.generate(
            [self.prompts.encode_known(prompt) for prompt in prompts],
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

    def beam_search(
        self,
        prompts: str | Sequence[str],
        beams: int = 5,
        max_new_tokens: int = 100,
        num_best: int | None = None,
        use_cache: bool = True,
        jit_compile: bool = True,
    ) -> list[list[Hypothesis]]:
        """For each prompt the likeliest continuations that a beam search finds.

        Where `generate` draws, this looks for what is most probable as a whole. No text ends by
        itself, so all are equally long, and a length penalty would change nothing.

        Args:
            prompts: one text or several, as `generate` takes them.
            beams: how many texts are kept in view of each prompt, at least 1, which always takes
                the likeliest token ("greedy"). Default 5.
            max_new_tokens: how many tokens each text gets, at least 1. Default 100.
            num_best: how many texts of each prompt to give, at least 1; there are no more than
                `beams`. Default None: as many.
            use_cache, jit_compile: those of `generate`.

        Returns:
            For each prompt its texts, the prompt and what follows, the likeliest first; fewer where
            there are no more. Their score is log p of what follows.

        Raises:
            ValueError: as `generate`.

        Example:

        >>> (texts,) = model.beam_search("i love", beams=3, max_new_tokens=2)
        >>> for text in texts:  # doctest: +SKIP
        ...     print(f"{text.score:.2f}  {text.text}")
        -1.10  i love deep learning
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        num_best = beams if num_best is None else num_best
        check_beam_search(beams=beams, num_best=num_best, max_new_tokens=max_new_tokens)
        begins = [self.prompts.encode_known(prompt) for prompt in prompts]
        found = []
        for prompt, begin in zip(prompts, begins, strict=True):
            ids, scores, _ = self._beam_search.search(
                [begin[-self.context_length :]],
                max_new_tokens,
                beams,
                length_penalty=0.0,
                wanted=min(num_best, beams),
                use_cache=use_cache,
                jit_compile=jit_compile,
            )
            text = prompt.rstrip(self.tokenizer.separator)
            found.append(
                [
                    Hypothesis(
                        text + self.tokenizer.continuation()(row.tolist()), float(score), False
                    )
                    for row, score in zip(ids[0], scores[0], strict=True)
                    if score > -float("inf")
                ][:num_best]
            )
        return found
