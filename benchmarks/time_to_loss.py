"""How soon the best preset is as good as the classic one is after all its steps.

    python benchmarks/time_to_loss.py shakespeare.txt [--loss 1.8857] [--rounds 3]

Both are real runs of `train.py`, taking turns. Time counts from the start of the process, with
imports, compilation and validation; it is read from TensorBoard's event files, at the validation
that reaches the loss and at the last one. The loss by default is that of the best known minimal
PyTorch trainer with the classic architecture, after the same 2,000 steps of 12 x 64 characters.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

PROJECT = Path(__file__).resolve().parent.parent
CLASSIC, BEST = "gpt2-classic-char", "shakespeare-char-cpu"


def validations(corpus: str, preset: str, seed: int) -> list[tuple[int, float, float]]:
    """Trains; gives (step, seconds since the start, validation loss) of each validation."""
    with tempfile.TemporaryDirectory() as logs:
        begin = time.time()
        subprocess.run(
            [sys.executable, "train.py", "--preset", preset, "--corpus", Path(corpus).absolute()]
            + ["--logs", logs, "--run-name", "run", "--seed", str(seed), "--eval-every", "100"],
            cwd=PROJECT,
            check=True,
            capture_output=True,
        )
        folder = str(Path(logs) / "run" / "validation")
        events = EventAccumulator(folder, size_guidance={TENSORS: 0}).Reload()
        return [
            (event.step, event.wall_time - begin, make_ndarray(event.tensor_proto).item())
            for event in events.Tensors("evaluation_loss_vs_iterations")
        ]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="the text, such as Shakespeare's works")
    parser.add_argument("--loss", type=float, default=1.8857, help="the loss to reach (1.8857)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each preset (3)")
    flags = parser.parse_args()

    seconds = {CLASSIC: [], BEST: []}
    losses = {CLASSIC: [], BEST: []}
    for seed in range(flags.rounds):
        for preset in seconds:
            curve = validations(flags.corpus, preset, seed)
            reached = next(((s, t) for s, t, loss in curve if loss <= flags.loss), None)
            step, last_second, last_loss = curve[-1]
            losses[preset].append(last_loss)
            seconds[preset].append(last_second if preset == CLASSIC else reached[1])
            print(
                f"{preset} seed {seed}: loss {last_loss:.4f} at step {step}, {last_second:.1f} s; "
                f"{flags.loss} reached at {reached}",
                file=sys.stderr,
            )
    for preset in seconds:
        print(
            f"{preset:22} last loss: mean {statistics.mean(losses[preset]):.4f} of "
            f"{', '.join(f'{loss:.4f}' for loss in losses[preset])}"
        )
    classic, best = (statistics.median(seconds[preset]) for preset in (CLASSIC, BEST))
    print(f"{CLASSIC}: {classic:.1f} s for all its steps")
    print(f"{BEST}: {best:.1f} s to a loss of {flags.loss}, {best / classic:.2f} of that")


if __name__ == "__main__":
    main()
