"""Means over the tokens that count, alone and as `fit` and `evaluate` report them."""

import keras
import numpy as np
import pytest
from keras import ops

from losses import MaskedCrossentropy
from metrics import MaskedAccuracy, MeanCrossentropy, Perplexity
from tests.layers.layer_checks import floats

V = 7


def make_batch(rows=8, length=6, seed=0):
    """Rows with different numbers of tokens, some of which do not count: ids, targets, weights."""
    rng = np.random.default_rng(seed)
    token_ids, targets = rng.integers(1, V, (2, rows, length)).astype("int32")
    weights = rng.choice([0.0, 0.5, 1.0, 2.0], (rows, length)).astype("float32")
    beyond = np.arange(length) >= rng.integers(1, length + 1, rows)[:, None]
    token_ids[beyond] = targets[beyond] = 0
    assert len(set((weights * ~beyond).sum(axis=1))) > 3 or length < 6
    return token_ids, targets, weights


def expected_figures(targets, logits, weights=None, k=1):
    """The definitions in NumPy and float64; `k` is that of the accuracy."""
    logits = logits.astype("float64")
    counted = (targets != 0) * (1.0 if weights is None else weights)
    log_sums = np.log(np.exp(logits).sum(axis=-1))
    target_logits = np.take_along_axis(logits, targets[..., None], axis=-1)
    losses = log_sums - target_logits[..., 0]
    right = (logits > target_logits).sum(axis=-1) < k
    loss = (losses * counted).sum() / counted.sum()
    return {
        "loss": loss,
        "accuracy": (right * counted).sum() / counted.sum(),
        "perplexity": np.exp(loss),
    }


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_metrics_add_up_batches_by_their_counted_tokens(k, weighted):
    metrics = [MeanCrossentropy(), MaskedAccuracy(k=k), Perplexity()]
    _, targets, weights = make_batch()
    logits = floats(*targets.shape, V)
    if not weighted:
        weights = None
    for rows in (slice(0, 1), slice(1, 6), slice(6, 8)):
        for metric in metrics:
            part = None if weights is None else weights[rows]
            metric.update_state(targets[rows], logits[rows], part)
    expected = expected_figures(targets, logits, weights, k).values()
    assert [float(metric.result()) for metric in metrics] == pytest.approx(list(expected), rel=1e-5)
    for metric in metrics:
        metric.reset_state()
        metric.update_state(targets[:1], logits[:1])
    expected = expected_figures(targets[:1], logits[:1], k=k).values()
    assert [float(metric.result()) for metric in metrics] == pytest.approx(list(expected), rel=1e-5)


def test_a_token_weighs_as_much_in_a_batch_of_short_rows_as_in_one_of_long_rows():
    metrics = [MeanCrossentropy(), MaskedAccuracy(), Perplexity()]
    batches = [make_batch(length=length)[1:] for length in (2, 12)]
    logits = [floats(*targets.shape, V) for targets, _ in batches]
    for (targets, weights), of_batch in zip(batches, logits, strict=True):
        for metric in metrics:
            metric.update_state(targets, of_batch, weights)
    # All in one batch: the short rows are filled up with padding.
    (short, weights), (long, others) = batches
    beyond = ((0, 0), (0, 10))
    together = (
        np.concatenate([np.pad(short, beyond), long]),
        np.concatenate([np.pad(logits[0], (*beyond, (0, 0))), logits[1]]),
        np.concatenate([np.pad(weights, beyond), others]),
    )
    expected = expected_figures(*together).values()
    assert [float(metric.result()) for metric in metrics] == pytest.approx(list(expected), rel=1e-5)


@pytest.mark.parametrize("metric_class", [MeanCrossentropy, MaskedAccuracy, Perplexity])
def test_another_padding_id_is_left_out_instead(metric_class):
    metric, plain = metric_class(padding_id=3), metric_class()
    targets = np.array([[3, 1, 0, 2]])
    logits = floats(1, 4, V)
    metric.update_state(targets, logits, np.ones((1, 4)))
    plain.update_state(targets + 1, np.roll(logits, 1, axis=-1), np.array([[0, 1, 1, 1]]))
    assert float(metric.result()) == pytest.approx(float(plain.result()), rel=1e-6)


