"""The paper's encoder as a next-token predictor."""

import keras
import numpy as np
import pytest

from models import EncoderLanguageModel
from tests.layers.layer_checks import randomize, to_numpy


def softmax(x):
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def normalize(x, weights, name):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    scaled = (x - mean) / np.sqrt(variance + 1e-6)
    return scaled * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def dense(x, weights, name):
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def positions(length, d_model):
    columns = np.arange(d_model)
    angles = np.arange(length)[:, None] / 10000 ** (columns // 2 * 2 / d_model)
    return np.where(columns % 2 == 0, np.sin(angles), np.cos(angles))


def attend(x, mask, weights, name, num_heads):
    """Head by head: each takes its own columns of the projections."""
    query, key, value = (dense(x, weights, f"{name}/{part}") for part in ("query", "key", "value"))
    head_dim = x.shape[-1] // num_heads
    outputs, scores = [], []
    for head in range(num_heads):
        columns = slice(head * head_dim, (head + 1) * head_dim)
        logits = query[..., columns] @ key[..., columns].swapaxes(1, 2) / np.sqrt(head_dim)
        scores.append(softmax(np.where(mask[:, None, :], logits, -np.inf)))
        outputs.append(scores[-1] @ value[..., columns])
    outputs = dense(np.concatenate(outputs, axis=-1), weights, f"{name}/output")
    return outputs, np.stack(scores, axis=1)


def forward(model, token_ids):
    """The paper's encoder in NumPy and float64: logits (B, T, V), scores (layers, B, N, T, T)."""
    weights = {weight.path: to_numpy(weight).astype("float64") for weight in model.weights}
    mask = token_ids != 0
    x = weights["embedding/embedding/embeddings"][token_ids] * np.sqrt(model.d_model)
    x = x + positions(token_ids.shape[1], model.d_model)
    all_scores = []
    for number in range(1, model.num_layers + 1):
        name = f"encoder_layer_{number}"
        attended, scores = attend(x, mask, weights, f"{name}/attention", model.num_heads)
        x = normalize(x + attended, weights, f"{name}/attention_norm")
        hidden = np.maximum(0, dense(x, weights, f"{name}/feed_forward/hidden"))
        transformed = dense(hidden, weights, f"{name}/feed_forward/output")
        x = normalize(x + transformed, weights, f"{name}/feed_forward_norm")
        all_scores.append(scores)
    return dense(x, weights, "logits"), np.stack(all_scores)


TOKEN_IDS = np.array([[2, 3, 4, 5, 6, 0], [7, 1, 0, 0, 0, 0], [3, 3, 2, 9, 8, 4]], "int32")


@pytest.mark.parametrize("weights", ["fresh", "random"])
def test_the_graph_is_that_of_the_paper(tokenizer, weights):
    model = EncoderLanguageModel(
        tokenizer, context_length=6, d_model=12, num_heads=3, num_layers=3, dff=20
    )
    if weights == "random":
        randomize(model)
    expected, _ = forward(model, TOKEN_IDS)
    logits = model.predict_on_batch(TOKEN_IDS)
    np.testing.assert_allclose(logits[TOKEN_IDS != 0], expected[TOKEN_IDS != 0], atol=1e-5)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_attention_shows_the_scores_of_that_graph(tokenizer, num_layers):
    model = EncoderLanguageModel(
        tokenizer, context_length=6, d_model=12, num_heads=3, num_layers=num_layers
    )
    randomize(model)
    text = "i love deep models"
    tokens, scores = model.attention(text)
    assert tokens == text.split()
    _, expected = forward(model, np.array([tokenizer.encode(text)]))
    assert scores.shape == (num_layers, 3, 4, 4)
    np.testing.assert_allclose(scores, expected[:, 0], atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_it_reads_any_length_up_to_the_context(model, tokenizer, length):
    logits = model(np.array([[2, 3, 4, 5][:length]] * 3))
    assert tuple(logits.shape) == (3, length, tokenizer.vocabulary_size)
    assert np.isfinite(to_numpy(logits)).all()


@pytest.mark.parametrize("convolution", ["none", "both"])
def test_logits_of_real_tokens_do_not_depend_on_the_padding(tokenizer, convolution):
    model = EncoderLanguageModel(tokenizer, context_length=12, convolution=convolution)
    randomize(model)
    alone = model.predict_on_batch(np.array([[2, 3, 4]]))
    for width in (4, 7, 12):
        padded = np.zeros((2, width), "int32")
        padded[0, :3] = 2, 3, 4
        padded[1] = 5
        np.testing.assert_allclose(model.predict_on_batch(padded)[0, :3], alone[0], atol=1e-5)


def test_padding_is_never_attended_to(model):
    token_ids = TOKEN_IDS[:, :4]
    layers = [layer for layer in model.layers if layer.name.startswith("encoder_layer")]
    assert len(layers) == 2
    watched = keras.Model(model.input, [layer.output[1] for layer in layers])
    for scores in watched.predict_on_batch(token_ids):
        hidden = np.broadcast_to((token_ids == 0)[:, None, None, :], scores.shape)
        assert (scores[hidden] == 0).all()
        assert (scores[~hidden] > 0).all()
        np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-6)


def test_a_row_of_padding_alone_gives_finite_logits(model):
    assert np.isfinite(model.predict_on_batch(np.zeros((2, 4), "int32"))).all()


def test_dropout_acts_in_training_only_and_anew_each_time(tokenizer):
    model = EncoderLanguageModel(tokenizer, context_length=4, dropout=0.5)
    token_ids = TOKEN_IDS[:, :4]
    calm = to_numpy(model(token_ids))
    np.testing.assert_array_equal(calm, to_numpy(model(token_ids, training=False)))
    first, second = (to_numpy(model(token_ids, training=True)) for _ in range(2))
    assert np.abs(first - calm).max() > 0.01
    assert np.abs(first - second).max() > 0.01
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.5]
    assert {model.get_layer(f"encoder_layer_{number}").dropout for number in (1, 2)} == {0.5}


