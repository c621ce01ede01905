"""Whether there is XLA to compile with."""

import keras


def has_xla() -> bool:
    """Whether Keras's backend compiles with XLA: TensorFlow and JAX do, PyTorch does not.

    With PyTorch, Keras's `jit_compile=True` stands for `torch.compile`. At the Python of Keras's
    layers it stops again and again and starts anew: two minutes for a training step of one layer,
    with pages of warnings, for a step that is done in 20 ms without.
    """
    return keras.backend.backend() != "torch"


def compiles(wanted: bool) -> bool:
    """Whether XLA is to compile what may be computed without it too, if that is `wanted`.

    JAX always has it compiled. Without, it looks at each operation anew, which for the training of
    the toy takes 18 times as long; TensorFlow and PyTorch have graphs and fast operations instead.
    """
    return keras.backend.backend() == "jax" or (wanted and has_xla())
