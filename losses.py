"""The cross-entropy of a language model, over the tokens that count."""

import keras
from keras import ops


def token_weights(targets, weights=None, padding_id: int = 0):
    """How much each target counts: its weight, and nothing where the target is padding.

    Args:
        targets: integers, (B, T).
        weights: numbers, (B, T), or (B,) for one weight a row; 0 for what does not count. Default
            None: 1 everywhere.
        padding_id: the target that never counts. Default 0.

    Returns:
        float32, (B, T).

    Example:

    >>> ops.convert_to_numpy(token_weights(np.array([[3, 4, 0]]), np.array([[0, 1, 1]]))).tolist()
    [[0.0, 1.0, 0.0]]
    """
    counted = ops.cast(ops.not_equal(targets, padding_id), "float32")
    if weights is None:
        return counted
    weights = ops.cast(weights, "float32")
    return counted * (weights[:, None] if len(weights.shape) == 1 else weights)


@keras.saving.register_keras_serializable(package="mini_transformer")
class MaskedCrossentropy(keras.losses.Loss):
    """The mean over the counted tokens of -log p(target), in nats.

        loss = - sum_t w_t log softmax(logits_t)[target_t] / sum_t w_t

    A token counts by its weight (`sample_weight`, 1 where none is given); padding never counts.
    Dividing by the sum of the weights, not by the size of the batch, makes the loss the same
    however much padding the batch holds.

    With `label_smoothing` eps the target is right by 1 - eps only, and eps is spread evenly over
    all V tokens, the target among them. The model learns to be less sure, which costs perplexity
    and may win accuracy (Szegedy et al., 2016, https://arxiv.org/abs/1512.00567; Vaswani et al.,
    2017, https://arxiv.org/abs/1706.03762, section 5.4):

        loss_t = - sum_v q_v log softmax(logits_t)[v],    q = (1 - eps) onehot(target_t) + eps / V

    Such a loss is for training. It is above 0 even at its best, so models are compared without it:
    the metrics never smooth.

    Args:
        padding_id: the target that never counts. Default 0.
        label_smoothing: eps, at least 0 and below 1. Default 0.
        name: Keras's name for the loss. Default "masked_crossentropy".
        reduction: how Keras brings tokens to one number. Default "mean_with_sample_weight", the
            mean above.
        dtype: what it is computed in. Default "float32", under every dtype policy.

    Call arguments:
        y_true: target ids, integers, (B, T).
        y_pred: logits, (B, T, V).
        sample_weight: numbers, (B, T) or (B,). Default None.

    Returns:
        A float32 scalar; 0 when nothing counts.

    Raises:
        ValueError: `label_smoothing` below 0, or 1 and more.

    Example:

    >>> loss = MaskedCrossentropy()
    >>> targets, logits = np.array([[2, 0]]), np.zeros((1, 2, 4))
    >>> round(float(loss(targets, logits)), 4)  # log 4; the padding is left out
    1.3863
    >>> smoothed = MaskedCrossentropy(label_smoothing=0.1)
    >>> logits[0, 0, 2] = 100  # right, but too sure
    >>> float(loss(targets, logits)), round(float(smoothed(targets, logits)), 4)
    (0.0, 7.5)
    """

    def __init__(
        self,
        padding_id: int = 0,
        label_smoothing: float = 0.0,
        name: str = "masked_crossentropy",
        reduction: str = "mean_with_sample_weight",
        dtype="float32",
    ):
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                "`label_smoothing` must be at least 0 and below 1. "
                f"Received: label_smoothing={label_smoothing!r}."
            )
        # Keras casts targets to the loss's dtype too, and half precision would round large ids.
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.padding_id = padding_id
        self.label_smoothing = label_smoothing

    def __call__(self, y_true, y_pred, sample_weight=None):
        sample_weight = token_weights(y_true, sample_weight, self.padding_id)
        return super().__call__(y_true, y_pred, sample_weight=sample_weight)

    def call(self, y_true, y_pred):
        logits = ops.cast(y_pred, "float32")  # (B, T, V)
        targets = ops.cast(y_true, "int32")[..., None]  # (B, T, 1)
        target_logits = ops.take_along_axis(logits, targets, axis=-1)[..., 0]  # (B, T)
        if self.label_smoothing:
            mean_logits = ops.mean(logits, axis=-1)  # (B, T)
            target_logits = target_logits + self.label_smoothing * (mean_logits - target_logits)
        return ops.logsumexp(logits, axis=-1) - target_logits  # (B, T)

    def get_config(self):
        return {
            **super().get_config(),
            "padding_id": self.padding_id,
            "label_smoothing": self.label_smoothing,
        }
