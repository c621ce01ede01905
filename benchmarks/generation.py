"""How fast a model generates: tokens a second, and the time of a token early and late in a text.

    python benchmarks/generation.py [--rounds 5]

One prompt of one character, 500 new ones, with keys and values kept. The model has GPT-2's
architecture with 4 layers of width 128 and a context of 512; speed does not depend on what it has
learned, so it has learned nothing. Compiling is not counted.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cli

NEW_TOKENS = 500
TOKENS_AT_A_TIME = 50


def make_model():
    """An untrained model of 65 characters."""
    from data.tokenizer import CharTokenizer
    from models import DecoderLanguageModel

    return DecoderLanguageModel(
        CharTokenizer(map(chr, range(32, 97))),
        context_length=512,
        d_model=128,
        num_heads=4,
        num_layers=4,
        dff=512,
        dropout=0.0,
        position="learned",
        norm_placement="pre",
        activation="gelu",
    )


def tokens_per_second(model, rounds: int) -> list[float]:
    """The speed of `generate`, prompt and all, in each round."""
    model.generate("A", NEW_TOKENS)  # compiles
    speeds = []
    for seed in range(rounds):
        begin = time.perf_counter()
        model.generate("A", NEW_TOKENS, seed=seed)
        speeds.append(NEW_TOKENS / (time.perf_counter() - begin))
    return speeds


def milliseconds_early_and_late(model, rounds: int) -> tuple[float, float]:
    """The time of a token at positions 50 to 100 and at positions 450 to 500.

    Of each the fastest round, for whatever else the machine does hits one or the other.
    """
    times = []  # of each piece, in each round
    for seed in range(rounds):
        times.append([])
        begin = time.perf_counter()
        for _ in model.stream("A", NEW_TOKENS, seed=seed, tokens_at_a_time=TOKENS_AT_A_TIME):
            end = time.perf_counter()
            times[-1].append(1000 * (end - begin) / TOKENS_AT_A_TIME)
            begin = end
    fastest = [min(piece) for piece in zip(*times, strict=True)]
    return fastest[1], fastest[-1]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind (5)")
    rounds = parser.parse_args().rounds

    cli.import_keras()
    model = make_model()
    speeds = tokens_per_second(model, rounds)
    early, late = milliseconds_early_and_late(model, rounds)
    print(
        f"tokens a second        {statistics.median(speeds):8,.0f}  "
        f"({min(speeds):,.0f} to {max(speeds):,.0f})"
    )
    print(f"ms a token, early      {early:8.3f}")
    print(f"ms a token, late       {late:8.3f}  ({late / early:.2f} times)")


if __name__ == "__main__":
    main()
