"""Ctrl-C, or a request to terminate, that ends training in good order."""

import signal

import keras


class StopOnInterrupt(keras.callbacks.Callback):
    """Ends training after the current step at Ctrl-C, or when the system asks it to end.

    The system asks with SIGTERM, as when a container is stopped or a machine is taken back. `fit`
    then returns as it does at its end: the validation is made, callbacks close their files, and
    the model can be saved. Python's own answers, an exception in the middle of whatever runs or an
    end without a word, may hit a callback while it writes. A second signal gets the answer that it
    had before training, for whoever can't wait: `KeyboardInterrupt`, or an end at once.

    It works in the main thread only, as signals do, and restores the earlier answers when training
    ends. Put it first among the callbacks.

    Attributes:
        stopped_by: `signal.SIGINT` for Ctrl-C, or `signal.SIGTERM`; None while there was neither.

    Example:

    >>> stopper = StopOnInterrupt()
    >>> history = model.fit(x, callbacks=[stopper])  # doctest: +SKIP
    """

    def __init__(self):
        super().__init__()
        self.stopped_by = None

    def on_train_begin(self, logs=None):
        self.stopped_by = None
        self._earlier_handlers = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def on_train_batch_end(self, batch, logs=None):
        if self.stopped_by is not None:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        for number, handler in self._earlier_handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number, frame):
        if self.stopped_by is not None:
            self.on_train_end()
            signal.raise_signal(number)
        self.stopped_by = signal.Signals(number)
