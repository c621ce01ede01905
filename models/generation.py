"""What a language model writes after a prompt."""

from collections.abc import Iterator, Sequence

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