@pytest.mark.parametrize(
    ("policy", "variable_dtype", "compute_dtype"),
    [
        ("float32", "float32", "float32"),
        ("mixed_bfloat16", "float32", "bfloat16"),
        ("mixed_float16", "float32", "float16"),
        ("bfloat16", "bfloat16", "bfloat16"),
    ],
)
def test_the_dtype_policy_holds_in_every_layer(tokenizer, policy, variable_dtype, compute_dtype):
    model = EncoderLanguageModel(tokenizer, context_length=4, dtype=policy)
    logits = model.predict_on_batch(TOKEN_IDS[:, :4])
    assert logits.dtype == model.output.dtype == compute_dtype
    assert np.isfinite(logits.astype("float32")).all()
    assert {weight.dtype for weight in model.weights} == {variable_dtype}
    without_floats = (keras.layers.InputLayer, type(model.get_layer("padding_mask")))
    policies = {
        layer.dtype_policy.name for layer in model.layers if not isinstance(layer, without_floats)
    }
    assert policies == {policy} == {model.dtype_policy.name}


def test_without_feed_forward_networks_the_other_weights_keep_their_order(tokenizer):
    """The state of an optimizer goes by it."""
    with_them, without = (
        EncoderLanguageModel(tokenizer, context_length=4, norm_placement="pre", dff=dff)
        for dff in (8, 0)
    )
    paths = [variable.path for variable in without.trainable_variables]
    assert not any("feed_forward" in path for path in paths)
    assert paths == [
        variable.path
        for variable in with_them.trainable_variables
        if "feed_forward" not in variable.path
    ]


def test_the_config_makes_an_equal_model(tokenizer):
    arguments = {
        "context_length": 5,
        "d_model": 6,
        "num_heads": 3,
        "num_layers": 1,
        "dff": 7,
        "dropout": 0.25,
        "provenance": {"corpus": {"source": "toy"}},
        "dtype": "mixed_bfloat16",
        "name": "small",
    }
    model = EncoderLanguageModel(tokenizer, **arguments)
    copy = EncoderLanguageModel.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert copy.dtype_policy.name == "mixed_bfloat16"
    for name in set(arguments) - {"dtype"}:
        assert getattr(copy, name) == arguments[name]
    assert copy.tokenizer.words == tokenizer.words
    for weight, source in zip(copy.weights, model.weights, strict=True):
        assert weight.path == source.path
        weight.assign(to_numpy(source))
    token_ids = TOKEN_IDS[:, :5]
    logits = model.predict_on_batch(token_ids)
    np.testing.assert_array_equal(copy.predict_on_batch(token_ids), logits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"context_length": 0},
            "`context_length` must be a whole number of at least 1. Received: .*=0",
        ),
        (
            {"context_length": 2.5},
            r"`context_length` must be a whole number of at least 1. Received: .*=2\.5",
        ),
        (
            {"num_layers": 0},
            "`num_layers` must be a whole number of at least 1. Received: num_layers=0",
        ),
        ({"d_model": 0}, "`d_model` must be a whole number of at least 1. Received: d_model=0"),
        ({"dff": -1}, "`dff` must be a whole number of at least 0. Received: dff=-1"),
        (
            {"dff": 0, "convolution": "both"},
            "`convolution` must be none or attention with `dff` 0. Received: convolution='both'",
        ),
        (
            {"num_heads": 0},
            "`num_heads` must be a whole number of at least 1. Received: num_heads=0",
        ),
        ({"num_heads": 3}, "`num_heads` must be a divisor of `d_model` 16. Received: num_heads=3"),
        (
            {"dropout": 1.0},
            r"`dropout` must be a number of at least 0 and below 1. Received: dropout=1\.0",
        ),
        (
            {"dropout": 1.5},
            r"`dropout` must be a number of at least 0 and below 1. Received: dropout=1\.5",
        ),
        (
            {"dropout": -0.1},
            r"`dropout` must be a number of at least 0 and below 1. Received: dropout=-0\.1",
        ),
        ({"dtype": "float12"}, "float12"),
    ],
)
def test_wrong_arguments_are_refused_by_name(tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        EncoderLanguageModel(tokenizer, **{"context_length": 4, **arguments})
