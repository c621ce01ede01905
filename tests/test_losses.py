"""The masked cross-entropy."""

import keras
import numpy as np
import pytest
from keras import ops

from losses import MaskedCrossentropy, token_weights
from tests.layers.layer_checks import floats, gradient, to_numpy

TARGETS = np.array([[3, 1, 0, 0], [2, 4, 0, 1], [1, 2, 3, 4]], "int32")
LOGITS = floats(3, 4, 5) * 3
WEIGHTS = {
    "none": None,
    "booleans": TARGETS != 2,
    "integers": np.array([[1, 0, 1, 0], [0, 2, 1, 1], [1, 1, 0, 0]]),
    "floats": np.random.default_rng(1).random((3, 4)).astype("float32"),
    "everywhere": np.ones((3, 4), "float32"),
}


def token_mean(targets, logits, weights=None, padding_id=0):
    """The definition, one token after the other."""
    total = count = 0.0
    for index in np.ndindex(targets.shape):
        weight = 1.0 if weights is None else float(weights[index])
        if targets[index] == padding_id:
            continue
        scores = logits[index].astype("float64")
        log_sum = scores.max() + np.log(np.exp(scores - scores.max()).sum())
        total += weight * (log_sum - scores[targets[index]])
        count += weight
    return total / count


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("padding_id", [0, 4])
def test_the_loss_is_the_mean_over_counted_tokens(weights, padding_id):
    loss = MaskedCrossentropy(padding_id=padding_id)(TARGETS, LOGITS, weights)
    expected = token_mean(TARGETS, LOGITS, weights, padding_id)
    assert tuple(loss.shape) == ()
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert float(loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_padding_weighs_nothing(weights):
    expected = np.ones((3, 4)) if weights is None else np.array(weights, "float32")
    expected = np.where(TARGETS == 0, 0, expected)
    counted = token_weights(TARGETS, weights)
    assert keras.backend.standardize_dtype(counted.dtype) == "float32"
    np.testing.assert_allclose(to_numpy(counted), expected, rtol=1e-6)


def test_one_weight_a_row_weighs_the_whole_row():
    targets, weights = TARGETS[:, :3], np.array([1, 0, 3])  # as many rows as columns
    expected = np.where(targets == 0, 0, weights[:, None])
    np.testing.assert_array_equal(to_numpy(token_weights(targets, weights)), expected)


@pytest.mark.parametrize("weights", ["none", "floats"])
def test_more_padding_does_not_change_the_loss(weights):
    weights = WEIGHTS[weights]
    padding = ((0, 2), (0, 3))
    padded = [
        np.pad(TARGETS, padding),
        np.pad(LOGITS, (*padding, (0, 0)), constant_values=7),
        None if weights is None else np.pad(weights, padding, constant_values=5),
    ]
    loss = MaskedCrossentropy()
    assert float(loss(*padded)) == pytest.approx(float(loss(TARGETS, LOGITS, weights)), rel=1e-6)


@pytest.mark.parametrize(
    ("targets", "weights"), [(TARGETS * 0, None), (TARGETS, TARGETS * 0.0)], ids=["padding", "0"]
)
def test_where_nothing_counts_the_loss_is_0_and_teaches_nothing(targets, weights):
    assert float(MaskedCrossentropy()(targets, LOGITS, weights)) == 0
    slope = gradient(lambda logits: MaskedCrossentropy()(targets, logits, weights), LOGITS)
    assert (slope == 0).all()


def test_only_counted_tokens_teach():
    weights = WEIGHTS["floats"] * (TARGETS != 2)
    slope = gradient(lambda logits: MaskedCrossentropy()(TARGETS, logits, weights), LOGITS)
    counted = weights * (TARGETS != 0)
    assert (slope[counted == 0] == 0).all()
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True)
    expected = (probabilities - np.eye(5)[TARGETS]) * (counted / counted.sum())[..., None]
    np.testing.assert_allclose(slope, expected, atol=1e-6)


