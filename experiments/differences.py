"""How far two models lie apart on one text, token by token."""

from typing import NamedTuple

import numpy as np

from experiments.comparison.statistics import mean_difference
from experiments.evaluation import Evaluation


class TextDifference(NamedTuple):
    """A model's loss less that of a reference, in nats a token, mean over the same tokens.

    Attributes:
        mean: below 0 where the model is better.
        low, high: its 95 % interval, by a bootstrap over blocks of the text. It says what another
            text of the same kind could have shown, not what another training would have given.
    """

    mean: float
    low: float
    high: float


def difference(result: Evaluation, reference: Evaluation) -> TextDifference | str:
    """The difference of two models; or in a few words why there is none.

    Both must have predicted the same tokens of the same vocabulary, for what is easier to predict
    has a lower loss. How much of the text before a token they read may differ.
    """
    tokenizers = [(type(r.tokenizer), r.tokenizer.vocabulary) for r in (result, reference)]
    if tokenizers[0] != tokenizers[1]:
        return "its tokens are others"
    if not np.array_equal(result.examples.targets, reference.examples.targets):
        is_same_text = result.score.text == reference.score.text
        return f"it predicts other tokens{' of the text' if is_same_text else ', of another text'}"
    differences = result.predictions.losses.astype("float64") - reference.predictions.losses
    if not np.isfinite(differences).all():
        return "there are losses that are no numbers"
    contexts = [r.examples.context_length for r in (result, reference)]
    # What is hard to predict stays in sight for as long as it is read.
    return TextDifference(*mean_difference(differences, block=max(500, 2 * max(contexts))))
