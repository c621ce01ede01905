"""Learning rates over the steps of a training: what Keras's schedules lack.

The classes are saved inside `.keras` files, so their names stay as they are.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mini_transformer")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises in a straight line, and then follows another schedule.

        rate(step) = schedule(0) step / steps    below `steps`,    schedule(step - steps)    after

    Args:
        schedule: what follows: a `LearningRateSchedule` of Keras, or a number.
        steps: how many steps the rise takes, 0 or more.

    Example:

    >>> schedule = Warmup(0.1, steps=4)
    >>> [round(float(schedule(step)), 3) for step in (0, 1, 4, 9)]
    [0.0, 0.025, 0.1, 0.1]
    """

    def __init__(self, schedule, steps: int):
        super().__init__()
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = self._after(0.0) * step / max(self.steps, 1)
        return ops.where(step < self.steps, rise, self._after(ops.maximum(step - self.steps, 0)))

    def _after(self, step):
        is_number = isinstance(self.schedule, int | float)
        return ops.cast(self.schedule, "float32") if is_number else self.schedule(step)

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "steps": self.steps,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["steps"])


@keras.saving.register_keras_serializable(package="mini_transformer")
class InverseSqrtDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that falls as one over the square root of the step, and never ends.

        rate(step) = learning_rate sqrt(steps / (steps + step))

    After a `Warmup` of as many steps it is that of "Attention Is All You Need" (Vaswani et al.,
    2017, https://arxiv.org/abs/1706.03762, section 5.3), where both together are

        d_model^-0.5 min(step^-0.5, step steps^-1.5)

    with the learning rate that the paper leaves no choice of, (d_model steps)^-0.5.

    Args:
        learning_rate: the highest one, at step 0.
        steps: after how many steps it is down to sqrt(1/2) of that. At least 1.

    Raises:
        ValueError: `steps` below 1.

    Example:

    >>> schedule = Warmup(InverseSqrtDecay(0.1, steps=4), steps=4)
    >>> [round(float(schedule(step)), 3) for step in (0, 2, 4, 16, 64)]
    [0.0, 0.05, 0.1, 0.05, 0.025]
    """

    def __init__(self, learning_rate: float, steps: int):
        super().__init__()
        if steps < 1:
            raise ValueError(f"`steps` must be at least 1. Received: steps={steps}.")
        self.learning_rate = learning_rate
        self.steps = steps

    def __call__(self, step):
        return self.learning_rate * ops.sqrt(self.steps / (self.steps + ops.cast(step, "float32")))

    def get_config(self):
        return {"learning_rate": self.learning_rate, "steps": self.steps}


def make_schedule(learning_rate: float, steps: int, warmup_steps: int = 0, decay: str = "none"):
    """The learning rate of a whole training.

    Args:
        learning_rate: the highest one.
        steps: how many updates the training makes.
        warmup_steps: in how many of them the rate rises from 0. Default 0.
        decay: how it falls in the others: "cosine", to a tenth; "linear", to 0 (Bergsma et al.,
            2025, https://arxiv.org/abs/2502.15938); "inverse_sqrt", as sqrt(warmup_steps / step),
            whatever `steps` is; "none", not at all. Default "none".

    Returns:
        A number, or a `LearningRateSchedule` of Keras.

    Raises:
        ValueError: "inverse_sqrt" without a warm-up.

    Example:

    >>> schedule = make_schedule(1.0, steps=20, warmup_steps=10, decay="linear")
    >>> [round(float(schedule(step)), 2) for step in (0, 5, 10, 15, 20)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    schedules = keras.optimizers.schedules
    schedule = learning_rate
    if decay == "cosine":
        schedule = schedules.CosineDecay(learning_rate, steps - warmup_steps, alpha=0.1)
    elif decay == "linear":
        schedule = schedules.PolynomialDecay(
            learning_rate, steps - warmup_steps, end_learning_rate=0.0
        )
    elif decay == "inverse_sqrt":
        schedule = InverseSqrtDecay(learning_rate, warmup_steps)
    return Warmup(schedule, warmup_steps) if warmup_steps else schedule
