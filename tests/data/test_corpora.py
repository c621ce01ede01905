"""Text from the toy, files and folders."""

import codecs
import hashlib
import itertools

import pytest

from data import corpora
from data.corpora import TOY_SENTENCES, CorpusError, load_corpus

TEXT = "one two\nthree four\n"
SENTENCES = ["one two", "three four"]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def write(tmp_path):
    """Writes a file under the temporary folder and gives its path."""

    def write_file(content, name="text.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def test_the_toy_is_built_in():
    corpus = load_corpus("toy")
    assert corpus.source == "toy"
    assert corpus.sentences == list(TOY_SENTENCES)
    assert len(corpus.sentences) == 6
    assert corpus.sha256 == sha256("\n".join(TOY_SENTENCES).encode())


def test_each_line_of_a_file_that_holds_words_is_a_sentence(write):
    path = write("One  two\n\n \t \n  three four  \nfive")
    corpus = load_corpus(str(path))
    assert corpus.sentences == ["One  two", "three four", "five"]
    assert corpus.source == str(path.resolve())
    assert corpus.sha256 == sha256(path.read_bytes())


def test_a_relative_path_is_kept_as_an_absolute_one(write, tmp_path, monkeypatch):
    write(TEXT)
    monkeypatch.chdir(tmp_path)
    assert load_corpus("text.txt").source == str((tmp_path / "text.txt").resolve())


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.rstrip("\n").encode(),
    ],
    ids=["byte-order mark", "Windows", "old Mac", "no last line end"],
)
def test_marks_and_line_ends_of_other_systems_are_no_part_of_the_text(write, content):
    assert load_corpus(str(write(content))).sentences == SENTENCES


def test_letters_beyond_ascii_are_kept(write):
    assert load_corpus(str(write("naïve 日本 👩‍👧\n"))).sentences == ["naïve 日本 👩‍👧"]


def test_a_folder_is_all_its_text_files_in_the_order_of_their_paths(write, tmp_path):
    for name, text in [
        ("b.txt", "in b"),
        ("a/z.txt", "in a z, no line end"),
        ("a/deep/er/y.txt", codecs.BOM_UTF8 + b"in a deep er y\r\n"),
        ("a/notes.md", "not text"),
        ("c.TXT.bak", "not text"),
        ("picture.png", b"\x89PNG\0\xff"),
        ("empty.txt", ""),
    ]:
        write(text, name)
    (tmp_path / "folder.txt").mkdir()
    corpus = load_corpus(str(tmp_path))
    assert corpus.sentences == ["in a deep er y", "in a z, no line end", "in b"]
    assert corpus.source == str(tmp_path.resolve())


def test_the_hash_of_a_folder_changes_with_its_text(write, tmp_path):
    write(TEXT, "a.txt")
    write(TEXT, "b.txt")
    before = load_corpus(str(tmp_path)).sha256
    assert load_corpus(str(tmp_path)).sha256 == before
    write(TEXT + "more", "b.txt")
    assert load_corpus(str(tmp_path)).sha256 != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected text, found no words"),
        (b" \n\t\r\n \xe3\x80\x80\n", "expected text, found no words"),
        (codecs.BOM_UTF8, "expected text, found no words"),
        (b"some words\n\0\1\2\xff", "expected UTF-8 text, found a binary file"),
        ("naïve".encode("latin-1"), "expected UTF-8 text, found the byte 0xef at position 2"),
        ("words".encode("utf-16"), "expected UTF-8 text, found a binary file"),
    ],
    ids=["empty", "white space", "only a mark", "binary", "latin-1", "utf-16"],
)
def test_a_file_without_utf8_text_is_refused(write, content, message):
    path = write(content)
    with pytest.raises(CorpusError, match=rf"text\.txt: {message}"):
        load_corpus(str(path))


def test_a_bad_file_in_a_folder_is_named(write, tmp_path):
    write(TEXT, "good.txt")
    write(b"\xff", "sub/bad.txt")
    with pytest.raises(CorpusError, match=r"bad\.txt: expected UTF-8 text, found the byte 0xff"):
        load_corpus(str(tmp_path))


@pytest.mark.parametrize("at_lines", [True, False])
@pytest.mark.parametrize("name", ["sort", "induction", "positions"])
def test_no_line_of_a_made_text_is_trained_on_and_held_out(name, at_lines):
    training, held_out = load_corpus(name).split(0.25, at_lines=at_lines)
    trained_on, kept = training.sentences, held_out.sentences
    assert len(trained_on) == pytest.approx(3 * len(kept), abs=3)
    assert not set(trained_on) & set(kept)
    assert trained_on + kept == load_corpus(name).sentences


