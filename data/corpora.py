"""Where text comes from: one that is built in, a file, a folder, or an address."""

import array
import codecs
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data import made_pairs, made_texts
from data.fetching import cache_folder, fetch, is_address
from data.kept_files import HASH_BYTES, is_whole, new_file, where_possible

TOY_SENTENCES = (
    "i love deep learning",
    "i love artificial intelligence",
    "deep learning is fun",
    "artificial intelligence is cool",
    "i love models",
    "models learn patterns",
)
# The texts that need no file, by the name that asks for them, and what makes each.
BUILT_IN = {
    "toy": lambda: "\n".join(TOY_SENTENCES),
    "sort": made_texts.sort,
    "induction": made_texts.induction,
    "positions": made_texts.positions,
    "babble": made_texts.babble,
    "reverse": made_pairs.reverse,
    "dates": made_pairs.dates,
}
_OF_LINES = ("sort", "induction", "positions")
_OF_PAIRS = ("reverse", "dates")
_NAMES = ", ".join(BUILT_IN)

PAIRS_SUFFIX = ".tsv"
_ALL_HASHES = 2**64
_LENGTH_VERSION = 1  # to be raised when other bytes are text

_BLOCK_BYTES = 2**20  # read at a time
_PIECE = 2**16  # characters, at least
_LONGEST_PIECE = 2 * _PIECE
_WORD_END = re.compile(r"(?<=\S)[ \t\r\n]")
_WORD_START = re.compile(r"(?<!\S)\S")
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # those of str.splitlines


class CorpusError(ValueError):
    """A corpus that can't be read; the message is one line that says which and why."""


