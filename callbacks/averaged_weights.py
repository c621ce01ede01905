"""Weights averaged over the last steps, for evaluation and saving."""

import keras


class AveragedWeights(keras.callbacks.Callback):
    """Puts averaged weights into the model whenever it is not being trained.

    The weights of single steps jitter about; their moving average lies in the middle, where the
    loss is lower. Validation, the callbacks after this one, and whoever has the model when training
    has ended see the average; training itself goes on with the weights as they are. Put it before
    callbacks that save or watch.

    Keras's `SwapEMAWeights` is no match for a training that may end in the middle of an epoch or go
    on later: it swaps by adding and subtracting, which rounds, and loses the weights themselves at
    the end.

    The optimizer must keep the averages, as those of `optimizers` do with `use_ema=True`.

    Example:

    >>> from optimizers import Adam
    >>> model.compile(Adam(use_ema=True, ema_momentum=0.99), "mse")  # doctest: +SKIP
    >>> history = model.fit(x, callbacks=[AveragedWeights()])  # doctest: +SKIP

    Reference: Polyak and Juditsky (1992), Acceleration of Stochastic Approximation by Averaging.
    """

    def __init__(self):
        super().__init__()
        self._is_average = False  # what the model has now

    def get_state(self) -> dict:
        """What a training that goes on later needs to know."""
        return {"is_average": self._is_average}

    def set_state(self, state: dict) -> None:
        """Goes on from what `get_state` gave. Call it before `fit`."""
        self._is_average = state["is_average"]

    def on_epoch_begin(self, epoch, logs=None):
        if self._is_average:
            self._swap()

    def on_test_begin(self, logs=None):
        if not self._is_average:
            self._swap()

    def on_epoch_end(self, epoch, logs=None):
        if not self._is_average:
            self._swap()

    def _swap(self):
        averages = self.model.optimizer.averages
        for variable, average in zip(self.model.trainable_variables, averages, strict=True):
            value = keras.ops.copy(variable)
            variable.assign(average)
            average.assign(value)
        self._is_average = not self._is_average
