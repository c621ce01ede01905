"""Loss, accuracy and learning rate, for TensorBoard's scalar dashboard."""

import keras


class EpochScalars(keras.callbacks.TensorBoard):
    """Keras's own `TensorBoard` callback, quick when only whole epochs are written.

    With `update_freq="epoch"` Keras's callback still prepares a summary of every figure after
    every step, and then drops it. On a tiny job that takes as long as all that it writes.

    Arguments are those of `keras.callbacks.TensorBoard`. It writes to the sub-folders `train` and
    `validation` of `log_dir`, where no other writer may write.

    Example:

    >>> history = model.fit(x, callbacks=[EpochScalars("logs/run")])  # doctest: +SKIP
    """

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, None if self.update_freq == "epoch" else logs)
