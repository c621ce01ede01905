"""Training on several devices: how batches and weights are laid out among them.

Keras does it (`keras.distribution`), on JAX alone. The batch of a step is the same whatever the
number of devices, and so is the loss, but for the order in which numbers are added up.
"""

import re

import keras
import numpy as np

from experiments import processes
from experiments.cli import UsageError
from experiments.settings import Settings

# Which axis of a weight is split, by the end of its path: attention by heads, the feed-forward
# network by its hidden numbers, embeddings by the vocabulary. Products with them are the devices'
# own; those with the outputs' kernels are added up.
SPLIT_AXIS = {
    "query/kernel": 1,
    "query/bias": 0,
    "(key|value)/kernel": 1,
    "(key|value)/bias": 0,
    "(hidden|gate)/kernel": 1,
    "(hidden|gate)/bias": 0,
    "(attention|feed_forward)/output/kernel": 0,
    "embedding/embeddings": 0,
    "logits/kernel": 1,
    "logits/bias": 0,
}


class _ModelParallel(keras.distribution.ModelParallel):
    """Keras's own, which splits what `split_axis` says.

    Args:
        settings: the run's.
        mesh: the devices, (groups, those that share a model).
    """

    def __init__(self, settings: Settings, mesh: keras.distribution.DeviceMesh):
        super().__init__(
            layout_map=keras.distribution.LayoutMap(mesh),
            batch_dim_name="batch",
            auto_shard_dataset=False,
        )
        self._settings = settings

    def get_variable_layout(self, variable):
        if variable._layout is not None:  # that of the weight which an optimizer's variable is of
            return variable._layout
        axes = [None] * len(variable.shape)
        parts = self.device_mesh.shape[1]
        axis = split_axis(self._settings, variable.path, variable.shape, parts)
        if axis is not None and parts > 1:
            axes[axis] = "model"
        return keras.distribution.TensorLayout(axes, self.device_mesh)

    def of_this_process(self) -> "_ModelParallel":
        """The same on the devices of this process alone."""
        rows = np.split(self.device_mesh.devices, processes.count())[processes.number()]
        mesh = keras.distribution.DeviceMesh(rows.shape, self.device_mesh.axis_names, rows)
        return _ModelParallel(self._settings, mesh)


def check(settings: Settings, devices: int = 1, model_parallel: int = 1) -> None:
    """Raises a UsageError unless what must divide does, whatever devices there are.

    Arguments are those of `distribute`.
    """
    if devices % model_parallel:
        raise UsageError(
            f"argument --model-parallel: expected a divisor of --devices {devices}, "
            f"got {model_parallel}"
        )
    groups = devices // model_parallel
    if settings.batch_size % groups:
        raise UsageError(
            f"argument --batch-size: expected a multiple of {groups}, among which --devices "
            f"{devices} share it out, got {settings.batch_size}"
        )
    if settings.num_heads % model_parallel:
        raise UsageError(
            f"argument --model-parallel: expected a divisor of --num-heads {settings.num_heads}, "
            f"got {model_parallel}"
        )


def split_axis(
    settings: Settings, path: str, shape: tuple[int, ...], model_parallel: int
) -> int | None:
    """Along which axis devices that share a model split a weight; None if each has all of it.

    Args:
        settings: the run's.
        path: Keras's name of the weight, such as "encoder_layer_1/attention/query/kernel".
        shape: its shape.
        model_parallel: how many devices share a model.

    Example:

    >>> split_axis(Settings(), "encoder_layer_1/attention/query/kernel", (16, 16), 2)
    1
    >>> split_axis(Settings(), "logits/kernel", (16, 13), 2)  # 13 tokens do not divide by 2
    """
    heads = settings.num_kv_heads or settings.num_heads
    if heads % model_parallel and re.search("/(key|value)/", path):
        return None
    for end, axis in SPLIT_AXIS.items():
        if re.search(f"{end}$", path) and shape[axis] % model_parallel == 0:
            return axis
    return None


def distribute(settings: Settings, devices: int = 1, model_parallel: int = 1) -> None:
    """Has the models that are made from now on trained on several devices.

    A batch is shared out among `devices / model_parallel` groups of devices, and the weights of a
    model among the devices of a group; those that do not divide stay whole on each. A group lies
    within a process.

    Args:
        settings: the run's.
        devices: how many devices there are in all processes together, at least 1. Default 1:
            nothing is laid out.
        model_parallel: how many of them share a model, at least 1. Default 1: each has all of it.

    Raises:
        UsageError: devices that are not there, or something that must divide and does not.
    """
    number = processes.count()
    if devices % number:
        raise UsageError(
            f"argument --devices: expected a multiple of --processes {number}, got {devices}"
        )
    each = devices // number
    if each % model_parallel and number > 1:
        raise UsageError(
            f"argument --model-parallel: expected a divisor of {each}, the --devices in each of "
            f"{number} processes, got {model_parallel}"
        )
    check(settings, devices, model_parallel)
    if devices == 1:
        return
    backend = keras.backend.backend()
    if backend != "jax":
        raise UsageError(
            f"argument --devices: expected 1 with {backend}, got {devices}; only JAX trains on "
            "several (KERAS_BACKEND=jax)"
        )
    import jax

    present = [jax.local_devices(process) for process in range(number)]
    fewest = min(map(len, present))
    if each > fewest:
        hint = f"; XLA_FLAGS=--xla_force_host_platform_device_count={each} makes a processor so "
        hint += "many"
        raise UsageError(
            f"argument --devices: expected at most {fewest * number}, as many as there are, got "
            f"{devices}{hint if present[0][0].platform == 'cpu' else ''}"
        )
    groups = devices // model_parallel
    names = [f"{device.platform}:{device.id}" for some in present for device in some[:each]]
    mesh = keras.distribution.DeviceMesh((groups, model_parallel), ("batch", "model"), names)
    keras.distribution.set_distribution(_ModelParallel(settings, mesh))
    if number > 1:
        processes.meet(mesh)
