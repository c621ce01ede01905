"""Causal attention that leaves out most of what no query may see.

Axes: B batch, T positions, N heads, H head_dim.
"""

import itertools

from keras import ops

_LEAST, _MOST = 64, 4  # positions of a block, and blocks


def attend_in_blocks(attend, query, key, value, mask, bias=None):
    """Causal attention, block by block of queries, each with the keys up to its end.

    Of the T x T pairs of a text nearly half are a query and a key to its right, whose score is 0.
    With four blocks 10 of 16 squares are computed, and no score is another one: a step with texts
    of 256 tokens takes a tenth less. Short texts are one block, and so are those whose length is
    not known before the program runs.

    Args:
        attend: `scaled_dot_product_attention`, or what is called and answers alike.
        query, key, value: floats, (B, N, T, H).
        mask: booleans, rank 4 and broadcastable to (B, N, T, T), nowhere True to the right of the
            query's own position.
        bias: floats, (N, T, T), added to the attention logits. Default None.

    Returns:
        `(outputs, attention_scores)` of `attend`: (B, N, T, H) and (B, N, T, T).

    Example:

    >>> from layers import scaled_dot_product_attention as attend
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 256, 8)).astype("float32")
    >>> mask = np.tri(256, dtype=bool)[None, None]
    >>> outputs, scores = attend_in_blocks(attend, x, x, x, mask)
    >>> bool(np.allclose(outputs, attend(x, x, x, mask=mask)[0], atol=1e-5))
    True
    """
    length = query.shape[2]
    bounds = [] if length is None else block_bounds(length)
    if len(bounds) < 2:
        return attend(query, key, value, mask=mask, bias=bias)
    blocks = []
    for start, end in bounds:
        outputs, scores = attend(
            query[:, :, start:end],
            key[:, :, :end],
            value[:, :, :end],
            mask=mask[..., start:end, :end],
            bias=None if bias is None else bias[..., start:end, :end],
        )
        blocks.append((outputs, ops.pad(scores, [*3 * [(0, 0)], (0, length - end)])))
    outputs, scores = zip(*blocks, strict=True)
    return ops.concatenate(outputs, axis=2), ops.concatenate(scores, axis=2)


def block_bounds(length: int) -> list[tuple[int, int]]:
    """Where the blocks of a text begin and end: up to four, of 64 positions or more.

    Example:

    >>> block_bounds(127), block_bounds(130)
    ([(0, 127)], [(0, 65), (65, 130)])
    """
    count = min(max(length // _LEAST, 1), _MOST)
    bounds = [length * n // count for n in range(count + 1)]
    return list(itertools.pairwise(bounds))
