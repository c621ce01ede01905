"""A training of a number of steps."""

import keras
import numpy as np
import pytest

from callbacks import StopAtStep


@pytest.mark.parametrize(
    ("steps", "done", "epochs"), [(None, 12, 4), (7, 7, 3), (6, 6, 2), (1, 1, 1), (99, 12, 4)]
)
def test_it_ends_after_the_step_and_closes_the_epoch(steps, done, epochs):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((6, 1))
    for _ in range(2):  # it counts the steps of this training
        before = int(model.optimizer.iterations)
        history = model.fit(
            x, x, batch_size=2, epochs=4, validation_data=(x, x), verbose=0,
            callbacks=[StopAtStep(steps)],
        )  # fmt: skip
        assert int(model.optimizer.iterations) - before == done
        assert len(history.history["val_loss"]) == epochs
