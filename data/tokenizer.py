"""From text to token ids and back."""

from collections import Counter
from collections.abc import Iterable

import keras
import tokenizers
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import WhitespaceSplit

NORMALIZER, PRE_TOKENIZER = Lowercase(), WhitespaceSplit()


def split_words(text: str) -> list[str]:
    """The words of `text`, in lower case, split exactly as the tokenizers library does it."""
    pieces = PRE_TOKENIZER.pre_tokenize_str(NORMALIZER.normalize_str(text))
    return [word for word, _ in pieces]


@keras.saving.register_keras_serializable(package="mini_transformer")
class WordTokenizer:
    """Reads a text as lower-case words, split on white space.

    Id 0 is padding and id 1 stands for every word out of the vocabulary. The other ids are the
    words, the most frequent first. No text can spell the two special tokens: words are lower-cased
    and those tokens are not.

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

    padding_id = 0
    unknown_id = 1
    special_tokens = ("[PAD]", "[UNK]")

    def __init__(self, words: Iterable[str]):
        self.words = list(words)
        if not self.words:
            raise ValueError("`words` must hold at least one word. Received: words=[].")
        for word, count in Counter(self.words).items():
            if count > 1 or split_words(word) != [word]:
                raise ValueError(
                    "`words` must be different, in lower case and without white space. "
                    f"Received: {word!r}{' twice' if count > 1 else ''}."
                )
        self.vocabulary = (*self.special_tokens, *self.words)
        ids = {token: id_ for id_, token in enumerate(self.vocabulary)}
        self._tokenizer = tokenizers.Tokenizer(WordLevel(ids, unk_token="[UNK]"))
        self._tokenizer.normalizer = NORMALIZER
        self._tokenizer.pre_tokenizer = PRE_TOKENIZER

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
        counts = Counter(word for text in texts for word in split_words(text))
        return cls(word for word, _ in counts.most_common(max_words))

    @property
    def vocabulary_size(self) -> int:
        """The number of different ids, V: the words and the two special tokens."""
        return len(self.vocabulary)

    def encode(self, text: str) -> list[int]:
        """The ids of the words of `text`."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of the words of each text, with all cores at once."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, token_ids: Iterable[int]) -> str:
        """The words of these ids, with a space between them; padding is left out."""
        return " ".join(self.tokens(id_ for id_ in token_ids if id_ != self.padding_id))

    def split(self, text: str) -> list[str]:
        """The words of `text` as they are read, known or not: one for each id of `encode`."""
        return split_words(text)

    def tokens(self, token_ids: Iterable[int]) -> list[str]:
        """The word or special token of each id."""
        return [self.vocabulary[id_] for id_ in token_ids]

    def get_config(self) -> dict:
        """What `from_config` needs to make this tokenizer again."""
        return {"words": self.words}

    @classmethod
    def from_config(cls, config: dict) -> "WordTokenizer":
        """The inverse of `get_config`."""
        return cls(**config)
