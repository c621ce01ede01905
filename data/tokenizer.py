"""From text to token ids and back."""

from collections import Counter
from collections.abc import Iterable

import keras
import tokenizers
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase, Sequence
from tokenizers.pre_tokenizers import Split, WhitespaceSplit


class Tokenizer:
    """A vocabulary of pieces of text, and the rule that splits a text into pieces.

    Id 0 is padding and id 1 stands for every piece out of the vocabulary. No text can spell the
    two special tokens.

    Args:
        pieces: the vocabulary; the first piece gets id 2. All different, and each one that the
            rule could produce.

    Raises:
        ValueError: no pieces, a piece twice, or one that the rule could never produce.
    """

    padding_id = 0
    unknown_id = 1
    special_tokens = ("[PAD]", "[UNK]")

    # What a subclass decides: how a text is normalised, how it is split, what stands between two
    # pieces, and what the pieces are called.
    normalizer = Sequence([])
    pre_tokenizer = None
    separator = ""
    pieces_name = "pieces"

    def __init__(self, pieces: Iterable[str]):
        self.pieces = list(pieces)
        name = self.pieces_name
        if not self.pieces:
            raise ValueError(f"`{name}` must hold at least one. Received: {name}=[].")
        for piece, count in Counter(self.pieces).items():
            if count > 1 or self.split(piece) != [piece]:
                raise ValueError(
                    f"`{name}` must be different, and what a text is split into. "
                    f"Received: {piece!r}{' twice' if count > 1 else ''}."
                )
        self.vocabulary = (*self.special_tokens, *self.pieces)
        ids = {token: id_ for id_, token in enumerate(self.vocabulary)}
        self._tokenizer = tokenizers.Tokenizer(WordLevel(ids, unk_token="[UNK]"))
        self._tokenizer.normalizer = self.normalizer
        self._tokenizer.pre_tokenizer = self.pre_tokenizer

    @property
    def vocabulary_size(self) -> int:
        """The number of different ids, V: the pieces and the two special tokens."""
        return len(self.vocabulary)

    @classmethod
    def split(cls, text: str) -> list[str]:
        """The pieces of `text` as they are read, known or not: one for each id of `encode`."""
        pieces = cls.pre_tokenizer.pre_tokenize_str(cls.normalizer.normalize_str(text))
        return [piece for piece, _ in pieces]

    def encode(self, text: str) -> list[int]:
        """The ids of the pieces of `text`."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of the pieces of each text, with all cores at once."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, token_ids: Iterable[int]) -> str:
        """The text of these ids; padding is left out."""
        kept = (id_ for id_ in token_ids if id_ != self.padding_id)
        return self.separator.join(self.tokens(kept))

    def tokens(self, token_ids: Iterable[int]) -> list[str]:
        """The piece or special token of each id."""
        return [self.vocabulary[id_] for id_ in token_ids]

    def get_config(self) -> dict:
        """What `from_config` needs to make this tokenizer again."""
        return {self.pieces_name: self.pieces}

    @classmethod
    def from_config(cls, config: dict) -> "Tokenizer":
        """The inverse of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="mini_transformer")
class WordTokenizer(Tokenizer):
    """Reads a text as lower-case words, split on white space.

    Args:
        words: the words of the vocabulary; the first gets id 2. All different, in lower case.

    Raises:
        ValueError: no words, a word twice, or a word that the tokenizer could never produce.

    Example:

    >>> tokenizer = WordTokenizer(["i", "love", "deep", "learning"])
    >>> tokenizer.encode("I love deep")
    [2, 3, 4]
    >>> tokenizer.decode([2, 3, 1])
    'i love [UNK]'
    """

    normalizer = Lowercase()  # so no word spells a special token
    pre_tokenizer = WhitespaceSplit()
    separator = " "
    pieces_name = "words"

    def __init__(self, words: Iterable[str]):
        super().__init__(words)

    @property
    def words(self) -> list[str]:
        """The words of the vocabulary, the most frequent first."""
        return self.pieces

    @classmethod
    def from_texts(cls, texts: Iterable[str], max_words: int | None = None) -> "WordTokenizer":
        """Makes a tokenizer of the most frequent words of `texts`.

        Args:
            texts: the texts to count words in.
            max_words: how many words to keep. Default None: all. Words of the same frequency
                are taken in the order of their first appearance.

        Example:

        >>> WordTokenizer.from_texts(["a rose is a rose"], max_words=2).words
        ['a', 'rose']
        """
        counts = Counter(word for text in texts for word in cls.split(text))
        return cls(word for word, _ in counts.most_common(max_words))


@keras.saving.register_keras_serializable(package="mini_transformer")
class CharTokenizer(Tokenizer):
    r"""Reads a text as characters, all of them: capitals, spaces, new lines.

    Nothing is lost: `decode(encode(text)) == text` wherever the vocabulary has the characters.

    Args:
        characters: the characters of the vocabulary; the first gets id 2.

    Raises:
        ValueError: no characters, one twice, or a text of several.

    Example:

    >>> tokenizer = CharTokenizer("\n Tobe")
    >>> tokenizer.encode("To be\n")
    [4, 5, 3, 6, 7, 2]
    >>> tokenizer.decode([4, 5, 3, 6, 7, 2])
    'To be\n'
    """

    pre_tokenizer = Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    pieces_name = "characters"

    def __init__(self, characters: Iterable[str]):
        super().__init__(characters)

    @property
    def characters(self) -> list[str]:
        """The characters of the vocabulary, in the order of Unicode."""
        return self.pieces

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "CharTokenizer":
        """Makes a tokenizer of all characters of `texts`, in the order of Unicode.

        Example:

        >>> CharTokenizer.from_texts(["To be", "or"]).characters
        [' ', 'T', 'b', 'e', 'o', 'r']
        """
        return cls(sorted(set().union(*texts)))
