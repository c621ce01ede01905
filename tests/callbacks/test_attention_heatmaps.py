"""The film of attention heatmaps, read back from its event files."""

import keras
import numpy as np
import pytest

from callbacks import AttentionFigure, AttentionHeatmaps, spread_epochs
from tests.callbacks.conftest import read_events

TEXTS = ["i love deep", "learning"]


class ScriptedModel(keras.Sequential):
    """No model of ours: it has `attention(text)` alone, and its scores are known."""

    def __init__(self):
        super().__init__([keras.layers.Input((1,)), keras.layers.Dense(1)])
        self.compile("sgd", "mse", run_eagerly=True)

    def attention(self, text):
        tokens = text.split()
        return tokens, scripted_scores(int(self.optimizer.iterations) - 1, len(tokens))

    def train(self, *watchers, epochs):
        x = np.ones((1, 1))
        return self.fit(x, x, epochs=epochs, callbacks=list(watchers), verbose=0)


def scripted_scores(epoch, length):
    """Two layers of three heads that turn, each faster than the last, to looking at themselves."""
    share = np.minimum(np.arange(1, 7) * epoch / 10, 1).reshape(2, 3, 1, 1)
    return (1 - share) / length + share * np.eye(length)  # (2, 3, T, T)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Everything that is written of five epochs, all of them drawn."""
    folder = tmp_path_factory.mktemp("film")
    ScriptedModel().train(AttentionHeatmaps(folder, TEXTS, epochs=range(5)), epochs=5)
    return read_events(folder)


def drawn_epochs(folder):
    return list(read_events(folder)["attention/learning/layer_1"])


def test_every_text_and_layer_has_a_film_and_every_head_an_entropy(film):
    assert set(film) == {
        *(f"attention/{text}/layer_{layer}" for text in TEXTS for layer in (1, 2)),
        *(
            f"attention_entropy/{text}/layer_{layer}_head_{head}"
            for text in TEXTS
            for layer in (1, 2)
            for head in (1, 2, 3)
        ),
    }
    assert all(list(values) == [0, 1, 2, 3, 4] for values in film.values())


@pytest.mark.parametrize("layer", [1, 2])
def test_pictures_show_the_scores_of_their_epoch(film, layer):
    pictures = film[f"attention/i love deep/layer_{layer}"]
    for epoch in (0, 1, 4):
        figure = AttentionFigure(["i", "love", "deep"], (layer, layer), num_heads=3)
        expected = figure.draw(scripted_scores(epoch, 3)[layer - 1 : layer])
        np.testing.assert_array_equal(pictures[epoch], expected)
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize("text", TEXTS)
def test_entropies_are_those_of_the_scores(film, text):
    for epoch in range(5):
        scores = scripted_scores(epoch, len(text.split()))
        logarithms = np.log(scores, where=scores > 0, out=np.zeros_like(scores))
        expected = -np.sum(scores * logarithms, axis=-1).mean(axis=-1)  # (2, 3)
        written = [
            [
                film[f"attention_entropy/{text}/layer_{layer}_head_{head}"][epoch]
                for head in (1, 2, 3)
            ]
            for layer in (1, 2)
        ]
        np.testing.assert_allclose(written, expected, atol=1e-6)


def test_the_entropy_is_log_t_at_first_and_zero_for_a_head_that_looks_at_one_token(film):
    entropies = film["attention_entropy/i love deep/layer_2_head_3"]
    assert entropies[0] == pytest.approx(np.log(3))
    assert entropies[4] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("epochs", "drawn"),
    [
        ([2], [0, 2, 4]),
        ([], [0, 4]),
        ({1, 3, 99}, [0, 1, 3, 4]),
        (range(0, 5, 2), [0, 2, 4]),
        (spread_epochs(5), [0, 1, 2, 3, 4]),
    ],
)
def test_the_asked_epochs_are_drawn_and_always_the_first_and_the_last(tmp_path, epochs, drawn):
    ScriptedModel().train(AttentionHeatmaps(tmp_path, ["learning"], epochs=epochs), epochs=5)
    assert drawn_epochs(tmp_path) == drawn


@pytest.mark.parametrize("epochs", [[0, 9], [0, 2, 9]])
def test_the_last_epoch_is_drawn_when_training_stops_early(tmp_path, epochs):
    model = ScriptedModel()

    def stop(epoch, logs):
        model.stop_training = epoch == 2

    stopper = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    model.train(AttentionHeatmaps(tmp_path, ["learning"], epochs=epochs), stopper, epochs=10)
    assert drawn_epochs(tmp_path) == [0, 2]


@pytest.mark.parametrize(("time_share", "drawn"), [(0, [0, 4]), (1, [0, 1, 2, 3, 4])])
def test_a_share_of_the_time_decides_where_no_epochs_are_given(tmp_path, time_share, drawn):
    ScriptedModel().train(
        AttentionHeatmaps(tmp_path, ["learning"], time_share=time_share), epochs=5
    )
    assert drawn_epochs(tmp_path) == drawn


def test_the_zoo_can_be_watched_without_changing_what_it_learns(
    tmp_path, model, train, fresh_weights
):
    train(AttentionHeatmaps(tmp_path, ["i love deep"], epochs=range(3)))
    weights = model.get_weights()
    tokens, scores = model.attention("i love deep")
    events = read_events(tmp_path)
    pictures = events["attention/i love deep/layer_1"]
    assert list(pictures) == [0, 1, 2]
    np.testing.assert_array_equal(pictures[2], AttentionFigure(tokens, (1, 1), 2).draw(scores))

    fresh_weights()
    train()
    for watched, alone in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(watched, alone)


@pytest.mark.parametrize("texts", ["i love deep", [], ()])
def test_texts_must_be_a_list_that_is_not_empty(tmp_path, texts):
    with pytest.raises(ValueError, match=r"`texts` must be a list of texts\. Received: texts="):
        AttentionHeatmaps(tmp_path, texts)


@pytest.mark.parametrize("time_share", [-0.1, 1.01, float("nan")])
def test_a_time_share_out_of_range_is_an_error(tmp_path, time_share):
    with pytest.raises(ValueError, match=r"`time_share` must be .* Received: time_share="):
        AttentionHeatmaps(tmp_path, TEXTS, time_share=time_share)


def test_a_model_without_attention_is_an_error(tmp_path):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"a method `attention\(text\)`\. Received: a Sequential"):
        model.fit(np.ones((1, 1)), np.ones((1, 1)), callbacks=[AttentionHeatmaps(tmp_path, TEXTS)])
