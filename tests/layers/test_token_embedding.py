"""From token ids to vectors."""

import numpy as np
import pytest

from layers import TokenEmbedding
from tests.layers.layer_checks import Case, LayerChecks, to_numpy, weights_of

TOKEN_IDS = np.array([[1, 2, 0, 0], [6, 2, 2, 5]], "int32")


class TestTokenEmbedding(LayerChecks):
    case = Case(
        TokenEmbedding,
        arguments={"vocabulary_size": 7, "d_model": 3},
        inputs={"inputs": TOKEN_IDS},
        output_shapes=[("B", "T", 3)],
        num_weights=1,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"vocabulary_size": -1},
            "`vocabulary_size` must be a positive integer. Received: vocabulary_size=-1",
        ),
        ({"d_model": "3"}, "`d_model` must be a positive integer. Received: d_model='3'"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenEmbedding(**{"vocabulary_size": 7, "d_model": 3, **arguments})


def test_it_looks_up_rows_and_scales_them_by_the_root_of_their_length():
    layer = TokenEmbedding(vocabulary_size=7, d_model=9)
    vectors = to_numpy(layer(TOKEN_IDS))
    (table,) = weights_of(layer)
    assert table.shape == (7, 9)
    np.testing.assert_allclose(vectors, table[TOKEN_IDS] * 3, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_ids_may_be_of_any_integer_type(dtype):
    layer = TokenEmbedding(vocabulary_size=7, d_model=4)
    expected = to_numpy(layer(TOKEN_IDS))
    np.testing.assert_array_equal(to_numpy(layer(TOKEN_IDS.astype(dtype))), expected)


def test_no_mask_is_attached_to_the_vectors():
    layer = TokenEmbedding(vocabulary_size=7, d_model=4)
    assert getattr(layer(TOKEN_IDS), "_keras_mask", None) is None


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_in_reverse_it_gives_the_dot_product_with_every_row(dtype):
    layer = TokenEmbedding(vocabulary_size=7, d_model=4, dtype=dtype)
    vectors = layer(TOKEN_IDS)
    logits = layer(vectors, reverse=True)
    assert tuple(logits.shape) == (2, 4, 7)
    (table,) = weights_of(layer)
    tolerance = 1e-6 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(to_numpy(logits), to_numpy(vectors) @ table.T, atol=tolerance)
