"""What a layer keeps of the tokens that it has read."""

from keras import ops


class KeyValueCache:
    """The keys and values of a text, so that a token that comes later reads them as they are.

    The keys and values of a token do not depend on later tokens, where attention is causal. So
    while a text grows, those of the tokens before need not be computed again.

    One cache belongs to one attention layer. It is handed to the layer's call, which writes the
    new tokens into it; then `keys` and `values` are other tensors. To go on in another call of a
    compiled function, make a new cache of these.

    A layer with short convolutions looks back in them, too, though not far. The inputs of the last
    K - 1 positions are kept beside the keys and values, by name; zeros for what lies before the
    text.

    A decoder's layer also attends to a memory that stays as it is. Its keys and values are kept
    here, and so the memory is read once.

    The sequences of all heads lie one after the other, and keys are kept as they will be
    multiplied, transposed. So XLA writes a new token into them in place and copies nothing: with
    (B, N_kv, S, H) it took twice as long.

    Args:
        keys: floats, (B N_kv, H, S), of any content from position `start` on.
        values: floats, (B N_kv, S, H), likewise.
        start: the position of the first new token, an integer. Default 0.
        inputs: what convolutions read of the K - 1 positions before `start`, by name, floats,
            (B, K - 1, D). Default None: there are no convolutions.
        memory: "keys" and "values" of a memory, as above, and its "mask", (B, S). Default None:
            there is no memory.
        count: how many of the T tokens that come next are real, an integer: the text goes on after
            these. Default None: all.

    Example:

    >>> from layers import MultiHeadAttention, causal_mask
    >>> attention = MultiHeadAttention(d_model=8, num_heads=2)
    >>> cache = KeyValueCache(np.zeros((2, 4, 3), "float32"), np.zeros((2, 3, 4), "float32"))
    >>> x = np.ones((1, 1, 8), "float32")
    >>> mask = causal_mask(length=1, key_length=3)
    >>> outputs, scores = attention(x, x, attention_mask=mask, cache=cache)
    >>> [tuple(tensor.shape) for tensor in (outputs, scores, cache.keys, cache.values)]
    [(1, 1, 8), (1, 2, 1, 3), (2, 4, 3), (2, 3, 4)]
    """

    def __init__(self, keys, values, start=0, inputs=None, memory=None, count=None):
        self.keys = keys
        self.values = values
        self.start = start
        self.inputs = dict(inputs or {})
        self.memory = memory
        self.count = count

    @classmethod
    def of(cls, key, value) -> "KeyValueCache":
        """A cache that holds these alone, floats, (B, N_kv, S, H) each."""
        key = ops.swapaxes(key, -2, -1)  # (B, N_kv, H, S)
        return cls(
            ops.reshape(key, (-1, *ops.shape(key)[2:])),
            ops.reshape(value, (-1, *ops.shape(value)[2:])),
        )

    @property
    def tensors(self) -> dict:
        """All that is kept, by the names of the constructor's arguments."""
        tensors = {"keys": self.keys, "values": self.values}
        others = {"inputs": self.inputs, "memory": self.memory}
        return {**tensors, **{name: kept for name, kept in others.items() if kept}}

    @property
    def length(self) -> int:
        """For how many tokens there is room, S."""
        return ops.shape(self.values)[1]

    def extend(self, key, value):
        """Writes new tokens from `start` on.

        Args:
            key: floats, (B, N_kv, T, H).
            value: floats, (B, N_kv, T, H).

        Returns:
            The keys and values of all tokens, each with the heads of all texts in one row:
            (B N_kv, S, H).
        """
        new = self.of(key, value)
        self.keys = ops.slice_update(self.keys, (0, 0, self.start), new.keys)
        self.values = ops.slice_update(self.values, (0, self.start, 0), new.values)
        return self.read()

    def read(self):
        """The keys and values of all tokens, (B N_kv, S, H) each."""
        return ops.swapaxes(self.keys, -2, -1), self.values

    def extend_inputs(self, name: str, inputs):
        """Keeps what a convolution will look back on once it has read new tokens.

        Args:
            name: which one of `inputs`.
            inputs: floats, (B, T, D).

        Returns:
            These, after those of the K - 1 positions before them, (B, K - 1 + T, D).
        """
        extended = ops.concatenate([self.inputs[name], inputs], axis=1)
        count = ops.shape(inputs)[1] if self.count is None else self.count
        self.inputs[name] = ops.slice(extended, (0, count, 0), ops.shape(self.inputs[name]))
        return extended
