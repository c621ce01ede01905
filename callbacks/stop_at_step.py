"""Training for a number of steps that is no whole number of epochs."""

import keras


class StopAtStep(keras.callbacks.Callback):
    """Ends training after so many steps of this `fit`, also in the middle of an epoch.

    The epoch is closed as any other: the validation is made, and callbacks see its end.

    Args:
        steps: the number of steps; None for no end of its own.

    Example:

    >>> history = model.fit(x, epochs=9, callbacks=[StopAtStep(100)])  # doctest: +SKIP
    """

    def __init__(self, steps: int | None):
        super().__init__()
        self.steps = steps

    def on_train_begin(self, logs=None):
        self._done = 0

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        if self._done == self.steps:
            self.model.stop_training = True
