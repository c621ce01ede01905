"""Peak memory of training on a text file, beside that of `import tensorflow`.

python benchmarks/memory.py TEXT [train.py's flags]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def peak_megabytes(*command: str) -> float:
    """The largest resident memory that a command reaches."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024  # Linux gives KiB


def main() -> None:
    """Measures and prints."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    bare = peak_megabytes(sys.executable, "-c", "import tensorflow")
    with tempfile.TemporaryDirectory() as logs:
        training = peak_megabytes(
            sys.executable,
            str(PROJECT / "train.py"),
            "--logs",
            logs,
            "--corpus",
            *sys.argv[1:],
        )
    limit = 1.5 * bare + 300
    print(f"import tensorflow  {bare:7.0f} MB")
    print(f"train.py           {training:7.0f} MB  ({training / bare:.2f} times)")
    print(f"1.5 times + 300 MB {limit:7.0f} MB")


if __name__ == "__main__":
    main()
