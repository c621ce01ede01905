"""Loss, accuracy and learning rate, for TensorBoard's scalar dashboard."""

import keras
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from callbacks.summaries import write_summaries


class EpochScalars(keras.callbacks.TensorBoard):
    """Keras's own `TensorBoard` callback, quicker where epochs take milliseconds.

    What is written is the same. An epoch's figures are written at once rather than one by one;
    and with `update_freq="epoch"` nothing is prepared after every step, where Keras's callback
    makes a summary of each figure and then drops it.

    Arguments are those of `keras.callbacks.TensorBoard`. It writes to the sub-folders `train` and
    `validation` of `log_dir`, where no other writer may write.

    Example:

    >>> history = model.fit(x, callbacks=[EpochScalars("logs/run")])  # doctest: +SKIP
    """

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, None if self.update_freq == "epoch" else logs)

    def _log_epoch_metrics(self, epoch, logs):
        figures = self._collect_learning_rate(dict(logs or {}))
        if self.write_steps_per_second:
            figures["steps_per_second"] = self._compute_steps_per_second()
        training = {k: v for k, v in figures.items() if not k.startswith("val_")}
        validation = {k[4:]: v for k, v in figures.items() if k.startswith("val_")}
        write_summaries(self._train_writer, epoch, _scalars(training))
        if validation:
            write_summaries(self._val_writer, epoch, _scalars(validation))


def _scalars(figures):
    return [scalar_pb(f"epoch_{name}", value) for name, value in figures.items()]
