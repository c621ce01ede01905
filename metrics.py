"""What is reported of a language model: means over the tokens that count.

Keras adds up a metric's batches by the weights it is given, so these figures are the same
whatever the batch size and however much padding. Tokens are handed over in one row: of a (B, T)
array Keras's `Mean` would take the mean of each row first, by T, and a token in a batch of short
rows would weigh more than one in a batch of long ones. Pass them as `weighted_metrics`:

    model.compile(
        optimizer="adam",
        loss=MaskedCrossentropy(),
        weighted_metrics=[MeanCrossentropy(), MaskedAccuracy(), Perplexity()],
    )
"""

import keras
from keras import ops

from losses import MaskedCrossentropy, token_weights


def target_ranks(targets, logits):
    """How many tokens have a higher logit than the target; 0 is best.

    Of equal logits the first goes ahead.

    Args:
        targets: ids, integers, (B, T).
        logits: (B, T, V).

    Returns:
        int32, (B, T).

    Example:

    >>> logits = np.array([[[0, 5.0, 9.0], [3.0, 3.0, 3.0]]])
    >>> ops.convert_to_numpy(target_ranks(np.array([[1, 2]]), logits)).tolist()
    [[1, 2]]
    """
    targets = ops.cast(targets, "int32")[..., None]  # (B, T, 1)
    logits = ops.cast(logits, "float32")  # (B, T, V)
    target_logits = ops.take_along_axis(logits, targets, axis=-1)  # (B, T, 1)
    # "Not less" rather than "more", so that a model whose logits are not numbers any more is never
    # right.
    ahead = ops.where(
        ops.arange(logits.shape[-1]) < targets,
        ops.logical_not(logits < target_logits),
        ops.logical_not(logits <= target_logits),
    )  # (B, T, V)
    return ops.sum(ops.cast(ahead, "int32"), axis=-1)


@keras.saving.register_keras_serializable(package="mini_transformer")
class MeanCrossentropy(keras.metrics.Mean):
    """The mean cross-entropy of all counted tokens, in nats.

    It is named "loss" and takes the place of Keras's own "loss" in the logs: that one is a mean
    of the batches' losses, each weighed by its number of rows, so it changes with the batch size
    whenever rows hold different numbers of tokens. Keras lets the later metric of a name win.

    Args:
        name: key in the logs. Default "loss".
        padding_id: the target that never counts. Default 0.

    Call arguments of `update_state`:
        y_true: target ids, integers, (B, T).
        y_pred: logits, (B, T, V).
        sample_weight: numbers, (B, T) or (B,), 0 for what does not count. Default None.

    Example:

    >>> metric = MeanCrossentropy()
    >>> metric.update_state(np.array([[2, 0]]), np.zeros((1, 2, 4)))
    >>> round(float(metric.result()), 4)
    1.3863
    """

    def __init__(self, name: str = "loss", padding_id: int = 0, **kwargs):
        super().__init__(name=name, **kwargs)
        self.padding_id = padding_id

    def update_state(self, y_true, y_pred, sample_weight=None):
        weights = token_weights(y_true, sample_weight, self.padding_id)
        losses = MaskedCrossentropy().call(y_true, y_pred)
        return super().update_state(ops.ravel(losses), ops.ravel(weights))

    def get_config(self):
        return {**super().get_config(), "padding_id": self.padding_id}


@keras.saving.register_keras_serializable(package="mini_transformer")
class Perplexity(MeanCrossentropy):
    """exp of the mean cross-entropy: among how many equally likely tokens the model wavers.

    1 is certainty; a model that knows nothing has a perplexity of V. Arguments are those of
    `MeanCrossentropy`.

    Example:

    >>> metric = Perplexity()
    >>> metric.update_state(np.array([[2, 0]]), np.zeros((1, 2, 4)))
    >>> round(float(metric.result()), 4)
    4.0
    """

    def __init__(self, name: str = "perplexity", **kwargs):
        super().__init__(name=name, **kwargs)

    def result(self):
        return ops.exp(super().result())


@keras.saving.register_keras_serializable(package="mini_transformer")
class MaskedAccuracy(keras.metrics.Mean):
    """The share of the counted tokens whose target is among the k most likely predictions.

    Args:
        k: how many predictions are looked at. A positive integer, default 1.
        name: key in the logs. Default "accuracy", or "top5_accuracy" for k = 5 and so on.
        padding_id: the target that never counts. Default 0.

    Call arguments of `update_state`: those of `MeanCrossentropy`.

    Raises:
        ValueError: k below 1.

    Example:

    >>> metric = MaskedAccuracy()
    >>> logits = np.array([[[0, 0, 9.0], [0, 9.0, 0]]])
    >>> metric.update_state(np.array([[2, 2]]), logits)
    >>> float(metric.result())
    0.5
    """

    def __init__(self, k: int = 1, name: str | None = None, padding_id: int = 0, **kwargs):
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"`k` must be a positive integer. Received: k={k!r}.")
        super().__init__(name=name or ("accuracy" if k == 1 else f"top{k}_accuracy"), **kwargs)
        self.k = k
        self.padding_id = padding_id

    def update_state(self, y_true, y_pred, sample_weight=None):
        is_right = ops.cast(target_ranks(y_true, y_pred) < self.k, "float32")  # (B, T)
        weights = token_weights(y_true, sample_weight, self.padding_id)
        return super().update_state(ops.ravel(is_right), ops.ravel(weights))

    def get_config(self):
        return {**super().get_config(), "k": self.k, "padding_id": self.padding_id}
