"""From text to token ids and back."""

import codecs
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tokenizers
from tokenizers.models import BPE, WordLevel
from tokenizers.normalizers import Lowercase, Sequence
from tokenizers.pre_tokenizers import ByteLevel, Split, WhitespaceSplit
from tokenizers.trainers import BpeTrainer

from data.word_encoder import WordEncoder

MASK = "[MASK]"  # the special token that stands for a hidden one


class Tokenizer:
    """A vocabulary of pieces of text, and the rule that splits a text into pieces.

    Id 0 is padding and id 1 stands for every piece out of the vocabulary. A model may need more
    special tokens, such as one that ends a text. They come after the pieces, so that no piece has
    another id because of them. No text can spell a special token.

    Args:
        pieces: the vocabulary; the first piece gets id 2. All different, and each one that the
            rule could produce.
        extra_tokens: special tokens that come after the pieces, such as "[END]". All different.
            Default: none.

    Raises:
        ValueError: no pieces, a piece twice, or one that the rule could never produce.
    """

    padding_id = 0
    unknown_id = 1
    special_tokens = ("[PAD]", "[UNK]")

    # What a subclass decides: how a text is normalised, how it is split, what stands between two
    # pieces, what the pieces are called, whether line ends are lost, so that a text may be cut only
    # there, and whether `from_texts` takes a size of the vocabulary.
    normalizer = Sequence([])
    pre_tokenizer = None
    separator = ""
    pieces_name = "pieces"
    loses_line_ends = False
    takes_size = True

    def __init__(self, pieces: Iterable[str], extra_tokens: Iterable[str] = ()):
        self.pieces = list(pieces)
        self.extra_tokens = tuple(extra_tokens)
        name = self.pieces_name
        if not self.pieces:
            raise ValueError(f"`{name}` must hold at least one. Received: {name}=[].")
        for piece, count in Counter(self.pieces).items():
            if count > 1 or self.split(piece) != [piece]:
                raise ValueError(
                    f"`{name}` must be different, and what a text is split into. "
                    f"Received: {piece!r}{' twice' if count > 1 else ''}."
                )
        self.vocabulary = (*self.special_tokens, *self.pieces, *self.extra_tokens)
        # The library's own names of the first two have a space in them: no text can spell them.
        padding, unknown = (f" {token}" for token in self.special_tokens)
        ids = {token: id_ for id_, token in enumerate([padding, unknown, *self.pieces])}
        self._tokenizer = tokenizers.Tokenizer(WordLevel(ids, unk_token=unknown))
        self._tokenizer.normalizer = self.normalizer
        self._tokenizer.pre_tokenizer = self.pre_tokenizer

    @property
    def vocabulary_size(self) -> int:
        """The number of different ids, V: the pieces and the special tokens."""
        return len(self.vocabulary)

    @property
    def special_ids(self) -> list[int]:
        """The ids of all special tokens, in their order."""
        return [0, 1, *range(2 + len(self.pieces), self.vocabulary_size)]

    def special_id(self, token: str) -> int:
        """The id of one of `extra_tokens`."""
        return 2 + len(self.pieces) + self.extra_tokens.index(token)

    def with_extra_tokens(self, *tokens: str) -> "Tokenizer":
        """The same tokenizer with these special tokens after its own.

        Example:

        >>> tokenizer = CharTokenizer("ab").with_extra_tokens("[END]")
        >>> tokenizer.encode("ab"), tokenizer.special_id("[END]")
        ([2, 3], 4)
        """
        config = {**self.get_config(), "extra_tokens": [*self.extra_tokens, *tokens]}
        return self.from_config(config)

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

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        """The ids of a long text that comes in pieces (`Corpus.pieces`), in int32 arrays."""
        pieces = iter(pieces)
        while some := list(itertools.islice(pieces, 16)):
            for token_ids in self.encode_batch(some):
                yield np.array(token_ids, "int32")

    def decode(self, token_ids: Iterable[int]) -> str:
        """The text of these ids; of special tokens [UNK] and [MASK] alone are shown."""
        return self.separator.join(self.tokens(self._shown(token_ids)))

    def _shown(self, token_ids):
        end = 2 + len(self.pieces)  # what comes after has no text, but for what stands for one
        return (
            id_
            for id_ in token_ids
            if self.padding_id < id_ and (id_ < end or self.vocabulary[id_] == MASK)
        )

    def continuation(self) -> Callable[[Iterable[int]], str]:
        """A function that decodes what is added to a text, again and again, some ids at a time."""
        return lambda token_ids: "".join(self.separator + t for t in self.tokens(token_ids))

    def tokens(self, token_ids: Iterable[int]) -> list[str]:
        """The piece or special token of each id."""
        return [self.vocabulary[id_] for id_ in token_ids]

    def get_config(self) -> dict:
        """What `from_config` needs to make this tokenizer again."""
        return self._with_extra({self.pieces_name: self.pieces})

    def _with_extra(self, config):
        extra = {"extra_tokens": list(self.extra_tokens)} if self.extra_tokens else {}
        return {**config, **extra}

    @classmethod
    def from_config(cls, config: dict) -> "Tokenizer":
        """The inverse of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="mini_transformer")
class WordTokenizer(Tokenizer):
    """Reads a text as lower-case words, split on white space.

    Args:
        words: the words of the vocabulary; the first gets id 2. All different, in lower case.
        extra_tokens: that of `Tokenizer`.

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
    loses_line_ends = True

    def __init__(self, words: Iterable[str], extra_tokens: Iterable[str] = ()):
        super().__init__(words, extra_tokens)

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
class SymbolTokenizer(WordTokenizer):
    """Reads a text as what stands between its spaces, as it is written: phones, tags, notes.

    It is `WordTokenizer` that keeps capitals.

    Args:
        symbols: the symbols of the vocabulary; the first gets id 2. All different.
        extra_tokens: that of `Tokenizer`.

    Raises:
        ValueError: no symbols, one twice, or one with white space in it.

    Example:

    >>> SymbolTokenizer.from_texts(["HH AH L OW"]).encode("L OW l")
    [4, 5, 1]
    """

    normalizer = Sequence([])
    pieces_name = "symbols"

    def __init__(self, symbols: Iterable[str], extra_tokens: Iterable[str] = ()):
        super().__init__(symbols, extra_tokens)

    @property
    def symbols(self) -> list[str]:
        """The symbols of the vocabulary, the most frequent first."""
        return self.pieces