def test_perplexity_is_exp_of_the_mean_not_a_mean_of_exps():
    metric, loss = Perplexity(), MeanCrossentropy()
    for scale in (0.1, 10):
        for each in (metric, loss):
            each.update_state(np.array([[2, 3]]), floats(1, 2, V) * scale)
    assert float(metric.result()) == pytest.approx(np.exp(float(loss.result())), rel=1e-6)
    uniform = Perplexity()
    uniform.update_state(np.array([[2, 3]]), np.zeros((1, 2, V)))
    assert float(uniform.result()) == pytest.approx(V, rel=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("logits", [[1, 1, 1, 1, 1], [0, 5, 5, 1, 5]], ids=["all", "some"])
def test_of_tied_tokens_no_more_than_k_are_right(logits, k):
    assert count_right(logits, k) == k


def test_a_model_that_has_diverged_is_never_right():
    assert count_right([np.nan] * 5, k=1) == 0


def count_right(logits, k):
    """How many of the tokens would be right as the target."""
    metric = MaskedAccuracy(k=k, padding_id=-1)
    targets = np.arange(len(logits))[None]
    metric.update_state(targets, np.array([[logits] * len(logits)], "float32"))
    return round(float(metric.result()) * len(logits), 4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_logits_of_half_precision_are_read_in_single(dtype):
    _, targets, weights = make_batch()
    logits = ops.cast(floats(*targets.shape, V) * 8, dtype)
    expected = expected_figures(targets, ops.convert_to_numpy(ops.cast(logits, "float32")), weights)
    for metric in (MeanCrossentropy(), Perplexity()):
        metric.update_state(targets, logits, weights)
        assert float(metric.result()) == pytest.approx(expected[metric.name], rel=1e-5)


def test_metrics_have_the_names_of_the_logs():
    names = [metric.name for metric in (MeanCrossentropy(), Perplexity(), MaskedAccuracy())]
    assert names == ["loss", "perplexity", "accuracy"]
    assert MaskedAccuracy(k=5).name == "top5_accuracy"
    assert MaskedAccuracy(k=5, name="hits").name == "hits"


@pytest.mark.parametrize("k", [0, -1, 1.5, "1"])
def test_a_k_that_is_no_positive_integer_is_refused(k):
    with pytest.raises(ValueError, match=f"`k` must be a positive integer. Received: k={k!r}"):
        MaskedAccuracy(k=k)


@pytest.mark.parametrize(
    "metric",
    [
        MeanCrossentropy(name="a", padding_id=3),
        Perplexity(name="b", padding_id=3),
        MaskedAccuracy(k=2, name="c", padding_id=3),
    ],
    ids=lambda metric: type(metric).__name__,
)
def test_the_config_makes_an_equal_metric(metric):
    config = keras.saving.serialize_keras_object(metric)
    assert config["registered_name"] == f"mini_transformer>{type(metric).__name__}"
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == metric.get_config()
    assert copy.padding_id == 3
    assert copy.name == metric.name
    _, targets, weights = make_batch()
    for each in (metric, copy):
        each.update_state(targets, floats(*targets.shape, V), weights)
    assert float(copy.result()) == float(metric.result())


# What fit and evaluate report


def make_model(loss=None):
    """The simplest language model: the logits depend on the present token alone."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Embedding(V, V, embeddings_initializer="normal")])
    model.compile(
        optimizer=keras.optimizers.SGD(0.0),
        loss=loss or MaskedCrossentropy(),
        weighted_metrics=[MeanCrossentropy(), MaskedAccuracy(), Perplexity()],
    )
    model.build((None, None))
    model.layers[0].set_weights([floats(V, V)])
    return model


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_reported_figures_do_not_depend_on_batch_size_and_padding(batch_size, padding):
    token_ids, targets, weights = make_batch()
    expected = expected_figures(targets, floats(V, V)[token_ids], weights)
    token_ids, targets, weights = (
        np.pad(array, ((0, 0), (0, padding)), constant_values=value)
        for array, value in ((token_ids, 0), (targets, 0), (weights, 1))
    )
    model = make_model()
    arguments = {"batch_size": batch_size, "verbose": 0}
    figures = model.evaluate(
        token_ids, targets, sample_weight=weights, return_dict=True, **arguments
    )
    assert figures == pytest.approx(expected, rel=1e-5)
    history = model.fit(
        token_ids,
        targets,
        sample_weight=weights,
        validation_data=(token_ids, targets, weights),
        **arguments,
    ).history
    expected.update({f"val_{name}": value for name, value in expected.items()})
    assert {name: value for name, (value,) in history.items()} == pytest.approx(expected, rel=1e-5)


def test_what_is_reported_of_a_smoothed_training_is_not_smoothed():
    token_ids, targets, weights = make_batch()
    model = make_model(MaskedCrossentropy(label_smoothing=0.5))
    arguments = {"batch_size": 8, "verbose": 0}
    expected = expected_figures(targets, floats(V, V)[token_ids], weights)
    expected.update({f"val_{name}": value for name, value in expected.items()})
    data = (token_ids, targets, weights)
    history = model.fit(*data[:2], sample_weight=weights, validation_data=data, **arguments).history
    assert {name: value for name, (value,) in history.items()} == pytest.approx(expected, rel=1e-5)


def test_evaluate_without_names_starts_with_the_loss():
    token_ids, targets, weights = make_batch()
    expected = expected_figures(targets, floats(V, V)[token_ids], weights)
    figures = make_model().evaluate(
        token_ids, targets, sample_weight=weights, batch_size=3, verbose=0
    )
    assert figures[0] == pytest.approx(expected["loss"], rel=1e-5)


def test_what_is_minimized_is_the_reported_loss():
    token_ids, targets, weights = make_batch()
    model = make_model()
    model.optimizer.learning_rate = 1.0
    arguments = {"sample_weight": weights, "batch_size": 8, "verbose": 0}
    history = model.fit(token_ids, targets, epochs=5, **arguments).history
    assert (np.diff(history["loss"]) < 0).all()
    assert model.evaluate(token_ids, targets, **arguments)[0] < history["loss"][-1]
