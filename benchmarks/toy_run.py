"""How long the whole toy job takes, beside `import keras`, and what watching it costs.

    python benchmarks/toy_run.py [--rounds 3]

Every measurement is a new process, and the kinds take turns, so that a busy moment of the machine
meets them all. Printed are medians.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

# `fit` of the toy job alone or with every callback; prints the seconds that it takes.
FIT = """
import sys, tempfile, time
from pathlib import Path
sys.path.insert(0, {project!r})
from experiments import cli
cli.import_keras(threads={threads})
from experiments import preparation
from experiments import training
from data.corpora import load_corpus
from experiments.settings import Settings
settings, corpus = Settings(), load_corpus("toy")
data = preparation.prepare_data(settings, corpus)
model = training.build_model(settings, corpus, data)
batches = data.training.training_batches(settings.batch_size, settings.seed)
evaluation_data = training.evaluation_batches(settings, data)
training.console.quiet = True
with tempfile.TemporaryDirectory() as folder:
    watchers = []
    if {watched}:
        watchers = training.make_callbacks(settings, data, Path(folder), evaluation_data)
    begin = time.perf_counter()
    model.fit(batches, steps_per_epoch=2, epochs=settings.epochs, callbacks=watchers,
              shuffle=False, verbose=0)
    print(time.perf_counter() - begin)
"""


def seconds_of(*command: str) -> float:
    """Wall-clock time of a command, from its start to its end."""
    begin = time.perf_counter()
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    return time.perf_counter() - begin


def fit_seconds(watched: bool, threads: int | None) -> float:
    """Time of `model.fit` alone, as the process itself measures it."""
    code = FIT.format(project=str(PROJECT), watched=watched, threads=threads)
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return float(result.stdout)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind (3)")
    rounds = parser.parse_args().rounds

    with tempfile.TemporaryDirectory() as logs:
        kinds = {
            "import keras": lambda: seconds_of(sys.executable, "-c", "import keras"),
            "train.py": lambda: seconds_of(sys.executable, "train.py", "--logs", logs),
            "bare fit": lambda: fit_seconds(watched=False, threads=1),
            "watched fit": lambda: fit_seconds(watched=True, threads=1),
            "bare fit, TensorFlow's default threads": lambda: fit_seconds(False, None),
        }
        times = {kind: [] for kind in kinds}
        for number in range(rounds):
            for kind, measure in kinds.items():
                times[kind].append(measure())
                print(f"round {number + 1}: {kind} {times[kind][-1]:.2f} s", file=sys.stderr)

    medians = {kind: statistics.median(values) for kind, values in times.items()}
    for kind, values in times.items():
        print(f"{kind:40} {medians[kind]:6.2f} s  ({min(values):.2f} to {max(values):.2f})")
    print(f"train.py / import keras      {medians['train.py'] / medians['import keras']:.2f}")
    print(f"watched fit / bare fit       {medians['watched fit'] / medians['bare fit']:.2f}")
    default = medians["bare fit, TensorFlow's default threads"]
    print(f"watched fit / default fit    {medians['watched fit'] / default:.2f}")


if __name__ == "__main__":
    main()
