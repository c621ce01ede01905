"""An end to a training whose loss is no number any more."""

import math

import keras
import numpy as np


class StopOnDivergence(keras.callbacks.Callback):
    """Ends training at the first step after which loss or weights are not finite.

    Nothing comes back from there: a weight that is NaN spoils every prediction, and each update
    spreads it. The loss is looked at after every step, the weights at the end. Put it first among
    the callbacks.

    Attributes:
        diverged_at: how many steps this `fit` had made then; None while all is well.

    Example:

    >>> stopper = StopOnDivergence()
    >>> history = model.fit(x, callbacks=[stopper])  # doctest: +SKIP
    """

    def __init__(self):
        super().__init__()
        self.diverged_at = None

    def on_train_begin(self, logs=None):
        self.diverged_at = None
        self._steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self._stop()

    def on_train_end(self, logs=None):
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            self._stop()

    def _stop(self):
        if self.diverged_at is None:
            self.diverged_at = self._steps
        self.model.stop_training = True
