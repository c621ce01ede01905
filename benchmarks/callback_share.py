"""What watching costs: the callbacks' share of the time of a training.

    python benchmarks/callback_share.py shakespeare.txt [--preset shakespeare-char-cpu]

A training with all callbacks at their default cadence, in which the time spent inside each one is
added up. Validation is no callback's.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from experiments import cli

HOOKS = [
    *("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_test_begin"),
    *("on_test_end", "on_train_batch_begin", "on_train_batch_end", "on_test_batch_end"),
]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="the text to train on")
    parser.add_argument("--preset", default="shakespeare-char-cpu", help="what to train")
    parser.add_argument("--steps", default="1000", help="for how many steps (1000)")
    flags = parser.parse_args()
    cli.import_keras()
    import keras

    from data.corpora import load_corpus
    from experiments import preparation, training
    from experiments.flags import parse_settings

    seconds = defaultdict(float)

    def timed(name, hook):
        def run(*arguments, **named):
            begin = time.perf_counter()
            hook(*arguments, **named)
            seconds[name] += time.perf_counter() - begin

        return run

    argv = ["--preset", flags.preset, "--corpus", flags.corpus, "--steps", flags.steps]
    settings, _ = parse_settings(argv)
    corpus = load_corpus(settings.corpus)
    data = preparation.prepare_data(settings, corpus)
    model = training.build_model(settings, corpus, data)
    make = keras.callbacks.CallbackList.__init__

    def instrument(self, callbacks=None, **named):
        for callback in callbacks or []:
            for hook in HOOKS:
                setattr(callback, hook, timed(type(callback).__name__, getattr(callback, hook)))
        make(self, callbacks, **named)

    keras.callbacks.CallbackList.__init__ = instrument
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        training.fit(settings, data, model, Path(folder))
        total = time.perf_counter() - begin
    for name, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{name:20} {value:6.2f} s  {value / total:6.2%}")
    print(f"all callbacks        {sum(seconds.values()):6.2f} s of {total:.1f} s, "
          f"{sum(seconds.values()) / total:.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
