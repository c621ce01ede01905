"""Text to token ids and back."""

import keras
import pytest

from data.corpora import TOY_SENTENCES
from data.tokenizer import CharTokenizer, WordTokenizer

NASTY_TEXTS = [
    "",
    " \t\n\r\v\f",
    "no\u00a0break\u2003em\u3000wide\u2028line\u2029paragraph\x85next",
    "unit\x1fseparator group\x1dseparator file\x1c",
    "zero\u200bwidth\u200djoiner \ufeffmark \u180evowel",
    "nul\x00byte",
    "İstanbul STRASSE straße ﬁn ǅ ΟΔΟΣ ὈΔΥΣΣΕΎΣ",
    "e\u0301 \u00e9 \u0301alone Å \u212b",
    "👩\u200d👩\u200d👧 🇩🇪 👍🏽",
    "日本語 の文 العربية हिन्दी",
    "\U00010400\U0001d400 \U0010ffff \ufffd",
    "[PAD] [UNK] [pad] ## <s> $x$ <b>",
    "a" * 3000,
]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("i", [2]),
        ("i love deep", [2, 3, 4]),
        ("i love deep learning", [2, 3, 4, 5]),
        ("", []),
        (" \t\n", []),
    ],
)
def test_words_become_the_documented_ids(tokenizer, text, ids):
    assert tokenizer.encode(text) == ids


def test_ids_are_padding_then_unknown_then_words(tokenizer):
    assert tokenizer.vocabulary[:5] == ("[PAD]", "[UNK]", "i", "love", "deep")
    assert tokenizer.padding_id == 0
    assert tokenizer.unknown_id == 1
    assert tokenizer.vocabulary_size == len(tokenizer.vocabulary) == 14


@pytest.mark.parametrize("sentence", TOY_SENTENCES)
def test_decoding_undoes_encoding_of_known_words(tokenizer, sentence):
    assert tokenizer.decode(tokenizer.encode(sentence)) == sentence


@pytest.mark.parametrize("text", ["I LOVE Deep", "  i\tlove\r\ndeep ", "i\u00a0love\u3000deep"])
def test_case_and_kind_of_white_space_do_not_matter(tokenizer, text):
    assert tokenizer.encode(text) == [2, 3, 4]


def test_decoding_leaves_padding_out(tokenizer):
    assert tokenizer.decode([0, 2, 3, 0, 4, 0, 0]) == "i love deep"


def test_words_out_of_the_vocabulary_share_one_id(tokenizer):
    assert tokenizer.encode("i hate deep water") == [2, 1, 4, 1]
    assert tokenizer.decode([2, 1]) == "i [UNK]"


def test_no_text_spells_a_special_token(tokenizer):
    assert tokenizer.encode("[PAD] [UNK] [pad] [unk]") == [1, 1, 1, 1]


def test_the_most_frequent_words_are_kept():
    tokenizer = WordTokenizer.from_texts(["c b a", "c b", "c"], max_words=2)
    assert tokenizer.words == ["c", "b"]
    assert tokenizer.encode("a b c") == [1, 3, 2]


def test_words_of_the_same_frequency_stay_in_the_order_of_their_first_appearance():
    texts = ["z y", "x w v z", "w"]
    assert WordTokenizer.from_texts(texts).words == ["z", "w", "y", "x", "v"]
    assert WordTokenizer.from_texts(texts, max_words=3).words == ["z", "w", "y"]


def test_upper_and_lower_case_count_as_one_word():
    assert WordTokenizer.from_texts(["Rose a ROSE", "rose"]).words == ["rose", "a"]


def test_a_vocabulary_may_be_larger_than_the_text():
    assert WordTokenizer.from_texts(["a b"], max_words=100).words == ["a", "b"]


@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_there_is_one_word_for_each_id(tokenizer, text):
    assert len(tokenizer.split(text)) == len(tokenizer.encode(text))


@pytest.mark.parametrize("text", [text for text in NASTY_TEXTS if text.strip()])
def test_any_text_can_be_the_vocabulary_and_comes_back(text):
    tokenizer = WordTokenizer.from_texts([text])
    ids = tokenizer.encode(text)
    assert tokenizer.unknown_id not in ids
    assert tokenizer.tokens(ids) == tokenizer.split(text)
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


def test_a_batch_is_encoded_as_its_texts_are_one_by_one():
    tokenizer = WordTokenizer.from_texts(NASTY_TEXTS[:5])
    assert tokenizer.encode_batch(NASTY_TEXTS) == [tokenizer.encode(text) for text in NASTY_TEXTS]


def test_a_batch_may_be_empty_or_a_generator(tokenizer):
    assert tokenizer.encode_batch([]) == []
    assert tokenizer.encode_batch(text for text in ("i love", "deep")) == [[2, 3], [4]]


def test_a_tokenizer_survives_keras_serialization():
    tokenizer = WordTokenizer.from_texts(NASTY_TEXTS)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tokenizer))
    assert isinstance(again, WordTokenizer)
    assert again.get_config() == tokenizer.get_config()
    assert again.encode_batch(NASTY_TEXTS) == tokenizer.encode_batch(NASTY_TEXTS)


def test_the_registered_name_is_the_one_in_saved_files():
    assert keras.saving.get_registered_name(WordTokenizer) == "mini_transformer>WordTokenizer"


@pytest.mark.parametrize(
    ("words", "received"),
    [
        ([], r"words=\[\]"),
        (["a", "b", "a"], "'a' twice"),
        (["a", "B"], "'B'"),
        (["a b"], "'a b'"),
        ([" a"], "' a'"),
        (["a", ""], "''"),
        (["[UNK]"], r"'\[UNK\]'"),
    ],
)
def test_words_that_could_never_be_read_are_refused(words, received):
    with pytest.raises(ValueError, match=rf"`words` must .*Received: {received}\."):
        WordTokenizer(words)


@pytest.mark.parametrize("texts", [[], ["", " \n"]])
def test_texts_without_words_are_refused(texts):
    with pytest.raises(ValueError, match="at least one"):
        WordTokenizer.from_texts(texts)


@pytest.mark.parametrize("text", [text for text in NASTY_TEXTS if text])
def test_characters_come_back_exactly(text):
    tokenizer = CharTokenizer.from_texts([text])
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.unknown_id not in ids
    assert tokenizer.decode(ids) == text
    assert tokenizer.tokens(ids) == tokenizer.split(text) == list(text)


def test_characters_are_in_the_order_of_unicode_after_the_special_tokens():
    tokenizer = CharTokenizer.from_texts(["To be,\n", "or"])
    assert tokenizer.vocabulary == ("[PAD]", "[UNK]", "\n", " ", ",", "T", "b", "e", "o", "r")
    assert tokenizer.encode("tobe") == [1, 8, 6, 7]


@pytest.mark.parametrize("characters", [[], ["a", "a"], ["ab"], [""]])
def test_wrong_characters_are_refused(characters):
    with pytest.raises(ValueError, match="`characters` must "):
        CharTokenizer(characters)


def test_a_char_tokenizer_survives_keras_serialization():
    tokenizer = CharTokenizer.from_texts(NASTY_TEXTS)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tokenizer))
    assert isinstance(again, CharTokenizer)
    assert again.encode_batch(NASTY_TEXTS) == tokenizer.encode_batch(NASTY_TEXTS)
