"""Where the time of a whole training goes, beside the same training in plain PyTorch.

    pip install -r benchmarks/requirements.txt
    python benchmarks/whole_run.py shakespeare.txt [--rounds 3]

Whole commands in turns, from the start of the process to its end: `train.py` with two presets of
2,000 steps, `plain_pytorch.py`, and `import keras`. Printed are medians. A round before them is not
counted: what is kept on disk for the next time is there then, as it is for a user.

The first step counts from the start of the process to its end; "a step" is the median of the
others, and "steps" is all of the loop that is neither evaluation nor callback. "To 1.8857" is the
best preset up to the evaluation that finds it as good as nanoGPT after all its steps.
"""

import argparse
import json
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
CLASSIC, BEST = "gpt2-classic-char", "shakespeare-char-cpu"
PYTORCH, IMPORT, SOON = "plain PyTorch", "import keras", "to 1.8857"
LOSS = 1.8857
HOOKS = "train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "epoch_end"


def watched(until: float, argv: list[str]) -> None:
    """Runs `train.py`, and prints as JSON when and for how long its parts were at work.

    Args:
        until: the process ends at once when an evaluation gives this loss.
        argv: flags of `train.py`.
    """
    sys.path.insert(0, str(PROJECT))
    from experiments import cli

    import_keras = cli.import_keras
    found = defaultdict(float, steps=[], losses=[])

    def timed(hook):
        def run(*arguments, **named):
            begin = time.perf_counter()
            hook(*arguments, **named)
            found["callbacks"] += time.perf_counter() - begin

        return run

    def import_and_instrument(*arguments):
        import_keras(*arguments)
        import keras

        class Clock(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                self.begin = time.perf_counter()

            def on_train_batch_end(self, batch, logs=None):
                found["steps"].append(time.perf_counter() - self.begin)
                found["first_step"] = found["first_step"] or time.time()

            def on_test_begin(self, logs=None):
                self.begin = time.perf_counter()

            def on_test_end(self, logs=None):
                found["evaluations"] += time.perf_counter() - self.begin
                found["losses"].append((time.time(), logs["loss"]))
                if logs["loss"] <= until:
                    sys.exit()

            def on_train_end(self, logs=None):
                found["end"] = time.time()

        make = keras.callbacks.CallbackList.__init__

        def instrument(self, callbacks=None, **named):
            if isinstance(callbacks, list):  # those of `fit`
                for callback in callbacks:
                    for name in (f"on_{hook}" for hook in HOOKS):
                        setattr(callback, name, timed(getattr(callback, name)))
                callbacks = [Clock(), *callbacks]
            make(self, callbacks, **named)

        keras.callbacks.CallbackList.__init__ = instrument

    cli.import_keras = import_and_instrument
    sys.argv = ["train.py", *argv]
    try:
        runpy.run_path(str(PROJECT / "train.py"), run_name="__main__")
    finally:
        print(json.dumps(found))


def measure(kind: str, corpus: str, folder: str) -> dict[str, float]:
    """Runs a kind once; gives seconds by part, "a step" and "all" among them."""
    preset = [*("--preset", BEST if kind == SOON else kind), "--corpus", corpus, "--logs", folder]
    until = str(LOSS if kind == SOON else 0)
    here = Path(__file__).resolve()
    command = {
        PYTORCH: [here.parent / "plain_pytorch.py", corpus],
        IMPORT: ["-c", "import keras"],
    }.get(kind, [here, "--watched", until, *preset])
    begin = time.time()
    output = subprocess.run(
        [sys.executable, *command], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    seconds = {"all": time.time() - begin}
    if kind == IMPORT:
        return seconds
    found = json.loads(output.splitlines()[-1])
    if kind == SOON:
        return {"all": found["losses"][-1][0] - begin}
    seconds["first step"] = found["first_step"] - begin
    seconds["evaluations"] = found["evaluations"]
    seconds["callbacks"] = found.get("callbacks", 0.0)
    seconds["end"] = begin + seconds["all"] - found["end"]
    others = ("first step", "evaluations", "callbacks", "end")
    seconds["steps"] = seconds["all"] - sum(seconds[part] for part in others)
    seconds["a step"] = statistics.median(found["steps"][1:])
    seconds["loss"] = found["losses"][-1][1]
    return seconds


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="the text, such as Shakespeare's works")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind (3)")
    flags = parser.parse_args()
    corpus = str(Path(flags.corpus).absolute())
    rows = {kind: [] for kind in (IMPORT, PYTORCH, CLASSIC, BEST, SOON)}
    for number in range(flags.rounds + 1):
        for kind, found in rows.items():
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(kind, corpus, folder))
            print(f"round {number}: {kind} {found[-1]}", file=sys.stderr)
    medians = {
        kind: {part: statistics.median(row[part] for row in found[1:]) for part in found[0]}
        for kind, found in rows.items()
    }
    theirs, start = medians[PYTORCH], medians[IMPORT]["all"]
    parts = "all", "first step", "steps", "evaluations", "callbacks", "end"
    print(" ".join(["seconds", " " * 16, *(f"{part:>11}" for part in parts), "  a step    loss"]))
    for kind in (PYTORCH, CLASSIC, BEST):
        row = medians[kind]
        figures = " ".join(f"{row[part]:11.1f}" for part in parts)
        print(f"{kind:24} {figures} {1000 * row['a step']:5.1f} ms  {row['loss']:.4f}")
    print(f"{IMPORT:24} {start:11.1f}")
    for kind in (CLASSIC, BEST, SOON):
        print(f"{kind} / {PYTORCH}: {medians[kind]['all'] / theirs['all']:.2f}")
    for kind in (CLASSIC, BEST):
        first = medians[kind]["first step"] / start
        print(f"{kind}, first step / {IMPORT}: {first:.2f}")
        print(f"{kind}, a step / {PYTORCH}: {medians[kind]['a step'] / theirs['a step']:.2f}")


if __name__ == "__main__":
    watched(float(sys.argv[2]), sys.argv[3:]) if sys.argv[1:2] == ["--watched"] else main()
