"""Known results that a command finds again: `compare.py --reproduce NAME`.

Each is a study like any other, written down as the flags that a user would type, and a judge.

Importing this module does not import Keras.
"""

import dataclasses
from collections.abc import Callable

from experiments.comparison.judges import (
    Trials,
    Verdict,
    judge_induction,
    judge_long,
    judge_positions,
    judge_sort,
    judge_toy,
)


@dataclasses.dataclass(frozen=True)
class KnownResult:
    """A finding of others, and how to find it again.

    Attributes:
        name: what `--reproduce` calls it.
        source: who found it, and where.
        expected: what is to be found, in a sentence.
        flags: the study, as it would be typed after `python compare.py`.
        judge: what looks at its trials, when all of them have come to their end.
    """

    name: str
    source: str
    expected: str
    flags: tuple[str, ...]
    judge: Callable[[Trials], Verdict]


_RESULTS = (
    KnownResult(
        name="toy",
        source="this project's README: the exact conditional entropy of six sentences, 3 ln 3 / 16",
        expected="the loss comes down to its floor of 0.2060 nats, with 87.5% right",
        flags=("--corpus", "toy", "--seeds", "2"),
        judge=judge_toy,
    ),
    KnownResult(
        name="sort",
        source="Karpathy (2022), minGPT, demo.ipynb, https://github.com/karpathy/minGPT",
        expected="three layers, three heads and a width of 48 sort every one of 5,000 unseen "
        "sequences of six digits",
        flags=(
            *("--corpus", "sort", "--model", "decoder", "--context-length", "12"),
            *("--num-layers", "3", "--num-heads", "3", "--d-model", "48", "--dff", "192"),
            *("--position", "learned", "--norm-placement", "pre", "--activation", "gelu"),
            *("--dropout", "0.1", "--optimizer", "adamw", "--weight-decay", "0.1"),
            *("--clip-norm", "1", "--learning-rate", "1e-3", "--batch-size", "64"),
            *("--validation-split", "0.25", "--steps", "800", "--seeds", "2"),
        ),
        judge=judge_sort,
    ),
    KnownResult(
        name="induction",
        source="Olsson et al. (2022), In-context Learning and Induction Heads, "
        "https://arxiv.org/abs/2209.11895",
        expected="two layers of attention alone foresee repeated random tokens; one layer can't",
        flags=(
            *("--corpus", "induction", "--model", "decoder", "--context-length", "64"),
            # With rotary positions one layer finds another way in the end, since the tokens of a
            # period differ: the next one is the one that was not seen for longest.
            *("--dff", "0", "--num-heads", "4", "--d-model", "64", "--position", "learned"),
            *("--norm-placement", "pre", "--dropout", "0", "--learning-rate", "3e-3"),
            *("--batch-size", "32", "--validation-split", "0.05", "--steps", "600"),
            *("--vary", "num_layers=1,2", "--seeds", "2"),
        ),
        judge=judge_induction,
    ),
    KnownResult(
        name="positions",
        source="Vaswani et al. (2017), section 3.5, https://arxiv.org/abs/1706.03762: without "
        "recurrence and convolution the order of a sequence is not seen",
        expected="without positions an encoder can't tell 'a b c' from 'b a c' when c asks; with "
        "each encoding it can",
        flags=(
            *("--corpus", "positions", "--model", "encoder", "--context-length", "6"),
            *("--num-layers", "2", "--num-heads", "4", "--d-model", "32", "--dff", "64"),
            *("--norm-placement", "pre", "--dropout", "0", "--learning-rate", "4e-3"),
            *("--batch-size", "64", "--validation-split", "0.2", "--steps", "1000"),
            *("--vary", "position=none,sinusoidal,learned,rotary,alibi", "--seeds", "1"),
        ),
        judge=judge_positions,
    ),
    KnownResult(
        name="long",
        source="Press et al. (2022), Train Short, Test Long, https://arxiv.org/abs/2108.12409",
        expected="trained on 64 tokens, ALiBi holds in a context of 256; rotary and sinusoids "
        "break, in this order",
        flags=(
            *("--corpus", "babble", "--tokenizer", "char", "--model", "decoder"),
            *("--context-length", "256", "--train-length", "64", "--num-layers", "2"),
            *("--num-heads", "4", "--d-model", "64", "--dff", "256", "--activation", "gelu"),
            *("--norm-placement", "pre", "--dropout", "0", "--optimizer", "adamw"),
            *("--learning-rate", "3e-3", "--warmup-steps", "25", "--decay", "cosine"),
            *("--clip-norm", "1", "--batch-size", "16", "--validation-split", "0.1"),
            *("--steps", "500", "--vary", "position=alibi,rotary,sinusoidal", "--seeds", "1"),
        ),
        judge=judge_long,
    ),
)
KNOWN_RESULTS = {result.name: result for result in _RESULTS}
