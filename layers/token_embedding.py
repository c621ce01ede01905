"""From token ids to vectors."""

import keras
from keras import ops

from layers.checks import check_positive_integers


@keras.saving.register_keras_serializable(package="mini_transformer")
class TokenEmbedding(keras.layers.Layer):
    """Looks up a learned vector for each token id and scales it by sqrt(D).

        Embedding(token) = E[token] * sqrt(D)

    Keras starts embeddings near zero. The factor brings them to the size of the positional
    encoding that is added next (between -1 and 1), so that neither drowns the other.

    The same matrix can turn vectors back into logits over all tokens, x E^T: "tied" embeddings.
    A token is then likely where the vector points to where the token itself lies.

    Args:
        vocabulary_size: number of different ids, V. A positive integer.
        d_model: length of the vectors, D. A positive integer.

    Call arguments:
        inputs: token ids, integers from 0 to V - 1, (B, T); with `reverse`, floats, (B, T, D).
        reverse: whether to go from vectors to logits. Default False.

    Returns:
        Floats, (B, T, D); with `reverse`, (B, T, V).

    Raises:
        ValueError: a size that is no positive integer.

    Example:

    >>> embedding = TokenEmbedding(vocabulary_size=10, d_model=4)
    >>> tuple(embedding(np.array([[1, 2, 3]])).shape)
    (1, 3, 4)

    References: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, section 3.4; tying: Press
    and Wolf (2017), https://arxiv.org/abs/1608.05859.
    """

    def __init__(self, vocabulary_size: int, d_model: int, **kwargs):
        super().__init__(**kwargs)
        check_positive_integers(vocabulary_size=vocabulary_size, d_model=d_model)
        self.vocabulary_size = vocabulary_size
        self.d_model = d_model
        self.embedding = keras.layers.Embedding(
            vocabulary_size, d_model, name="embedding", dtype=self.dtype_policy
        )

    def build(self, inputs_shape):
        self.embedding.build(inputs_shape)

    def call(self, inputs, reverse=False):
        if reverse:
            matrix = ops.cast(self.embedding.embeddings, inputs.dtype)  # (V, D)
            return ops.matmul(inputs, ops.transpose(matrix))  # (B, T, V)
        vectors = self.embedding(inputs)  # (B, T, D)
        return vectors * ops.cast(self.d_model**0.5, vectors.dtype)

    def compute_output_spec(self, inputs, reverse=False):
        shape = (*inputs.shape[:2], self.vocabulary_size if reverse else self.d_model)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "d_model": self.d_model,
        }
