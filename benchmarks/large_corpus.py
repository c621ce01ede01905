"""Memory of training a causal model on a large text, how soon it starts, how fast it is encoded.

python benchmarks/large_corpus.py [--megabytes N] [train.py's flags, such as --tokenizer bpe]

The text is made in a temporary folder: lines of words as frequent as Zipf's law says, some letters
of which take two bytes or three. Memory is RssAnon, what a process can't give back to a file.
Byte pairs are encoded by the library `tokenizers` too, in turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
LETTERS = np.array(list("eeeetttaaoinshrdlucmfwypvbgkjqxzEAäéñßжшẞế"))
TRAINING = (
    *("--model", "decoder", "--tokenizer", "char", "--context-length", "64", "--batch-size", "12"),
    *("--d-model", "128", "--dff", "512", "--heads", "4", "--layers", "4", "--steps", "50"),
    *("--validation-split", "0.0001"),
)


def write_text(path: Path, size: int) -> None:
    """Writes a text of at least `size` bytes: the same 100,000 lines shuffled again and again."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(LETTERS, random.integers(1, 12))) for _ in range(50_000)]
    shares = 1 / np.arange(1, len(words) + 1)
    chosen = random.choice(len(words), (100_000, 10), p=shares / shares.sum())
    lines = [" ".join(words[i] for i in line) + "\n" for line in chosen]
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            file.write("".join(lines[i] for i in random.permutation(len(lines))))


def train(text: Path, folder: Path, flags: list[str]) -> tuple[float, float]:
    """Trains; returns the seconds to the first step and the largest RssAnon in megabytes."""
    command = [sys.executable, PROJECT / "train.py", *TRAINING, *flags]
    command += ["--corpus", text, "--logs", folder / "logs"]
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_HOME": str(folder / "keras")},
    )
    peak = [0.0]
    watcher = threading.Thread(target=watch_memory, args=(process, peak))
    watcher.start()
    seconds = None
    for line in process.stdout:
        if seconds is None and line.startswith("epoch "):
            seconds = time.perf_counter() - begin
    watcher.join()
    if process.wait() or seconds is None:
        raise SystemExit("train.py failed")
    return seconds, peak[0]


def watch_memory(process: subprocess.Popen, peak: list[float]) -> None:
    """Keeps the largest RssAnon of a process in `peak`, until the process ends."""
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                peak[0] = max(peak[0], int(line.split()[1]) * 1024 / 1e6)
        time.sleep(0.02)


def encode(text: Path) -> tuple[list[float], list[float]]:
    """Encodes 100 MB in turns; returns the MB/s of three rounds, those of the library last."""
    sys.path.insert(0, str(PROJECT))
    from experiments import cli

    cli.import_keras()
    from data.corpora import load_corpus
    from data.tokenizer import BPETokenizer, Tokenizer

    pieces, size = [], 0
    for piece in load_corpus(str(text)).pieces():
        pieces.append(piece)
        size += len(piece.encode())
        if size > 100e6:
            break
    tokenizer = BPETokenizer.from_texts(pieces[:64])
    speeds = [], []
    for _ in range(3):
        for encode_pieces, of_kind in zip(
            (BPETokenizer.encode_pieces, Tokenizer.encode_pieces), speeds, strict=True
        ):
            begin = time.perf_counter()
            for _ in encode_pieces(tokenizer, pieces):
                pass
            of_kind.append(size / 1e6 / (time.perf_counter() - begin))
    return speeds


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(usage=__doc__, allow_abbrev=False)
    parser.add_argument("--megabytes", type=int, default=1000, metavar="N")
    own, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        write_text(text, own.megabytes * 10**6)
        small = Path(folder) / "small.txt"
        write_text(small, 10**6)
        for path in (small, text):
            print(f"text of {path.stat().st_size / 1e6:,.0f} MB")
            for name in ("first", "second"):
                seconds, megabytes = train(path, Path(folder), flags)
                print(f"{name:>8} time: first step after {seconds:5.1f} s, {megabytes:,.0f} MB")
        for name, speeds in zip(("words", "library"), encode(text), strict=True):
            print(f"{name:>8}: {statistics.median(speeds):5.1f} MB/s of byte pairs encoded")


if __name__ == "__main__":
    main()
