"""Text to token ids and back."""

import json
import random

import keras
import numpy as np
import pytest

from data.corpora import TOY_SENTENCES
from data.tokenizer import (
    TOKENIZERS,
    BPETokenizer,
    CharTokenizer,
    SymbolTokenizer,
    WordTokenizer,
)
from tests.conftest import run_script

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


def random_texts(count):
    """Texts of any characters: of all planes, combining ones, controls, spaces, and letters."""
    generator = random.Random(0)
    kinds = [range(0x80), range(0x300, 0x370), range(0x2000, 0x2070), range(0xD800)]
    kinds += [range(0xE000, 0x110000), *map(str.encode, (" \n\t\r", "abc ABC 123 'll"))]
    for _ in range(count):
        kind = [generator.choice(kinds) for _ in range(3)]
        length = generator.randrange(60)
        yield "".join(chr(generator.choice(generator.choice(kind))) for _ in range(length))


@pytest.fixture(scope="module")
def bpe():
    return BPETokenizer.from_texts([*NASTY_TEXTS, "the there then 日本語 日本 日光\n" * 50], 400)


def test_any_text_comes_back_from_byte_pairs(bpe):
    for text in (*NASTY_TEXTS, *random_texts(2_000)):
        ids = bpe.encode(text)
        assert bpe.decode(ids) == text
        assert not {bpe.padding_id, bpe.unknown_id} & set(ids)
        assert "".join(bpe.split(text)) == text
        assert len(bpe.split(text)) == len(ids)


def test_byte_pairs_begin_with_the_special_tokens_and_all_bytes(bpe):
    assert bpe.vocabulary[:2] == ("[PAD]", "[UNK]")
    assert [bpe.encode(chr(code)) for code in range(128)] == [[code + 2] for code in range(128)]
    assert bpe.encode("é") == [0xC3 + 2, 0xA9 + 2]
    assert bpe.vocabulary_size == len(bpe.vocabulary) == len(bpe.pieces) + 2 == 400


def test_no_text_spells_a_special_token_of_byte_pairs():
    tokenizer = BPETokenizer.from_texts(["[PAD] [UNK] [PAD][UNK] " * 9], 400)
    assert min(tokenizer.encode("[PAD][UNK] [PAD] [UNK]")) > 1
    assert tokenizer.decode(tokenizer.encode("[PAD][UNK]")) == "[PAD][UNK]"


def test_frequent_words_become_one_token_with_the_space_before_them(bpe):
    assert bpe.tokens(bpe.encode("the then there")) == ["the", " then", " there"]
    assert len(bpe.encode("日本")) < 6


def test_what_is_no_whole_character_is_shown_as_its_bytes(bpe):
    ids = bpe.encode("ж")
    assert bpe.tokens(ids) == ["\\xd0", "\\xb6"]
    assert bpe.split("жж") == ["ж", "", "ж", ""]
    assert bpe.decode(ids[:1]) == "\N{REPLACEMENT CHARACTER}"
    assert bpe.decode([0, *ids, 0]) == "ж"


@pytest.mark.parametrize("kind", TOKENIZERS.values())
def test_a_text_may_be_decoded_as_its_ids_come(kind):
    text = "the 日本語 then 👩‍👧 ends"
    tokenizer = kind.from_texts([text])
    first, *ids = tokenizer.encode(text)
    decode = tokenizer.continuation()
    assert tokenizer.decode([first]) + "".join(decode([id_]) for id_ in ids) == text


def test_byte_pairs_never_cross_from_one_word_to_the_next():
    tokenizer = BPETokenizer.from_texts(["in the end\n" * 200], 5000)
    assert tokenizer.tokens(tokenizer.encode("in the end\n")) == ["in", " the", " end", "\n"]
    assert tokenizer.vocabulary_size < 300


