"""Ctrl-C that ends training in good order."""

import signal

import keras


class StopOnInterrupt(keras.callbacks.Callback):
    """Ends training after the current step when the user presses Ctrl-C.

    `fit` then returns as it does at its end: the validation is made, callbacks close their files,
    and the model can be saved. Python's own answer to Ctrl-C, an exception in the middle of
    whatever runs, may hit a callback while it writes. A second Ctrl-C does raise
    `KeyboardInterrupt`, for whoever can't wait.

    It works in the main thread only, as signals do, and restores the earlier answer to Ctrl-C
    when training ends. Put it first among the callbacks.

    Attributes:
        interrupted: whether the user pressed Ctrl-C.

    Example:

    >>> stopper = StopOnInterrupt()
    >>> history = model.fit(x, callbacks=[stopper])  # doctest: +SKIP
    """

    def __init__(self):
        super().__init__()
        self.interrupted = False

    def on_train_begin(self, logs=None):
        self.interrupted = False
        self._earlier_handler = signal.signal(signal.SIGINT, self._on_interrupt)

    def on_train_batch_end(self, batch, logs=None):
        if self.interrupted:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        signal.signal(signal.SIGINT, self._earlier_handler)

    def _on_interrupt(self, signal_number, frame):
        if self.interrupted:
            signal.signal(signal.SIGINT, self._earlier_handler)
            raise KeyboardInterrupt
        self.interrupted = True
