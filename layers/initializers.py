"""How kernels start out."""

import keras


def scaled_glorot(scale: float) -> keras.initializers.Initializer:
    """Keras's default for kernels, Glorot's uniform one, times `scale`.

    With 0 the kernel starts at zero: an output projection then adds nothing to its residual, so
    that a fresh model of any depth begins as if it had no layers, and each layer grows in.

    Raises:
        ValueError: a negative `scale`.
    """
    if scale < 0:
        raise ValueError(f"`output_scale` must be at least 0. Received: output_scale={scale!r}.")
    if scale == 0:
        return keras.initializers.Zeros()
    return keras.initializers.VarianceScaling(scale**2, "fan_avg", "uniform")