def test_a_byte_pair_tokenizer_survives_keras_serialization_in_another_process(bpe, tmp_path):
    serialized = keras.saving.serialize_keras_object(bpe)
    texts = [*NASTY_TEXTS, *random_texts(50)]
    (tmp_path / "in.json").write_text(json.dumps([serialized, texts]))
    script = """
import json, sys, keras, data.tokenizer
serialized, texts = json.load(open(sys.argv[1]))
tokenizer = keras.saving.deserialize_keras_object(serialized)
print(json.dumps([type(tokenizer).__name__, tokenizer.encode_batch(texts), tokenizer.get_config()]))
"""
    result = run_script("-c", script, tmp_path / "in.json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == ["BPETokenizer", bpe.encode_batch(texts), bpe.get_config()]
    assert serialized["registered_name"] == "mini_transformer>BPETokenizer"


def test_the_same_text_gives_the_same_merges_in_pieces():
    text = "the there then 日本語 日本 日光\n" * 50
    once = BPETokenizer.from_texts([text], 300)
    again = BPETokenizer.from_texts(text.splitlines(keepends=True), 300)
    assert once.merges == again.merges
    assert len(once.merges) > 10


def test_a_token_that_can_be_made_in_two_ways_has_one_id():
    tokenizer = BPETokenizer(["a b", "b c", "ab c", "a bc"])
    assert tokenizer.vocabulary[-3:] == ("ab", "bc", "abc")
    assert tokenizer.encode("abc") == [260]


@pytest.mark.parametrize("merge", ["ab", "a b c", "a ", "ab c", "a €", ""])
def test_what_is_no_pair_of_tokens_is_no_merge(merge):
    with pytest.raises(ValueError, match=rf"`merges` must be pairs .*Received: '{merge}'\."):
        BPETokenizer([merge])


def test_a_vocabulary_without_room_for_all_bytes_is_refused():
    assert BPETokenizer.from_texts(["aa"], 258).merges == []
    with pytest.raises(ValueError, match=r"must be at least 258.*Received: vocabulary_size=257"):
        BPETokenizer.from_texts(["aa"], 257)


@pytest.mark.parametrize("kind", TOKENIZERS.values())
def test_pieces_are_encoded_as_they_are_one_by_one(kind):
    pieces = [*NASTY_TEXTS, *random_texts(100)]
    tokenizer = kind.from_texts(pieces[::2])
    encoded = list(tokenizer.encode_pieces(iter(pieces)))
    assert np.concatenate(encoded).tolist() == [i for t in pieces for i in tokenizer.encode(t)]
    assert list(tokenizer.encode_pieces([])) == []


# Symbols


def test_symbols_keep_their_capitals():
    tokenizer = SymbolTokenizer.from_texts(["HH AH L OW hh"])
    assert tokenizer.symbols == ["HH", "AH", "L", "OW", "hh"]
    assert tokenizer.decode(tokenizer.encode("hh HH  Hh\n")) == "hh HH [UNK]"


def test_symbols_that_are_called_like_special_tokens_are_symbols():
    tokenizer = SymbolTokenizer.from_texts(["[PAD] [END]"], 1).with_extra_tokens("[END]")
    assert tokenizer.encode("[PAD] [UNK] [END]") == [2, 1, 1]
    assert SymbolTokenizer(["a"]).encode("[PAD]") == [1]


# More special tokens


@pytest.mark.parametrize("kind", TOKENIZERS.values())
def test_more_special_tokens_move_no_id(kind):
    before = kind.from_texts(["to be or not to be"])
    after = before.with_extra_tokens("[BEGIN]").with_extra_tokens("[END]")
    assert after.vocabulary == (*before.vocabulary, "[BEGIN]", "[END]")
    assert after.pieces == before.pieces
    assert after.encode("to be") == before.encode("to be")
    ids = [before.vocabulary_size, before.vocabulary_size + 1]
    assert [after.special_id(token) for token in ("[BEGIN]", "[END]")] == ids
    assert after.special_ids == [0, 1, *ids]
    assert not set(ids) & set(after.encode("[BEGIN] [END] [begin][end]"))
    (encoded,) = after.encode_pieces(["to be"])
    assert encoded.tolist() == before.encode("to be")


@pytest.mark.parametrize("kind", TOKENIZERS.values())
def test_more_special_tokens_are_no_part_of_the_text(kind):
    tokenizer = kind.from_texts(["to be"]).with_extra_tokens("[BEGIN]", "[END]")
    begin, end = map(tokenizer.special_id, ("[BEGIN]", "[END]"))
    assert tokenizer.decode([begin, *tokenizer.encode("to be"), end, 0]) == "to be"
    assert tokenizer.tokens([begin, end]) == ["[BEGIN]", "[END]"]


@pytest.mark.parametrize("kind", TOKENIZERS.values())
def test_more_special_tokens_survive_keras_serialization(kind):
    tokenizer = kind.from_texts(["to be"]).with_extra_tokens("[BEGIN]", "[END]")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(tokenizer)))
    assert keras.saving.deserialize_keras_object(config).vocabulary == tokenizer.vocabulary


@pytest.mark.parametrize("kind", TOKENIZERS.values())
def test_a_tokenizer_without_more_special_tokens_is_saved_as_ever(kind):
    assert list(kind.from_texts(["to be"]).get_config()) in (
        ["words"],
        ["symbols"],
        ["characters"],
        ["merges"],
    )
