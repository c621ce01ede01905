"""How long twelve trainings take by `compare.py`, and one after the other by `train.py`.

    python benchmarks/study.py shakespeare.txt [--rounds 1] [--steps 500]

Four variants of `gpt2-classic-char` with three seeds each, as whole commands, in turns. The first
step of a trial is when its first figures are on disk: for a variant that was never compiled here,
and for a further seed of one that was.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
POSITIONS = ("learned", "rotary", "alibi", "none")
SEEDS = (0, 1, 2)


def seconds_of(*command: str, home: str) -> float:
    """Wall-clock time of a command, from its start to its end."""
    begin = time.perf_counter()
    environment = {**os.environ, "KERAS_HOME": home}  # nothing was compiled before
    subprocess.run(
        [sys.executable, *command], cwd=PROJECT, check=True, capture_output=True, env=environment
    )
    return time.perf_counter() - begin


def first_steps(study: Path) -> dict[int, list[float]]:
    """By seed, the seconds from the start of each trial's process to its first step."""
    found = {seed: [] for seed in SEEDS}
    for path in study.glob("*/progress.json"):
        progress = json.loads(path.read_text(encoding="utf-8"))
        found[int(path.parent.name.rpartition("=")[2])].append(progress["first_step_after"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="a text file")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each (1)")
    parser.add_argument("--steps", type=int, default=500, help="steps of each training (500)")
    flags = parser.parse_args()
    common = ["--preset", "gpt2-classic-char", "--corpus", str(Path(flags.text).absolute())]
    common += ["--steps", str(flags.steps)]
    found = {"compare.py": [], "train.py": []}
    for _ in range(flags.rounds):
        with tempfile.TemporaryDirectory() as logs:
            vary = ["--vary", f"position={','.join(POSITIONS)}", "--seeds", str(len(SEEDS))]
            where = ["--logs", logs, "--study", "study"]
            command = ["compare.py", *common, *vary, *where]
            found["compare.py"].append(seconds_of(*command, home=f"{logs}/home"))
            steps = first_steps(Path(logs) / "study")
        with tempfile.TemporaryDirectory() as logs:
            found["train.py"].append(
                sum(
                    seconds_of(
                        *("train.py", *common, "--position", position, "--seed", str(seed)),
                        *("--logs", logs),
                        home=f"{logs}/home",
                    )
                    for position, seed in itertools.product(POSITIONS, SEEDS)
                )
            )
    for name, seconds in found.items():
        each = ", ".join(f"{s:.0f}" for s in seconds)
        print(f"{name:12} {statistics.median(seconds):6.0f} s  ({each})")
    share = statistics.median(found["compare.py"]) / statistics.median(found["train.py"])
    print(f"compare.py takes {share:.2f} of the time of train.py")
    for seed, seconds in steps.items():
        shown = ", ".join(f"{s:.1f}" for s in sorted(seconds))
        print(f"first step of a trial with seed {seed} after {shown} s")


if __name__ == "__main__":
    main()