class Corpus(NamedTuple):
    """A text, or a part of one. It stays on disk until it is read, and then comes in pieces.

    Attributes:
        source: what was asked for: a name of `BUILT_IN`, an address, or the absolute path of a
            file or folder.
        sha256: hash of the bytes of the whole text, in hexadecimal.
        paths: the files that hold the text, one after the other; none where it is built in.
        start: the first character of this part, counted in the whole text.
        stop: the character after its last one.
        hashes: of a text of pairs, which of them are in this part: those whose hash is at least
            the first number and below the second.
    """

    source: str
    sha256: str
    paths: tuple[Path, ...]
    start: int
    stop: int
    hashes: tuple[int, int] = (0, _ALL_HASHES)

    @property
    def length(self) -> int:
        """How many characters this part has; of pairs, how many are read to find it."""
        return self.stop - self.start

    @property
    def by_line(self) -> bool:
        """Whether each line is an example by itself, which has nothing to do with those beside it.

        So it is in those of `data.made_texts` that are no running text.
        """
        return self.source in _OF_LINES

    @property
    def has_pairs(self) -> bool:
        """Whether each line is a source, a tab and a target."""
        return holds_pairs(self.source)

    @property
    def key(self) -> str:
        """Says which text this is, whatever its name: equal for equal texts alone."""
        # Without their sizes, two files could be cut elsewhere and have the same bytes in all.
        sizes = [path.stat().st_size for path in self.paths]
        hashes = f" {self.hashes}" if self.has_pairs else ""
        return f"{self.sha256} {sizes} {self.start} {self.stop}{hashes}"

    @property
    def text(self) -> str:
        """All of this part at once, as it stands there."""
        return "".join(self.pieces())

    @property
    def sentences(self) -> list[str]:
        """The lines of this part that hold at least one word."""
        return split_lines(self.text)

    def pieces(self) -> Iterator[str]:
        """This part in pieces of some 65,000 characters, one after the other.

        A piece ends where a word does, and the next begins with the white space after it. There
        every tokenizer of `data.tokenizer` starts a new token whatever stands before: byte pairs
        are merged within what GPT-2's expression matches, no match goes on from a word into the
        white space behind it, and the white space is all on one side. So the ids of the pieces are
        those of the text. Where no word ends for so long, a piece is cut after 131,072 characters;
        that may cut a token too, and always the same one.

        Example:

        >>> [len(piece) for piece in load_corpus("toy").pieces()]
        [140]
        """
        rest = ""
        for block in self._blocks():
            rest += block
            begin = 0
            while end := _piece_end(rest, begin):
                yield rest[begin:end]
                begin = end
            rest = rest[begin:]
        if rest:
            yield rest

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The sources and targets of this part, without white space around them.

        Lines without a word are left out.

        Raises:
            CorpusError: a line that is no source, tab and target; it says which.

        Example:

        >>> next(load_corpus("reverse").pairs())  # doctest: +SKIP
        ('abcd', 'dcba')
        """
        for number, line in enumerate(self._lines(), start=1):
            if not line.strip():
                continue
            source, *targets = (side.strip() for side in line.split("\t"))
            found = None
            if len(targets) != 1:
                found = f"{len(targets) or 'no'} tab{'s' * (len(targets) > 1)}"
            elif not source or not targets[0]:
                found = "an empty " + ("target" if source else "source")
            if found is not None:
                name = self.paths[0] if self.paths else self.source
                raise CorpusError(
                    f"{name}: line {number:,}: expected a source, a tab and a target, found {found}"
                )
            if self.hashes[0] <= self._hash(source, *targets) < self.hashes[1]:
                yield source, *targets

    def _hash(self, source, target):
        """What decides in which part a pair is: equal where one shall not be split from another.

        All answers to a source belong together. In `dates` it is all that is said of a date.
        """
        together = target if self.source == "dates" else source
        digest = hashlib.blake2b(together.encode(errors="surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big")

    def split(self, validation_split: float, at_lines: bool) -> tuple["Corpus", "Corpus"]:
        """The part for training, and the last `validation_split` of the text for validation.

        Pairs are split by a hash instead, whatever their order, and all that have one source stay
        together.

        Args:
            validation_split: a share, 0 to 1.
            at_lines: whether to count and cut lines, those without a word left out. Otherwise
                characters, unless each line is an example by itself. Where lines would leave
                nothing on one side, a text is cut at the first word after the share of its
                characters.

        Example:

        >>> training, validation = load_corpus("toy").split(0.34, at_lines=True)
        >>> validation.sentences
        ['i love models', 'models learn patterns']
        >>> training, validation = load_corpus("toy").split(0.1, at_lines=False)
        >>> validation.text
        'learn patterns'
        """
        if self.has_pairs:
            hashes = sorted(set(itertools.starmap(self._hash, self.pairs())))
            cut = round(len(hashes) * (1 - validation_split))
            if validation_split:  # leave something on both sides, where there are two
                cut = min(max(cut, 1), len(hashes) - 1)
            bound = hashes[cut] if cut < len(hashes) else _ALL_HASHES
            low, high = self.hashes
            return self._replace(hashes=(low, bound)), self._replace(hashes=(bound, high))
        cut = int(self.length * (1 - validation_split))
        if at_lines or self.by_line:
            lines = array.array("q", _line_starts(self.pieces()))
            first = round(len(lines) * (1 - validation_split))
            if 0 < first < len(lines):
                cut = lines[first]
            elif validation_split:
                cut = _next_word(self.pieces(), cut)
        cut += self.start
        return self._replace(stop=cut), self._replace(start=cut)

    def _lines(self) -> Iterator[str]:
        """The lines of this part, one by one; a line ends with a line feed and nothing else."""
        rest = ""
        for block in self._blocks():
            *lines, rest = (rest + block).split("\n")
            yield from lines
        yield rest

    def _blocks(self) -> Iterator[str]:
        """This part as it is read: cut anywhere."""
        position = 0
        for block in _read(self.paths) if self.paths else [BUILT_IN[self.source]()]:
            if position >= self.stop:
                break
            yield block[max(self.start - position, 0) : self.stop - position]
            position += len(block)


def split_lines(text: str) -> list[str]:
    """The lines of `text` that hold at least one word, without white space around them."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def holds_pairs(source: str) -> bool:
    """Whether each line of a corpus is a source, a tab and a target, as its name says."""
    return source in _OF_PAIRS or source.endswith(PAIRS_SUFFIX)


def load_corpus(source: str, may_fetch: bool = True) -> Corpus:
    """Finds a corpus, and reads it once to see that all of it is text.

    Args:
        source: "toy" (six sentences) or another name of `BUILT_IN`, the path of a UTF-8 text file,
            the path of a folder (all its `.txt` files, those of its sub-folders too, in the order
            of their paths), or an `http://`, `https://` or `file://` address, which is fetched once
            and then kept. A file that is called like a built-in text is asked for by `./toy`. What
            ends in `.tsv` holds pairs.
        may_fetch: whether what is at an address may be fetched. Otherwise it is only found where
            that was done before. Default True.

    Returns:
        The `Corpus`. Each line of the text is a sentence, or a pair.

    Raises:
        CorpusError: nothing there, unreadable, empty, not text, not UTF-8, or a line that is no
            pair where all must be.

    Example:

    >>> load_corpus("toy").text.splitlines()[0]
    'i love deep learning'
    """
    if source in BUILT_IN:
        text = BUILT_IN[source]()
        return Corpus(source, hashlib.sha256(text.encode()).hexdigest(), (), 0, len(text))
    name = None
    if is_address(source):
        try:
            paths = [fetch(source, may_fetch)]
        except OSError as error:
            raise CorpusError(f"{source}: {error}") from error
        name = source
    else:
        paths = [Path(source)]
        if not source or os.path.isdir(source):
            paths = sorted(p for p in paths[0].rglob("*.txt") if source and p.is_file())
        if not paths:
            raise CorpusError(f"{source}: expected a folder with .txt files, found none in it")
        source = os.path.abspath(source)

    digest = hashlib.sha256()
    for path in paths:
        for content in _read_bytes(path):
            digest.update(content)
    corpus = Corpus(source, digest.hexdigest(), tuple(map(Path.absolute, paths)), 0, 0)
    corpus = corpus._replace(stop=_length(corpus, paths, name))
    if corpus.has_pairs:
        for _ in corpus.pairs():  # raises an error for the first line that is none
            pass
    return corpus


