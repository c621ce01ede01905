"""Texts as a language model reads them: token ids, with a word about what it does not know."""

import re
import sys
import warnings
from pathlib import Path

from data.tokenizer import Tokenizer


class Prompts:
    """Encodes what a model is asked.

    Args:
        tokenizer: the model's.
        context_length: how many tokens the model reads.
        name: what errors call such a text. Default "prompt".
        gap: one of the tokenizer's extra tokens that a text may spell. Default None: none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        context_length: int,
        name: str = "prompt",
        gap: str | None = None,
    ):
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.name = name
        self.gap = gap
        self._warned_of = {"[unk]"}  # pieces that need no warning, or no second one

    def encode(self, text: str) -> list[int]:
        """The ids of the last `context_length` tokens of `text`.

        What is out of the vocabulary is read as the unknown token, with a warning the first time.

        Raises:
            ValueError: a text without a token.
        """
        token_ids = self._encode(text)
        unknown = [p for p in self._unknown(text, token_ids) if p not in self._warned_of]
        if unknown:
            self._warned_of.update(unknown)
            warnings.warn(
                f"Not in the model's vocabulary, read as [UNK]: {', '.join(unknown)}.",
                stacklevel=_stacklevel_outside_this_folder(),
            )
        return token_ids[-self.context_length :]

    def encode_known(self, text: str) -> list[int]:
        """The ids of all of `text`.

        Raises:
            ValueError: a text without a token, or with one out of the vocabulary.
        """
        token_ids = self._encode(text)
        unknown = self._unknown(text, token_ids)
        if unknown:
            raise ValueError(
                f"The {self.name} must hold only {self.tokenizer.pieces_name} that the model "
                f"knows. Received: {', '.join(map(repr, unknown))} in {text!r}."
            )
        return token_ids

    def encode_whole(self, text: str) -> list[int]:
        """The ids of all of a text that the model can read at once.

        Raises:
            ValueError: as `encode_known`, or a text of more than `context_length` tokens.
        """
        token_ids = self.encode_known(text)
        if len(token_ids) > self.context_length:
            raise ValueError(
                f"The {self.name} must hold at most {self.context_length} "
                f"{self.tokenizer.pieces_name}. Received: {len(token_ids)} in {text[:50]!r}."
            )
        return token_ids

    def _encode(self, text):
        token_ids = []
        for part in self._parts(text):
            is_gap = part == self.gap
            token_ids += (
                [self.tokenizer.special_id(part)] if is_gap else self.tokenizer.encode(part)
            )
        if not token_ids:
            piece = self.tokenizer.pieces_name.removesuffix("s")
            raise ValueError(f"The {self.name} must hold at least one {piece}. Received: {text!r}.")
        return token_ids

    def _unknown(self, text, token_ids):
        """What the vocabulary lacks of a text, each piece once, in their order."""
        pieces = []
        for part in self._parts(text):
            pieces += [part] if part == self.gap else self.tokenizer.split(part)
        of_each = zip(pieces, token_ids, strict=True)
        return list(dict.fromkeys(p for p, id_ in of_each if id_ == self.tokenizer.unknown_id))

    def _parts(self, text):
        """The text, cut at its gaps, which are parts of their own."""
        return [text] if self.gap is None else re.split(f"({re.escape(self.gap)})", text)


def _stacklevel_outside_this_folder() -> int:
    """The `stacklevel` with which a warning of the calling function points at the user's code."""
    folder = str(Path(__file__).parent)
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(folder):
        frame, level = frame.f_back, level + 1
    return level
