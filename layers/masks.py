"""Padding and causal masks, and the one place where masks are combined.

Every mask of this project is boolean and True means "may attend". Axes: B batch, T query
positions, S key positions, N heads.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mini_transformer")
class PaddingMask(keras.layers.Layer):
    """Marks the real tokens of a batch: True for a token, False for padding.

    Sentences of different lengths share a batch by being padded to one length. Padding is no
    part of the text, so nothing may attend to it; this mask is how the attention layers know.
    It is handed to them as an argument (`padding_mask=...`), never attached to a tensor.

    Args:
        padding_id: the token id that stands for padding. Default 0.

    Call arguments:
        token_ids: integers, (B, S).

    Returns:
        Booleans, (B, S): `token_ids != padding_id`.

    Example:

    >>> ops.convert_to_numpy(PaddingMask()(np.array([[5, 7, 0, 0]]))).tolist()
    [[True, True, False, False]]
    """

    def __init__(self, padding_id: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.padding_id = padding_id

    def build(self, token_ids_shape):
        pass  # no weights

    def call(self, token_ids):
        return ops.not_equal(token_ids, self.padding_id)

    def compute_output_spec(self, token_ids):
        return keras.KerasTensor(token_ids.shape, dtype="bool")

    def get_config(self):
        return {**super().get_config(), "padding_id": self.padding_id}


@keras.saving.register_keras_serializable(package="mini_transformer")
class CausalMask(keras.layers.Layer):
    """The `causal_mask` for the length of a batch, whatever that is.

    Call arguments:
        token_ids: integers, (B, T).
        key_length, start: those of `causal_mask`.

    Returns:
        Booleans, (T, S).

    Example:

    >>> ops.convert_to_numpy(CausalMask()(np.array([[5, 7]]))).tolist()
    [[True, False], [True, True]]
    """

    def build(self, token_ids_shape):
        pass  # no weights

    def call(self, token_ids, key_length=None, start=0):
        return causal_mask(ops.shape(token_ids)[1], key_length, start)

    def compute_output_spec(self, token_ids, key_length=None, start=0):
        length = token_ids.shape[1]
        return keras.KerasTensor((length, key_length or length), dtype="bool")


def causal_mask(length: int, key_length: int | None = None, start=0):
    """The mask of a left-to-right model: position t may attend to positions 0 to t.

    Args:
        length: number of queries, T.
        key_length: number of keys, S. Default None: as many as queries.
        start: the position of the first query; the keys start at 0. Default 0.

    Returns:
        Booleans, (T, S), True up to the query's own position: row t is what query t may see.

    Example:

    >>> ops.convert_to_numpy(causal_mask(3)).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    >>> ops.convert_to_numpy(causal_mask(1, key_length=3, start=1)).astype(int).tolist()
    [[1, 1, 0]]
    """
    queries = start + ops.arange(length)
    keys = ops.arange(length if key_length is None else key_length)
    return queries[:, None] >= keys[None, :]  # (T, S)


def combine_masks(padding_mask=None, attention_mask=None):
    """Joins what may be attended to at all with what each query may attend to.

    Args:
        padding_mask: booleans, (B, S), True for keys that are real tokens; or None.
        attention_mask: booleans, (T, S), or rank 4 and broadcastable to (B, N, T, S); or None.
            Rank 3 is refused: a (B, T, S) mask would be read as (N, T, S) without a word
            whenever the batch happens to be as large as the number of heads.

    Returns:
        Booleans of rank 4, broadcastable to (B, N, T, S), True where both masks are; None when
        both are None.

    Raises:
        ValueError: a mask of another rank.

    Example:

    >>> padding_mask = np.array([[True, True, False]])
    >>> combined = combine_masks(padding_mask, causal_mask(3))
    >>> ops.convert_to_numpy(combined)[0, 0].astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 0]]
    """
    if padding_mask is not None:
        if len(padding_mask.shape) != 2:
            raise ValueError(
                "`padding_mask` must have the shape (batch, keys). "
                f"Received: shape={tuple(padding_mask.shape)}."
            )
        padding_mask = ops.cast(padding_mask, "bool")[:, None, None, :]  # (B, 1, 1, S)
    if attention_mask is not None:
        rank = len(attention_mask.shape)
        if rank not in (2, 4):
            raise ValueError(
                "`attention_mask` must have the shape (queries, keys) or rank 4, broadcastable to "
                "(batch, heads, queries, keys). "
                f"Received: shape={tuple(attention_mask.shape)}."
            )
        attention_mask = ops.cast(attention_mask, "bool")
        if rank == 2:
            attention_mask = attention_mask[None, None, :, :]  # (1, 1, T, S)
    if padding_mask is None or attention_mask is None:
        return attention_mask if padding_mask is None else padding_mask
    return ops.logical_and(padding_mask, attention_mask)  # (B, 1 or N, T, S)
