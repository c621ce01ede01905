"""Padding and causal masks, and how they combine."""

import keras
import numpy as np
import pytest
from keras import ops

from layers import CausalMask, PaddingMask, causal_mask, combine_masks
from tests.layers.layer_checks import Case, LayerChecks, to_numpy

TOKEN_IDS = np.array([[5, 7, 0, 0], [0, 3, 9, 2]], "int32")
PADDING = np.array([[True, True, False], [True, False, True]])


class TestPaddingMask(LayerChecks):
    case = Case(
        PaddingMask,
        arguments={"padding_id": 9},
        inputs={"token_ids": TOKEN_IDS},
        output_shapes=[("B", "T")],
        num_weights=0,
        output_dtype="bool",
    )


@pytest.mark.parametrize("padding_id", [0, 9])
def test_padding_is_false_and_tokens_are_true(padding_id):
    mask = to_numpy(PaddingMask(padding_id)(TOKEN_IDS))
    assert mask.tolist() == np.not_equal(TOKEN_IDS, padding_id).tolist()


@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_causal_mask_shows_the_past_and_the_present(length):
    mask = to_numpy(causal_mask(length))
    assert mask.dtype == bool
    assert mask.tolist() == np.tril(np.ones((length, length), bool)).tolist()


def test_without_masks_there_is_none():
    assert combine_masks() is None


def test_a_padding_mask_hides_keys_from_every_query_and_head():
    combined = to_numpy(combine_masks(PADDING))
    assert combined.tolist() == PADDING[:, None, None, :].tolist()


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 3, 3), (1, 4, 1, 3), (2, 1, 3, 3), (1, 1, 3, 3)])
def test_attending_takes_both_masks(shape):
    attention_mask = np.random.default_rng(0).random(shape) < 0.5
    combined = to_numpy(combine_masks(PADDING, attention_mask))
    shared = np.broadcast_shapes(shape, (2, 1, 1, 3))
    expected = np.broadcast_to(attention_mask, shared) & PADDING[:, None, None, :]
    assert combined.dtype == bool
    assert combined.tolist() == expected.tolist()
    alone = to_numpy(combine_masks(attention_mask=attention_mask))
    assert alone.tolist() == attention_mask.reshape((1,) * (4 - len(shape)) + shape).tolist()


def test_masks_of_numbers_are_read_as_booleans():
    combined = combine_masks(PADDING.astype("int32"), np.tril(np.ones((3, 3), "float32")))
    expected = combine_masks(PADDING, causal_mask(3))
    assert ops.convert_to_numpy(combined).tolist() == ops.convert_to_numpy(expected).tolist()


@pytest.mark.parametrize("shape", [(3,), (2, 3, 3), (1, 2, 3, 3, 3)])
def test_an_attention_mask_of_another_rank_is_refused(shape):
    message = r"`attention_mask` must have the shape \(queries, keys\) or rank 4.*Received: shape="
    with pytest.raises(ValueError, match=message):
        combine_masks(attention_mask=np.ones(shape, bool))


@pytest.mark.parametrize("shape", [(3,), (2, 1, 3), (2, 1, 1, 3)])
def test_a_padding_mask_of_another_rank_is_refused(shape):
    message = r"`padding_mask` must have the shape \(batch, keys\).*Received: shape="
    with pytest.raises(ValueError, match=message):
        combine_masks(padding_mask=np.ones(shape, bool))


@pytest.mark.parametrize("length", [1, 4])
def test_the_causal_mask_takes_its_length_from_the_batch(length):
    mask = to_numpy(CausalMask()(np.ones((3, length), "int32")))
    np.testing.assert_array_equal(mask, np.tril(np.ones((length, length), bool)))
    symbol = CausalMask()(keras.KerasTensor((None, length), "int32"))
    assert (symbol.shape, symbol.dtype) == ((length, length), "bool")


@pytest.mark.parametrize("start", [0, 2, 4])
def test_later_queries_see_the_keys_before_them_too(start):
    mask = to_numpy(causal_mask(2, key_length=6, start=start))
    np.testing.assert_array_equal(mask, np.tri(6, dtype=bool)[start : start + 2])