@keras.saving.register_keras_serializable(package="mini_transformer")
class CharTokenizer(Tokenizer):
    r"""Reads a text as characters, all of them: capitals, spaces, new lines.

    Nothing is lost: `decode(encode(text)) == text` wherever the vocabulary has the characters.

    Args:
        characters: the characters of the vocabulary; the first gets id 2.
        extra_tokens: that of `Tokenizer`.

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
    takes_size = False

    def __init__(self, characters: Iterable[str], extra_tokens: Iterable[str] = ()):
        super().__init__(characters, extra_tokens)

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
        characters = set()
        for text in texts:
            characters.update(text)
        return cls(sorted(characters))

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        # A table of all code points: 70 times as fast as the library.
        table = np.full(0x110000, self.unknown_id, "int32")
        table[[ord(character) for character in self.pieces]] = 2 + np.arange(len(self.pieces))
        for piece in pieces:
            yield table[np.frombuffer(piece.encode("utf-32-le"), "<u4")]


# What stands for each byte, 0 to 255, in the library and in `merges`: printable bytes for
# themselves, each of the others for the next character after the first 256. So a space is "Ġ".
_PRINTABLE = [ord(sign) for sign in ByteLevel.alphabet() if ord(sign) < 256]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_SIGNS = [
    chr(byte) if byte in _PRINTABLE else chr(256 + _OTHERS.index(byte)) for byte in range(256)
]


@keras.saving.register_keras_serializable(package="mini_transformer")
class BPETokenizer(Tokenizer):
    r"""Reads a text as bytes, of which pairs that are frequent are merged into longer tokens.

    Byte-level byte-pair encoding, as GPT-2's: a frequent word becomes one token, with the space
    before it; a rare one several. Nothing is unknown and nothing is lost:
    `decode(encode(text)) == text` for any text. Ids 2 to 257 are the bytes 0 to 255.

    `vocabulary` and `tokens` show tokens as text; bytes that are no whole character as `\x` and
    two digits.

    Args:
        merges: pairs of tokens, the first to be merged first, each as "left right". They are
            written in GPT-2's alphabet of bytes, where a space is "Ġ" and a new line "Ċ".
        extra_tokens: that of `Tokenizer`.

    Raises:
        ValueError: a merge that is no pair of tokens, each a byte or merged before.

    Example:

    >>> tokenizer = BPETokenizer(["l o", "Ġ lo"])
    >>> tokenizer.tokens(tokenizer.encode("lo love é"))
    ['lo', ' lo', 'v', 'e', ' ', '\\xc3', '\\xa9']
    >>> tokenizer.decode(tokenizer.encode("lo love é"))
    'lo love é'

    References: Sennrich et al. (2016), https://arxiv.org/abs/1508.07909; on bytes: Radford et al.
    (2019), Language Models are Unsupervised Multitask Learners.
    """

    pre_tokenizer = ByteLevel(add_prefix_space=False)  # merges stay within words
    pieces_name = "tokens"

    def __init__(self, merges: Iterable[str], extra_tokens: Iterable[str] = ()):
        self.merges = list(merges)
        self.extra_tokens = tuple(extra_tokens)
        ids = {sign: id_ for id_, sign in enumerate(_SIGNS, start=len(self.special_tokens))}
        self._bytes = [token.encode() for token in self.special_tokens]
        self._bytes += [bytes([byte]) for byte in range(256)]
        pairs = [tuple(merge.split(" ")) for merge in self.merges]
        for merge, pair in zip(self.merges, pairs, strict=True):
            if len(pair) != 2 or not all(token in ids for token in pair):
                raise ValueError(
                    "`merges` must be pairs of tokens, each a byte or merged before. "
                    f"Received: {merge!r}."
                )
            left, right = pair
            if left + right not in ids:  # or else it can be made in two ways
                ids[left + right] = len(self._bytes)
                self._bytes.append(self._bytes[ids[left]] + self._bytes[ids[right]])
        self.vocabulary = tuple(token.decode(errors="backslashreplace") for token in self._bytes)
        self.pieces = list(self.vocabulary[len(self.special_tokens) :])
        self.vocabulary += self.extra_tokens
        self._bytes += [token.encode() for token in self.extra_tokens]
        # The special tokens are not among its ids: no text can spell them.
        self._tokenizer = tokenizers.Tokenizer(BPE(ids, pairs))
        self._tokenizer.pre_tokenizer = self.pre_tokenizer

    @classmethod
    def from_texts(cls, texts: Iterable[str], vocabulary_size: int = 5000) -> "BPETokenizer":
        """Makes a tokenizer by merging the most frequent pair of `texts`, again and again.

        Args:
            texts: the texts to count pairs in.
            vocabulary_size: how many ids there are to be in all, the special tokens and the 256
                bytes among them; at least 258. Fewer where nothing is left to merge.

        Raises:
            ValueError: a smaller `vocabulary_size`.

        Example:

        >>> BPETokenizer.from_texts(["low lower lowest"], vocabulary_size=260).merges
        ['l o', 'lo w']
        """
        smallest = len(cls.special_tokens) + len(_SIGNS)
        if vocabulary_size < smallest:
            raise ValueError(
                f"`vocabulary_size` must be at least {smallest}, the special tokens and all bytes. "
                f"Received: vocabulary_size={vocabulary_size}."
            )
        learner = tokenizers.Tokenizer(BPE())
        learner.pre_tokenizer = cls.pre_tokenizer
        trainer = BpeTrainer(
            vocab_size=vocabulary_size - len(cls.special_tokens),
            initial_alphabet=_SIGNS,
            show_progress=False,
        )
        learner.train_from_iterator(texts, trainer)
        return cls(" ".join(pair) for pair in json.loads(learner.to_str())["model"]["merges"])

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[np.ndarray]:
        return WordEncoder(self._tokenizer).encode_pieces(pieces)

    def split(self, text: str) -> list[str]:
        """For each id of `encode`, the characters of `text` that begin in its token."""
        pieces, begin = [], 0
        for id_ in self.encode(text):
            # In UTF-8 all bytes of a character but its first are 10xxxxxx.
            characters = sum(byte & 0b11000000 != 0b10000000 for byte in self._bytes[id_])
            pieces.append(text[begin : begin + characters])
            begin += characters
        return pieces

    def decode(self, token_ids: Iterable[int]) -> str:
        """The text of these ids; an incomplete character becomes �."""
        kept = self._shown(token_ids)
        return b"".join(self._bytes[id_] for id_ in kept).decode(errors="replace")

    def continuation(self) -> Callable[[Iterable[int]], str]:
        # It keeps the first bytes of a character until the others come.
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda token_ids: decoder.decode(b"".join(self._bytes[id_] for id_ in token_ids))

    def get_config(self) -> dict:
        return self._with_extra({"merges": self.merges})


TOKENIZERS = {
    "word": WordTokenizer,
    "symbol": SymbolTokenizer,
    "char": CharTokenizer,
    "bpe": BPETokenizer,
}