def _length(corpus: Corpus, paths: Sequence[Path], name: str | None) -> int:
    """How many characters a text has, once all of it was seen to be text.

    That is kept: to decode a text of 1 GB takes five times as long as to see that it is the same.
    """
    key = hashlib.sha256(f"{_LENGTH_VERSION} {corpus.key}".encode()).hexdigest()[:32]
    path = cache_folder() / f"{key}.length"
    if is_whole(path):
        return int(path.read_bytes()[:-HASH_BYTES])
    length, has_words = 0, False
    for block in _read(paths, name):
        length += len(block)
        has_words = has_words or bool(block.strip())
    if not has_words:
        raise CorpusError(f"{corpus.source}: expected text, found no words")
    with where_possible(), new_file(path) as file:
        file.write(str(length).encode())
    return length


def _read(paths: Sequence[Path], name: str | None = None) -> Iterator[str]:
    """The text of some files, with a line end between two of them, block by block.

    Args:
        paths: the files.
        name: what to call them in errors. Default None: by their paths.
    """
    for number, path in enumerate(paths):
        if number:
            yield "\n"
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        position = 0
        for content in _read_bytes(path):
            position += len(content)
            if b"\0" in content:
                raise CorpusError(f"{name or path}: expected UTF-8 text, found a binary file")
            try:
                block = decoder.decode(content, final=not content)
            except UnicodeDecodeError as error:  # in a character that may have begun a block ago
                raise CorpusError(
                    f"{name or path}: expected UTF-8 text, found the byte "
                    f"0x{error.object[error.start]:02x} at position "
                    f"{position - len(error.object) + error.start}"
                ) from error
            yield block


def _read_bytes(path: Path) -> Iterator[bytes]:
    """The content of a file block by block; the last block is empty."""
    try:
        with path.open("rb") as file:
            content = None
            while content != b"":
                content = file.read(_BLOCK_BYTES)
                yield content
    except FileNotFoundError as error:
        raise CorpusError(
            f"{path}: expected {_NAMES}, a text file, a folder or an address, found nothing"
        ) from error
    except OSError as error:
        raise CorpusError(f"{path}: expected a readable text file ({error.strerror})") from error
    except ValueError as error:  # a path that no file can have
        raise CorpusError(f"{str(path)!r}: expected a readable text file ({error})") from error


def _piece_end(text: str, begin: int) -> int | None:
    """Where the piece that begins there ends; None if that depends on what comes after `text`."""
    word_end = _WORD_END.search(text, begin + _PIECE, begin + _LONGEST_PIECE)
    if word_end:
        return word_end.start()
    return begin + _LONGEST_PIECE if len(text) >= begin + _LONGEST_PIECE else None


def _line_starts(pieces: Iterable[str]) -> Iterator[int]:
    """Where each line starts that holds a word, or else white space before its first word."""
    position, is_blank = 0, True
    for piece in pieces:
        for line in piece.splitlines(keepends=True):  # the first may go on from the last piece
            if is_blank and line.strip():
                yield position
                is_blank = False
            if line[-1] in _LINE_ENDS:
                is_blank = True
            position += len(line)


def _next_word(pieces: Iterable[str], position: int) -> int:
    """Where the first word starts at `position` or later; the text's length if none does."""
    begin, before = 0, ""
    for piece in pieces:
        text = before + piece  # the first word may go on from the last piece
        word = _WORD_START.search(text, max(position - begin, 0) + len(before))
        if word:
            return begin - len(before) + word.start()
        begin, before = begin + len(piece), piece[-1]
    return begin