def test_a_file_with_the_name_of_a_made_text_is_asked_for_by_its_path(write, tmp_path, monkeypatch):
    write("one = two", "sort")
    monkeypatch.chdir(tmp_path)
    assert load_corpus("sort").by_line
    assert load_corpus("./sort").text == "one = two"
    assert not load_corpus("./sort").by_line


def test_a_folder_without_text_files_is_refused(write, tmp_path):
    write(TEXT, "text.md")
    with pytest.raises(CorpusError, match=r"expected a folder with \.txt files, found none"):
        load_corpus(str(tmp_path))


def test_a_folder_of_empty_text_files_is_refused(write, tmp_path):
    write("\n", "a.txt")
    with pytest.raises(CorpusError, match="expected text, found no words"):
        load_corpus(str(tmp_path))


def test_a_missing_file_is_refused(tmp_path):
    names = "toy, sort, induction, positions, babble, reverse, dates"
    with pytest.raises(
        CorpusError, match=rf"missing\.txt: expected {names}, a text file, a folder"
    ):
        load_corpus(str(tmp_path / "missing.txt"))


@pytest.mark.parametrize("source", ["", "n" * 300, "nul\0byte"])
def test_what_can_be_no_path_is_refused(source, tmp_path, monkeypatch):
    (tmp_path / "not-asked-for.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="expected "):
        load_corpus(source)


def test_a_file_that_cannot_be_read_is_refused(write, tmp_path):
    loop = tmp_path / "loop.txt"
    loop.symlink_to(loop)
    for path in (loop, write(TEXT) / "inside.txt"):
        with pytest.raises(CorpusError, match=r"\.txt: expected a readable text file \(\w"):
            load_corpus(str(path))


def test_a_wrong_byte_is_found_wherever_it_is(write):
    mark = codecs.BOM_UTF8
    for before in (
        mark,
        b"",
        "日".encode() * 350_000 + b"\n",
        b"a" * (2**20 - 1) + "日".encode()[:2],
    ):
        path = write(before + b"\xff" + b"more " * 300_000)
        position = len(before)
        if before.endswith("日".encode()[:2]):  # the character that begins there is the wrong one
            position -= 2
        byte = (before + b"\xff")[position]
        with pytest.raises(CorpusError, match=f"the byte 0x{byte:02x} at position {position}$"):
            load_corpus(str(path))


# Each has words, spaces, line ends of all kinds, and characters of one to four bytes.
LONG_TEXTS = {
    "lines": "naïve 日本 \r\n\r\n  👩‍👧 two  three\x85four\u2028five \n" * 9_000,
    "one line": "naïve 日本 👩‍👧 two  three\t" * 12_000,
    "no spaces": "日本語の文" * 90_000,
    "only spaces after a word": "word" + " " * 300_000 + "\n" * 300_000 + "word",
}


@pytest.mark.parametrize("name", LONG_TEXTS)
def test_the_pieces_of_a_text_are_short_and_make_up_the_text(write, name):
    text = LONG_TEXTS[name]
    corpus = load_corpus(str(write(text)))
    pieces = list(corpus.pieces())
    assert "".join(pieces) == corpus.text == text
    assert corpus.length == len(text)
    assert all(2**16 <= len(piece) <= 2**17 for piece in pieces[:-1])
    assert len(pieces) > 3


@pytest.mark.parametrize("name", ["lines", "one line"])
def test_pieces_begin_with_the_white_space_after_a_word(write, name):
    for first, second in itertools.pairwise(load_corpus(str(write(LONG_TEXTS[name]))).pieces()):
        assert not first[-1].isspace()
        assert second[0] in " \t\r\n"


def test_the_pieces_do_not_depend_on_how_the_file_is_read(write, monkeypatch):
    corpora = [
        load_corpus(str(write(text, f"{n}.txt"))) for n, text in enumerate(LONG_TEXTS.values())
    ]
    before = [list(corpus.pieces()) for corpus in corpora]
    monkeypatch.setattr("data.corpora._BLOCK_BYTES", 1001)
    assert [list(corpus.pieces()) for corpus in corpora] == before


def test_the_pieces_of_a_part_are_those_of_its_text(write):
    text = LONG_TEXTS["lines"]
    training, validation = load_corpus(str(write(text))).split(0.3, at_lines=False)
    cut = int(len(text) * 0.7)
    assert (training.text, validation.text) == (text[:cut], text[cut:])
    assert (training.length, validation.length) == (cut, len(text) - cut)
    assert next(validation.pieces()).startswith(text[cut : cut + 2**16])


def test_a_text_of_several_files_has_a_line_end_between_them(write, tmp_path):
    for name in "abc":
        write(codecs.BOM_UTF8 + f"in {name}".encode(), f"{name}.txt")
    corpus = load_corpus(str(tmp_path))
    assert corpus.text == "in a\nin b\nin c"
    assert corpus.length == 14


def test_texts_cut_elsewhere_into_files_have_another_key(write, tmp_path):
    keys = set()
    for number, parts in enumerate((["ab", "c"], ["a", "bc"])):
        for name, part in zip("xy", parts, strict=True):
            write(part, f"{number}/{name}.txt")
        keys.add(load_corpus(str(tmp_path / str(number))).key)
    assert len(keys) == 2


def test_each_part_of_a_text_has_a_key_that_its_name_does_not_change(write):
    one, other = (load_corpus(str(write(TEXT, name))) for name in ("a.txt", "b.txt"))
    parts = [one, *one.split(0.5, at_lines=False)]
    assert len({part.key for part in parts}) == 3
    assert [part.key for part in (other, *other.split(0.5, at_lines=False))] == [
        part.key for part in parts
    ]


@pytest.mark.parametrize(("split", "kept"), [(0, 10), (0.1, 9), (0.25, 8), (0.5, 5), (0.9, 1)])
@pytest.mark.parametrize("line_end", ["\n\n", "\r\n", "\r", "\x85 \u2028", " \n \t\n  "])
def test_the_end_of_the_text_is_kept_for_validation(write, split, kept, line_end):
    lines = [f"line {number}" for number in range(10)]
    corpus = load_corpus(str(write(line_end + line_end.join(lines) + line_end)))
    parts = corpus.split(split, at_lines=True)
    assert [part.sentences for part in parts] == [lines[:kept], lines[kept:]]
    assert "".join(part.text for part in parts) == corpus.text


def test_lines_longer_than_a_piece_are_counted_once(write):
    lines = ["a" * 300_000, "b " * 150_000 + "b", "c", "d" * 200_000]
    training, validation = load_corpus(str(write("\n".join(lines)))).split(0.5, at_lines=True)
    assert (training.sentences, validation.sentences) == (lines[:2], lines[2:])


@pytest.mark.parametrize(
    ("text", "split", "training"),
    [
        ("one two three four five", 0.4, "one two three "),
        ("one two three four five", 0.1, "one two three four five"),
        ("one two three four five", 0.99, ""),
        ("one two three four five", 0, "one two three four five"),
        ("\n\n one  two three\n", 0.5, "\n\n one  two "),
        ("one two\nthree four five six", 0.05, "one two\nthree four five six"),
        ("one two\nthree four five six", 0.2, "one two\nthree four five "),
        ("one\ntwo three four five", 0.8, "one\n"),
    ],
)
def test_a_text_that_lines_cannot_split_is_split_at_a_word(write, text, split, training):
    parts = load_corpus(str(write(text))).split(split, at_lines=True)
    assert [part.text for part in parts] == [training, text[len(training) :]]


@pytest.mark.parametrize("split", [0.01, 0.3, 0.5, 0.7, 0.9])
def test_no_word_of_a_line_longer_than_many_pieces_is_cut(write, split):
    text = " ".join(f"word{number}" for number in range(60_000)) + " " + 300_000 * "a" + " end"
    training, validation = load_corpus(str(write(text))).split(split, at_lines=True)
    words = training.text.split() + validation.text.split()
    assert words == text.split()
    assert training.length >= len(text) * (1 - split) - 1
    assert 0 < validation.length <= len(text) * split + 1


@pytest.mark.parametrize(("split", "kept"), [(0, 11), (0.1, 9), (0.5, 5)])
def test_a_text_of_characters_is_cut_anywhere(write, split, kept):
    text = "one\ntwo\n\n t"
    parts = load_corpus(str(write(text))).split(split, at_lines=False)
    assert [part.text for part in parts] == [text[:kept], text[kept:]]


def test_a_known_text_is_not_decoded_again(write, keras_home, monkeypatch):
    path = str(write("naïve 日本\n" * 1_000))
    corpus = load_corpus(path)
    with monkeypatch.context() as patch:
        patch.setattr(corpora, "_read", None)
        assert load_corpus(path) == corpus
    assert corpus.length == len(corpus.text) == 9_000
    other = load_corpus(str(write("naive ab\n" * 1_000)))
    assert other.length == len(other.text) == 9_000
    assert other.sha256 != corpus.sha256


def test_a_length_that_was_damaged_is_counted_again(write, keras_home):
    corpus = load_corpus(str(write("some words")))
    (kept,) = keras_home.rglob("*.length")
    content = kept.read_bytes()
    kept.write_bytes(b"2" + content[1:])
    with pytest.warns(UserWarning, match="was damaged and is made again"):
        assert load_corpus(corpus.source) == corpus
    assert kept.read_bytes() == content
