"""What the callbacks' tests share: a short training, and reading event files back."""

import io

import keras
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.util import tensor_util

from data.corpora import TOY_SENTENCES
from data.prefixes import Prefixes
from losses import MaskedCrossentropy
from metrics import MaskedAccuracy, MeanCrossentropy
from models import EncoderLanguageModel


def load_events(folder):
    """What TensorBoard finds in the event files of a folder, every step of it."""
    return EventAccumulator(str(folder), size_guidance={TENSORS: 0}).Reload()


def read_events(folder):
    """By tag, the value of each step in a folder's events: a number, a text or a picture."""
    events = load_events(folder)
    values = {}
    for tag in events.Tags()["tensors"]:
        values[tag] = {event.step: _value(event.tensor_proto) for event in events.Tensors(tag)}
        assert len(values[tag]) == len(events.Tensors(tag)), f"{tag}: a step was written twice"
    return values


def _value(tensor_proto):
    array = tensor_util.make_ndarray(tensor_proto)
    if array.ndim == 0:
        value = array.item()
        return value.decode() if isinstance(value, bytes) else value
    if array.dtype != object:
        return array
    width, height, *pictures = array.tolist()
    (picture,) = (np.asarray(Image.open(io.BytesIO(data), formats=["PNG"])) for data in pictures)
    assert picture.shape == (int(height), int(width), 3)
    return picture


@pytest.fixture
def model(tokenizer):
    """An untrained model of one small layer."""
    keras.utils.set_random_seed(0)
    return EncoderLanguageModel(tokenizer, context_length=4, d_model=8, num_layers=1, dff=16)


@pytest.fixture
def examples(tokenizer):
    """The prefixes of the toy corpus, in two batches of 8."""
    prefixes = Prefixes(tokenizer.encode_batch(TOY_SENTENCES), context_length=4)
    return prefixes.evaluation_batches(batch_size=8)


@pytest.fixture
def train(model, examples):
    """Trains the model for some epochs, watched by callbacks."""

    def train(*watchers, epochs=3, **arguments):
        keras.utils.set_random_seed(1)
        model.compile(
            optimizer=keras.optimizers.Adam(0.01),
            loss=MaskedCrossentropy(),
            weighted_metrics=[MeanCrossentropy(), MaskedAccuracy()],
            run_eagerly=True,
        )
        return model.fit(
            examples, epochs=epochs, callbacks=watchers, shuffle=False, verbose=0, **arguments
        )

    return train


@pytest.fixture
def fresh_weights(model):
    """Gives the model its first weights back, and its Dropouts their first random numbers."""
    variables = [(variable, variable.numpy()) for variable in model.variables]

    def reset():
        for variable, value in variables:
            variable.assign(value)

    return reset
