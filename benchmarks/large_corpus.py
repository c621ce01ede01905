"""Memory of training a causal model on a large text, and how soon it starts the second time.

python benchmarks/large_corpus.py [--megabytes N] [train.py's flags, such as --tokenizer bpe]

The text is made in a temporary folder: lines of words as frequent as Zipf's law says, some letters
of which take two bytes or three. Memory is RssAnon, what a process can't give back to a file.
"""

import argparse
import os
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


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(usage=__doc__, allow_abbrev=False)
    parser.add_argument("--megabytes", type=int, default=1000, metavar="N")
    own, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        write_text(text, own.megabytes * 10**6)
        print(f"text {text.stat().st_size / 1e6:,.0f} MB, limit 2,000 MB of RssAnon")
        for name in ("first", "second"):
            seconds, megabytes = train(text, Path(folder), flags)
            print(f"{name:6} time: first step after {seconds:5.1f} s, RssAnon {megabytes:,.0f} MB")


if __name__ == "__main__":
    main()
