"""Texts at addresses: each is fetched once, and kept."""

import hashlib
import os
from pathlib import Path


def is_address(source: str) -> bool:
    """Whether a corpus is to be fetched from an address."""
    return source.startswith(("http://", "https://", "file://"))


def cache_folder() -> Path:
    """Where fetched texts and token ids are kept: `mini_transformer` in Keras's own folder."""
    return Path(os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras"))) / "mini_transformer"


def fetch(address: str, may_fetch: bool = True) -> Path:
    """The local copy of what is at an address, fetched unless a whole one is there.

    Args:
        address: an `http://`, `https://` or `file://` address.
        may_fetch: whether it may be fetched. Otherwise it is only found where that was done before.
            Default True.

    Raises:
        OSError: nothing could be fetched, or kept; or nothing was fetched before.

    Example:

    >>> fetch("https://example.org/text.txt", may_fetch=False)
    Traceback (most recent call last):
    FileNotFoundError: expected a text that was fetched before, found none
    """
    cache = cache_folder()
    name = hashlib.sha256(address.encode(errors="surrogatepass")).hexdigest()[:16]
    path, hash_file = cache / f"{name}.txt", cache / f"{name}.sha256"
    try:
        # The hash is written after the whole text has arrived: without it the copy is incomplete.
        if path.exists() and hash_file.exists() and hash_file.read_text() == _hash(path):
            return path
        if may_fetch:
            import keras  # for get_file, which only addresses need

            cache.mkdir(parents=True, exist_ok=True)  # or get_file puts the text elsewhere
            keras.utils.get_file(
                path.name,
                origin=address,
                force_download=True,
                cache_subdir="",
                cache_dir=str(cache),
            )
            temporary = hash_file.with_suffix(f".{os.getpid()}")
            temporary.write_text(_hash(path))
            temporary.replace(hash_file)
            return path
    except Exception as error:  # get_file raises bare Exceptions for what the server answers
        reason = str(error).splitlines()[0]
        raise OSError(f"expected a text to fetch ({reason})") from error
    raise FileNotFoundError("expected a text that was fetched before, found none")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