def smoothed_mean(targets, logits, smoothing):
    """The definition of a smoothed loss, with the distribution that is the target written out."""
    right = (1 - smoothing) * np.eye(logits.shape[-1])[targets] + smoothing / logits.shape[-1]
    likelihoods = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    losses = -(right * np.log(likelihoods)).sum(axis=-1)
    return losses[targets != 0].mean()


@pytest.mark.parametrize("smoothing", [0, 0.1, 0.9])
def test_smoothing_spreads_its_share_of_the_target_over_all_tokens(smoothing):
    loss = MaskedCrossentropy(label_smoothing=smoothing)(TARGETS, LOGITS)
    assert float(loss) == pytest.approx(smoothed_mean(TARGETS, LOGITS, smoothing), rel=1e-6)
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    counted = TARGETS != 0
    theirs = keras_loss(np.eye(5)[TARGETS[counted]], LOGITS[counted])
    assert float(loss) == pytest.approx(float(theirs), rel=1e-6)


def test_a_smoothed_loss_is_least_where_the_target_has_its_share():
    likeliest = np.log([[[0.025, 0.025, 0.025, 0.925]]])  # 1 - 0.1 and a fourth of 0.1
    loss = MaskedCrossentropy(label_smoothing=0.1)
    slope = gradient(lambda logits: loss(np.array([[3]]), logits), likeliest.astype("float32"))
    np.testing.assert_allclose(slope, 0, atol=1e-7)


@pytest.mark.parametrize("smoothing", [-0.1, 1, float("nan")])
def test_a_smoothing_that_is_no_share_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"`label_smoothing` must be .* below 1\. Received: "):
        MaskedCrossentropy(label_smoothing=smoothing)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_logits_of_half_precision_do_not_overflow(dtype):
    logits = np.zeros((3, 4, 70_000), "float32")
    logits[..., 1] = 60_000
    loss = MaskedCrossentropy()(TARGETS, ops.cast(logits, dtype))
    exact = to_numpy(ops.cast(logits, dtype))
    assert float(loss) == pytest.approx(token_mean(TARGETS, exact), rel=1e-6)
    equal = MaskedCrossentropy()(TARGETS, ops.cast(logits * 0, dtype))
    assert float(equal) == pytest.approx(np.log(70_000), rel=1e-6)


@pytest.fixture(params=["float16", "bfloat16"])
def half_floatx(request):
    """Keras's default precision, lowered for one test."""
    before = keras.config.floatx()
    keras.config.set_floatx(request.param)
    yield request.param
    keras.config.set_floatx(before)


def test_where_keras_computes_in_half_precision_ids_are_not_rounded(half_floatx):
    targets = np.array([[2049, 301]])
    logits = 5 * np.eye(4000, dtype="float32")[targets]
    loss = MaskedCrossentropy()(targets, logits)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert float(loss) == pytest.approx(token_mean(targets, logits), rel=1e-6)


def test_the_config_makes_an_equal_loss():
    loss = MaskedCrossentropy(padding_id=4, label_smoothing=0.25, name="other")
    config = keras.saving.serialize_keras_object(loss)
    assert config["registered_name"] == "mini_transformer>MaskedCrossentropy"
    for copy in (
        keras.saving.deserialize_keras_object(config),
        MaskedCrossentropy.from_config(loss.get_config()),
    ):
        assert copy.get_config() == loss.get_config()
        assert (copy.padding_id, copy.label_smoothing, copy.name) == (4, 0.25, "other")
        arguments = TARGETS, LOGITS, WEIGHTS["floats"]
        assert float(copy(*arguments)) == float(loss(*arguments))


def test_the_config_of_an_earlier_version_smooths_nothing():
    config = MaskedCrossentropy().get_config()
    del config["label_smoothing"]
    assert MaskedCrossentropy.from_config(config).label_smoothing == 0
