"""Studies whose trials were never trained: their files are written as a training would."""

import json
import math

from experiments.comparison.study import Study


def finish(trial, loss, steps=40, parameters=1000, seconds=8.0, best_possible=None):
    """Writes the files of a finished trial, with a loss that falls to `loss`."""
    trial.folder.mkdir(parents=True)
    figures = {"loss": loss, "accuracy": 0.5, "perplexity": math.exp(loss)}
    results = {"best.keras": figures, "last.keras": figures}
    if best_possible is not None:
        results["best possible"] = {"loss": best_possible}
    shares = (0.25, 0.5, 0.75, 1.0)
    training = {
        "parameters": parameters,
        "threads": 1,
        "steps": steps,
        "tokens_a_step": 16,
        "seconds": seconds,
        "timed_steps": steps - 1,
        "evaluations": {
            "steps": [int(steps * share) for share in shares],
            "seconds": [seconds * share for share in shares],
            "losses": [loss + 1 - share for share in shares],
        },
    }
    (trial.folder / "results.json").write_text(json.dumps(results))
    (trial.folder / "training.json").write_text(json.dumps(training))
    (trial.folder / "best.keras").write_bytes(b"x" * 2_500_000)


def made_up_study(folder, losses, flags=("--steps", "40"), **of_trials):
    """A study of positions whose trials came to these losses, by position and seed.

    A loss of None: not trained. A text: why it failed.
    """
    seeds = sorted(set().union(*losses.values()))
    study = Study(folder, flags, {"position": list(losses)}, seeds)
    for trial in study.trials():
        loss = losses[trial.variant.removeprefix("position=")].get(trial.seed)
        if isinstance(loss, str):
            study.failures[trial.folder.name] = loss
        elif loss is not None:
            finish(trial, loss, **of_trials)
    return study
