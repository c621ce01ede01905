"""What is written of an encoder-decoder while it learns, read back from its event files."""

import keras
import numpy as np
import pytest

from callbacks import AttentionHeatmaps, SampleTargets, TargetScores
from data.corpora import load_corpus
from data.pairs import Pairs
from data.tokenizer import CharTokenizer
from losses import MaskedCrossentropy
from models import EncoderDecoderModel
from tests.callbacks.conftest import read_events
from tests.callbacks.test_sample_predictions import table_cells

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:html5lib's sanitizer:DeprecationWarning"),
]

PAIRS = "ab\tba\nabc\tcba\nca\tac\nca\tca\n"


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Three epochs, watched by all: the events, and what the model wrote after each epoch."""
    folder = tmp_path_factory.mktemp("targets")
    (folder / "pairs.tsv").write_text(PAIRS)
    letters = CharTokenizer("abc").with_extra_tokens("[BEGIN]", "[END]")
    pairs = Pairs.read(load_corpus(str(folder / "pairs.tsv")), letters, 6)
    keras.utils.set_random_seed(0)
    model = EncoderDecoderModel(letters, context_length=6, d_model=8, num_layers=1, dff=16)
    model.compile(keras.optimizers.Adam(0.01), MaskedCrossentropy(), run_eagerly=True)
    seen = []

    def look(epoch, logs):
        seen.append((model.translate(["ab", "ca"]), model.score_targets(*pairs.questions())))

    model.fit(
        pairs.training_batches(4, seed=0),
        steps_per_epoch=2,
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=[
            SampleTargets(folder / "a", [("ab", "ba"), ("ca", "ac / ca")], time_share=1),
            TargetScores(folder / "b", *pairs.questions(), time_share=1),
            AttentionHeatmaps(folder / "c", [("abc", "cba"), "ca"], epochs=range(3)),
            keras.callbacks.LambdaCallback(on_epoch_end=look),
        ],
    )
    return [read_events(folder / name) for name in "abc"], seen


def test_targets_stand_beside_the_right_ones(watched):
    (samples, _, _), seen = watched
    for epoch, (written, _) in enumerate(seen):
        header, *rows = table_cells(samples["samples"][epoch])
        assert header == ["source", "right", "written"]
        assert rows == [["ab", "ba", written[0]], ["ca", "ac / ca", written[1]]]


def test_scores_are_those_of_what_is_written(watched):
    (_, scores, _), seen = watched
    assert list(scores) == ["epoch_exact_match", "epoch_token_error_rate"]
    for epoch, (_, found) in enumerate(seen):
        assert scores["epoch_exact_match"][epoch] == pytest.approx(found.exact_match)
        assert scores["epoch_token_error_rate"][epoch] == pytest.approx(found.token_error_rate)


def test_there_are_pictures_of_all_three_kinds_of_attention(watched):
    (_, _, pictures), _ = watched
    for text in ("abc", "ca"):
        for kind in ("encoder", "decoder", "cross"):
            for epoch in range(3):
                picture = pictures[f"attention/{text}/{kind}/layer_1"][epoch]
                assert np.unique(picture.reshape(-1, 3), axis=0).shape[0] > 50
                entropy = pictures[f"attention_entropy/{text}/{kind}/layer_1_head_2"][epoch]
                assert 0 <= entropy < 2


def test_epochs_score_in_no_batches_but_those_compiled_before_them(tmp_path, monkeypatch):
    letters = CharTokenizer("abc").with_extra_tokens("[BEGIN]", "[END]")
    model = EncoderDecoderModel(letters, context_length=40, d_model=8, num_layers=1, dff=16)
    sources = [[2, 3]] * 100 + [[2] * 20] * 3
    shapes = []

    def watch(begins, most, beams, penalty, source_ids, *others):
        shapes.append(source_ids.shape)
        rows = len(source_ids)  # of each one target, without a token
        return np.zeros((rows, 1, 0), int), np.zeros((rows, 1)), np.ones((rows, 1), bool)

    monkeypatch.setattr(model._beam_search, "search", watch)
    callback = TargetScores(tmp_path, sources, [[source] for source in sources])
    callback.set_model(model)
    callback.on_train_begin()
    compiled = set(shapes)
    assert len(compiled) == 2
    shapes.clear()
    callback.summaries()
    assert set(shapes) == compiled
    callback.on_train_end()


@pytest.mark.parametrize(
    ("callback", "arguments", "name"),
    [(SampleTargets, [[]], "samples"), (TargetScores, [[], []], "sources")],
)
def test_there_must_be_something_to_ask(tmp_path, callback, arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must hold at least one"):
        callback(tmp_path, *arguments)
