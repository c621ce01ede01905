"""The tables of gaps and what fits into them, read back from their event file."""

import keras
import pytest

from callbacks import AttentionHeatmaps, SampleFillings
from data.corpora import TOY_SENTENCES
from data.masked import MaskedTexts
from data.tokenizer import MASK
from losses import MaskedCrossentropy
from models import MaskedLanguageModel
from tests.callbacks.conftest import read_events
from tests.callbacks.test_sample_predictions import table_cells

pytestmark = pytest.mark.filterwarnings("ignore:html5lib's sanitizer:DeprecationWarning")
SAMPLES = [(f"i {MASK} deep learning", "love"), (f"{MASK} learn patterns", "models")]


def test_every_epoch_has_a_table_of_what_fits_into_gaps(tokenizer, tmp_path):
    own = tokenizer.with_extra_tokens(MASK)
    keras.utils.set_random_seed(0)
    model = MaskedLanguageModel(own, context_length=4, d_model=8, num_layers=1, dff=16)
    sentences = own.encode_batch(TOY_SENTENCES)
    bounds = [sum(map(len, sentences[:number])) for number in range(len(sentences) + 1)]
    ids = [id_ for sentence in sentences for id_ in sentence]
    texts = MaskedTexts(ids, bounds, 4, own.special_id(MASK), len(own.pieces))
    filled = []
    recorder = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: filled.append([model.fill(t, 2)[0] for t, _ in SAMPLES])
    )
    model.compile(keras.optimizers.Adam(0.01), MaskedCrossentropy(), run_eagerly=True)
    watchers = [
        SampleFillings(tmp_path, SAMPLES, k=2),
        AttentionHeatmaps(tmp_path, [SAMPLES[0][0]]),
    ]
    model.fit(
        texts.training_batches(3, seed=0),
        steps_per_epoch=2,
        epochs=3,
        callbacks=[recorder, *watchers],
        shuffle=False,
        verbose=0,
    )
    events = read_events(tmp_path)
    assert list(events["samples"]) == [0, 1, 2]
    for epoch, markdown in events["samples"].items():
        header, *rows = table_cells(markdown)
        assert header == ["text", "hidden", "filled in"]
        assert rows == [
            [text, hidden, ", ".join(f"{token} {p:.1%}" for token, p in pairs)]
            for (text, hidden), pairs in zip(SAMPLES, filled[epoch], strict=True)
        ]
    assert f"attention/{SAMPLES[0][0]}/layer_1" in events


@pytest.mark.parametrize(("samples", "k"), [([], 1), (SAMPLES, 0)])
def test_there_must_be_something_to_show(tmp_path, samples, k):
    with pytest.raises(ValueError, match=r"`(samples|k)` must (hold|be) at least"):
        SampleFillings(tmp_path, samples, k)
