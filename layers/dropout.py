"""Dropout whose random numbers belong to the layer."""

import random

import keras


def make_dropout(rate: float, **kwargs) -> keras.layers.Dropout:
    """Keras's Dropout with a seed of its own, which `keras.utils.set_random_seed` decides.

    Keras chooses the same number where none is given. But with PyTorch, a Dropout without a seed
    draws from PyTorch's one generator for everything, and not from the layer's state: then no
    checkpoint of the model's variables knows how the dice go on.

    Args:
        rate: the share of numbers that becomes 0, at least 0 and below 1.
        kwargs: others of `keras.layers.Dropout`.
    """
    seed = random.randint(1, 10**9) if rate else None
    return keras.layers.Dropout(rate, seed=seed, **kwargs)
