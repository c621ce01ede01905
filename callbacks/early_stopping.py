"""An end to a training that no longer helps."""

import keras


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's `EarlyStopping`, which can go on in another process where it was.

    Keras's own begins to count anew whenever `fit` does. Arguments are those of
    `keras.callbacks.EarlyStopping`.

    Example:

    >>> callback = EarlyStopping(monitor="val_loss", patience=5)
    >>> history = model.fit(x, validation_data=y, callbacks=[callback])  # doctest: +SKIP
    """

    _state = None

    def get_state(self) -> dict:
        """What a training that goes on later needs to know."""
        return {"wait": self.wait, "best": None if self.best is None else float(self.best)}

    def set_state(self, state: dict) -> None:
        """Goes on from what `get_state` gave. Call it before `fit`."""
        self._state = state
        self.wait = state["wait"]

    @property
    def has_stopped(self) -> bool:
        """Whether it has ended the training."""
        return self.wait >= self.patience

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self._state is not None:
            self.wait, self.best = self._state["wait"], self._state["best"]
