"""The tables of predictions, read back from their event file and as TensorBoard shows them."""

import html
import re

import keras
import numpy as np
import pytest

from callbacks import SamplePredictions
from tests.callbacks.conftest import read_events

pytestmark = pytest.mark.filterwarnings("ignore:html5lib's sanitizer:DeprecationWarning")

SAMPLES = [("i love", "deep / artificial / models"), ("models learn", "patterns"), ("is", None)]


class FixedModel(keras.Sequential):
    """No model of ours: it has the two methods that are asked for, and one answer."""

    def __init__(self, answer):
        super().__init__([keras.layers.Input((1,)), keras.layers.Dense(1)])
        self.compile("sgd", "mse", run_eagerly=True)
        self.answer = answer

    def next_token_probabilities(self, texts):
        return np.full((len(texts), 1), 0.125)

    def top_tokens(self, probabilities, k):
        return [(self.answer, float(probabilities[0]))]


def table_cells(markdown):
    """The rows of a table as TensorBoard shows it: what a reader sees in each cell."""
    from tensorboard.plugin_util import markdown_to_safe_html  # warns when it is imported

    page = markdown_to_safe_html(markdown)
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    cells = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in cells]


@pytest.mark.parametrize("k", [3, 100])
def test_every_epoch_has_a_table_of_its_predictions(tmp_path, model, train, k):
    predicted = []

    def predict(epoch, logs):
        predicted.append([model.predict_next(prompt, k) for prompt, _ in SAMPLES])

    recorder = keras.callbacks.LambdaCallback(on_epoch_end=predict)
    train(SamplePredictions(tmp_path, SAMPLES, k), recorder)

    events = read_events(tmp_path)
    assert list(events) == ["samples"]
    assert list(events["samples"]) == [0, 1, 2]
    for epoch, markdown in events["samples"].items():
        header, *rows = table_cells(markdown)
        assert header == ["prompt", "expected", "predicted"]
        assert rows == [
            [prompt, word or "", ", ".join(f"{token} {p:.1%}" for token, p in pairs)]
            for (prompt, word), pairs in zip(SAMPLES, predicted[epoch], strict=True)
        ]
    assert predicted[0] != predicted[2]


@pytest.mark.parametrize(
    "text",
    [
        "*a* _b_ `c` **d**",
        "a|b || c",
        "[a](b) ![c](d) {e}",
        "# a #b",
        "1. a",
        "- a",
        "\\ \\n \\|",
        "~~a~~ a~b",
        "<unk> </s> a<b>c",
        "<!-- a",
        "&lt; &amp; a&b",
        "'a' \"b\" $c$ ^d^",
    ],
)
def test_text_is_shown_as_it_is(tmp_path, text):
    model = FixedModel(answer=text)
    x = np.ones((1, 1))
    model.fit(x, x, callbacks=[SamplePredictions(tmp_path, [(text, text)])], verbose=0)
    markdown = read_events(tmp_path)["samples"][0]
    assert table_cells(markdown)[1:] == [[text, text, f"{text} 12.5%"]]


def test_white_space_does_not_break_a_table(tmp_path):
    model = FixedModel(answer="deep")
    x = np.ones((1, 1))
    samples = [("i\nlove", "deep"), ("i\r\n\tlove", None)]
    model.fit(x, x, callbacks=[SamplePredictions(tmp_path, samples)], verbose=0)
    rows = table_cells(read_events(tmp_path)["samples"][0])[1:]
    assert [[" ".join(row[0].split()), *row[1:]] for row in rows] == [
        ["i love", "deep", "deep 12.5%"],
        ["i love", "", "deep 12.5%"],
    ]


def test_watching_does_not_change_what_is_learned(tmp_path, model, train, fresh_weights):
    train(SamplePredictions(tmp_path, SAMPLES))
    weights = model.get_weights()
    fresh_weights()
    train()
    for watched, alone in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(watched, alone)


def test_there_must_be_a_sample(tmp_path):
    with pytest.raises(ValueError, match=r"`samples` must hold at least one prompt\. Received:"):
        SamplePredictions(tmp_path, [])


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_an_error(tmp_path, k):
    with pytest.raises(ValueError, match=f"`k` must be at least 1. Received: k={k}"):
        SamplePredictions(tmp_path, SAMPLES, k)
