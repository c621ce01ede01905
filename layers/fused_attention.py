"""Causal attention that stores no scores, where the backend has a kernel for it.

Axes: B batch, T positions, N heads, H head_dim.
"""

import keras
from keras import ops


def fused_causal_attention(query, key, value):
    """The outputs of `scaled_dot_product_attention` with a `causal_mask`, without its scores.

    On a GPU one kernel goes through the keys piece by piece and never stores the (T, S) scores, nor
    for the gradient: memory grows with T instead of T squared. The paper calls it "flash"
    attention.

    Args:
        query, key, value: floats, (B, N, T, H).

    Returns:
        Floats, (B, N, T, H).

    Example:

    >>> from layers import scaled_dot_product_attention
    >>> x = np.random.default_rng(0).normal(size=(1, 2, 3, 8)).astype("float32")
    >>> outputs, _ = scaled_dot_product_attention(x, x, x, mask=np.tri(3, dtype=bool))
    >>> bool(np.allclose(fused_causal_attention(x, x, x), outputs, atol=1e-5))
    True

    Reference: Dao et al. (2022), https://arxiv.org/abs/2205.14135.
    """
    query, key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
    outputs = ops.dot_product_attention(query, key, value, is_causal=True)  # (B, T, N, H)
    return ops.transpose(outputs, (0, 2, 1, 3))


def has_fused_attention(dtype) -> bool:
    """Whether Keras has a kernel that attends without storing the scores.

    It has for JAX on a GPU, in 16 bits. Elsewhere `ops.dot_product_attention` stores them, too.

    Args:
        dtype: that of queries, keys and values.

    Example:

    >>> has_fused_attention("float32")
    False
    """
    return (
        keras.backend.backend() == "jax"
        and keras.backend.standardize_dtype(dtype) in ("bfloat16", "float16")
        and keras.distribution.list_devices()[0].startswith("gpu")
    )
