"""Drawing the next token from logits."""

import math

import keras
import numpy as np
from keras import ops

from architecture import Number, SettingError


def sample_tokens(logits, uniform, temperature, top_k: int, top_p):
    """One token for each row: random, but for a number that says how the dice fell.

    The `top_k` likeliest tokens stay, their logits are divided by the temperature, and of the
    probabilities that follow the first few stay whose sum reaches `top_p`. Laid end to end they
    make a line, and the token is the one that `uniform` points to when 0 is the line's beginning
    and 1 its end.

    Args:
        logits: floats, (B, V).
        uniform: the random numbers, floats, (B,), at least 0 and below 1.
        temperature: above 0. Below 1 makes likely tokens likelier still, above 1 rare ones.
        top_k: how many tokens stay, from 1, which makes it the likeliest always, to V.
        top_p: which share of the probability stays at least, above 0 and at most 1.

    Returns:
        Token ids, int32, (B,).

    Example:

    >>> logits = np.log([[0.5, 0.1, 0.4]]).astype("float32")
    >>> for uniform in (0.1, 0.6, 0.95):
    ...     token = sample_tokens(logits, np.array([uniform], "float32"), 1.0, top_k=3, top_p=1.0)
    ...     print(int(token[0]))
    0
    2
    1
    """
    values, token_ids = likeliest(ops.cast(logits, "float32"), top_k)  # (B, k)
    probabilities = ops.exp((values - values[:, :1]) / temperature)
    probabilities = probabilities / ops.sum(probabilities, axis=-1, keepdims=True)  # (B, k)
    before = ops.cumsum(probabilities, axis=-1) - probabilities  # of all that are likelier
    stays = before < top_p  # the first always does
    line = ops.cumsum(ops.where(stays, probabilities, 0.0), axis=-1)  # where each token ends
    target = ops.convert_to_tensor(uniform)[:, None] * line[:, -1:]  # (B, 1)
    chosen = ops.sum(ops.cast(line < target, "int32"), axis=-1, keepdims=True)  # (B, 1)
    # Sums round: the last bit must not lead past the tokens that stay.
    chosen = ops.minimum(chosen, ops.sum(ops.cast(stays, "int32"), axis=-1, keepdims=True) - 1)
    return ops.cast(ops.take_along_axis(token_ids, chosen, axis=-1)[:, 0], "int32")


def likeliest(logits, k: int):
    """The k largest logits of each row, the largest first, and their token ids.

    It is `ops.top_k`, for which TensorFlow's XLA sorts all on a processor: 0.7 ms for 5,000 tokens,
    seven times as long as a small model thinks about the next one. To find a few of many, they are
    laid out in a square, and the largest one is taken out again and again; what has to be looked at
    each time are the largest of all rows of the square, and the row that it was in.

    Args:
        logits: floats, (B, V).
        k: from 1 to V.

    Returns:
        `(values, token_ids)`: floats and int32, (B, k). Of equal logits the first comes first.

    Example:

    >>> values, token_ids = likeliest(np.array([[1.0, 3.0, 2.0]]), k=2)
    >>> ops.convert_to_numpy(token_ids).tolist()
    [[1, 2]]
    """
    size = logits.shape[-1]
    sorts_all = keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices(
        "gpu"
    )
    if not sorts_all or k == 1 or 8 * k > size:
        return ops.top_k(logits, k)
    side = math.isqrt(size - 1) + 1
    square = ops.pad(logits, [(0, 0), (0, side**2 - size)], constant_values=-np.inf)
    square = ops.reshape(square, (-1, side, side))  # (B, R, R)
    batch = ops.arange(ops.shape(square)[0], dtype="int32")

    def take_out(n, square, largest, values, token_ids):
        row = ops.cast(ops.argmax(largest, axis=-1), "int32")  # (B,)
        numbers = ops.take_along_axis(square, row[:, None, None], axis=1)[:, 0]  # (B, R)
        column = ops.cast(ops.argmax(numbers, axis=-1), "int32")  # (B,)
        values = ops.slice_update(values, (0, n), ops.max(numbers, axis=-1)[:, None])
        token_ids = ops.slice_update(token_ids, (0, n), (row * side + column)[:, None])
        rest = ops.where(ops.arange(side) == column[:, None], -np.inf, numbers)
        places = ops.stack([batch, row], axis=-1)  # (B, 2)
        square = ops.scatter_update(square, places, rest)
        largest = ops.scatter_update(largest, places, ops.max(rest, axis=-1))
        return n + 1, square, largest, values, token_ids

    kept = ops.zeros_like(logits[:, :k]), ops.zeros_like(logits[:, :k], dtype="int32")
    first = ops.convert_to_tensor(0, "int32")
    _, _, _, *kept = ops.while_loop(
        lambda n, *_: n < k, take_out, (first, square, ops.max(square, axis=-1), *kept)
    )
    return kept


def check_sampling(**arguments) -> None:
    """Raises a ValueError that names the first of these arguments that is out of its range."""
    for name, value in arguments.items():
        if value not in _ALLOWED[name] and not (name == "top_k" and value is None):
            raise SettingError(name, str(_ALLOWED[name]), value)


_COUNT = Number(int, least=1)
_ALLOWED = {
    "max_new_tokens": _COUNT,
    "tokens_at_a_time": _COUNT,
    "temperature": Number(float, above=0),
    "top_k": _COUNT,
    "top_p": Number(float, above=0, most=1),
    "seed": Number(int, least=0),
}
