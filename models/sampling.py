"""Drawing the next token from logits."""

import math

import keras
import numpy as np
from keras import ops

from architecture import Number, SettingError

_AT_A_TIME = 4  # so many are taken out in one turn of the loop; a turn itself takes its time


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
    ends = ops.cumsum(probabilities, axis=-1)  # where each token ends on the line
    stays = ends - probabilities < top_p  # the first always does, and then all up to some token
    length = ops.max(ops.where(stays, ends, 0.0), axis=-1, keepdims=True)  # (B, 1)
    target = ops.convert_to_tensor(uniform)[:, None] * length
    chosen = ops.sum(ops.cast(ends < target, "int32"), axis=-1, keepdims=True)  # (B, 1)
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
    is_alone = logits.shape[0] == 1  # a slice of one text takes less time than a gather of many
    batch = ops.arange(ops.shape(square)[0], dtype="int32")
    numbered = ops.arange(side, dtype="int32")

    def row_of(square, row):
        if is_alone:
            return ops.slice(square, (0, row[0], 0), (1, 1, side))[:, 0]
        return ops.take_along_axis(square, row[:, None, None], axis=1)[:, 0]

    def with_row(square, row, numbers):
        if is_alone:
            return ops.slice_update(square, (0, row[0], 0), numbers[:, None])
        return ops.scatter_update(square, ops.stack([batch, row], axis=-1), numbers)

    def take_out(square, largest):
        """The largest one left and its token id, (B,), and what is left then."""
        row = ops.cast(ops.argmax(largest, axis=-1), "int32")
        numbers = row_of(square, row)  # (B, R)
        column = ops.cast(ops.argmax(numbers, axis=-1), "int32")
        rest = ops.where(numbered == column[:, None], -np.inf, numbers)
        square = with_row(square, row, rest)
        left = ops.where(numbered == row[:, None], ops.max(rest, axis=-1)[:, None], largest)
        return ops.max(largest, axis=-1), row * side + column, square, left

    def take_out_several(n, square, largest, *kept):
        several = []
        for _ in range(_AT_A_TIME):
            *found, square, largest = take_out(square, largest)
            several.append(found)
        kept = [
            ops.slice_update(of_all, (0, n), ops.stack(of_these, axis=-1))
            for of_all, of_these in zip(kept, zip(*several, strict=True), strict=True)
        ]
        return n + _AT_A_TIME, square, largest, *kept

    room = -(-k // _AT_A_TIME) * _AT_A_TIME
    places = ops.zeros((ops.shape(logits)[0], room), dtype="int32")
    first = ops.convert_to_tensor(0, "int32")
    _, _, _, *kept = ops.while_loop(
        lambda n, *_: n < k,
        take_out_several,
        (first, square, ops.max(square, axis=-1), ops.cast(places, logits.dtype), places),
    )
    return [of_all[:, :k] for of_all in kept]


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
