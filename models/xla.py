"""Whether there is XLA to compile with."""

import keras


def has_xla() -> bool:
    """Whether Keras's backend compiles with XLA: TensorFlow and JAX do, PyTorch does not.

    With PyTorch, Keras's `jit_compile=True` stands for `torch.compile`. At the Python of Keras's
    layers it stops again and again and starts anew: two minutes for a training step of one layer,
    with pages of warnings, for a step that is done in 20 ms without.
    """
    return keras.backend.backend() != "torch"
