"""Where text comes from: the built-in toy, a file, a folder, or an address."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

TOY_SENTENCES = (
    "i love deep learning",
    "i love artificial intelligence",
    "deep learning is fun",
    "artificial intelligence is cool",
    "i love models",
    "models learn patterns",
)


class CorpusError(ValueError):
    """A corpus that can't be read; the message is one line that says which and why."""


class Corpus(NamedTuple):
    """A text.

    Attributes:
        source: what was asked for: "toy", an address, or the absolute path of a file or folder.
        text: all of it, as it stands there; of several files, one after the other.
        sha256: hash of the bytes of the text, in hexadecimal.
    """

    source: str
    text: str
    sha256: str

    @property
    def sentences(self) -> list[str]:
        """The lines of the text that hold at least one word."""
        return split_lines(self.text)


def split_lines(text: str) -> list[str]:
    """The lines of `text` that hold at least one word, without white space around them."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_address(source: str) -> bool:
    """Whether a corpus is to be fetched from an address."""
    return source.startswith(("http://", "https://", "file://"))


def load_corpus(source: str) -> Corpus:
    """Reads a corpus.

    Args:
        source: "toy" (six sentences), the path of a UTF-8 text file, the path of a folder (all its
            `.txt` files, those of its sub-folders too, in the order of their paths), or an
            `http://`, `https://` or `file://` address, which is fetched once and then kept.

    Returns:
        The `Corpus`. Each line of the text is a sentence.

    Raises:
        CorpusError: nothing there, unreadable, empty, not text, or not UTF-8.

    Example:

    >>> load_corpus("toy").text.splitlines()[0]
    'i love deep learning'
    """
    if source == "toy":
        text = "\n".join(TOY_SENTENCES)
        return Corpus("toy", text, hashlib.sha256(text.encode()).hexdigest())
    if is_address(source):
        paths = [_fetch(source)]
    else:
        paths = [Path(source)]
        if not source or os.path.isdir(source):
            paths = sorted(p for p in paths[0].rglob("*.txt") if source and p.is_file())
        if not paths:
            raise CorpusError(f"{source}: expected a folder with .txt files, found none in it")
        source = os.path.abspath(source)

    digest = hashlib.sha256()
    texts = []
    for path in paths:
        content = _read(path)
        digest.update(content)
        texts.append(_decode(source if is_address(source) else path, content))
    text = "\n".join(texts)
    if not text.strip():
        raise CorpusError(f"{source}: expected text, found no words")
    return Corpus(source, text, digest.hexdigest())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CorpusError(
            f"{path}: expected 'toy', a text file, a folder or an address, found nothing"
        ) from error
    except OSError as error:
        raise CorpusError(f"{path}: expected a readable text file ({error.strerror})") from error
    except ValueError as error:  # a path that no file can have
        raise CorpusError(f"{str(path)!r}: expected a readable text file ({error})") from error


def _decode(path: Path | str, content: bytes) -> str:
    if b"\0" in content:
        raise CorpusError(f"{path}: expected UTF-8 text, found a binary file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}: expected UTF-8 text, found the byte 0x{content[error.start]:02x} "
            f"at position {error.start}"
        ) from error


def _fetch(address: str) -> Path:
    """The local copy of what is at `address`, fetched unless a whole one is there."""
    import keras  # for get_file, which only addresses need

    cache = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "mini_transformer"
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    path, hash_file = cache / f"{name}.txt", cache / f"{name}.sha256"
    try:
        # The hash is written after the whole text has arrived: without it the copy is incomplete.
        if path.exists() and hash_file.exists() and hash_file.read_text() == _hash(path):
            return path
        cache.mkdir(parents=True, exist_ok=True)  # or get_file puts the text elsewhere
        keras.utils.get_file(
            path.name, origin=address, force_download=True, cache_subdir="", cache_dir=str(cache)
        )
        temporary = hash_file.with_suffix(f".{os.getpid()}")
        temporary.write_text(_hash(path))
        temporary.replace(hash_file)
    except Exception as error:  # get_file raises bare Exceptions for what the server answers
        reason = str(error).splitlines()[0]
        raise CorpusError(f"{address}: expected a text to fetch ({reason})") from error
    return path


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
