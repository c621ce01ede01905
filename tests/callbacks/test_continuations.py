"""The texts that a model writes while it learns, read back from its event files."""

import keras
import numpy as np
import pytest

from callbacks import Continuations
from data.tokenizer import CharTokenizer
from models import DecoderLanguageModel
from tests.callbacks.conftest import read_events


class ScriptedModel(keras.Sequential):
    """No model of ours: it has `generate` alone, and what it writes is known."""

    def __init__(self):
        super().__init__([keras.layers.Input((1,)), keras.layers.Dense(1)])
        self.compile("sgd", "mse", run_eagerly=True, jit_compile=False)

    def generate(self, prompts, max_new_tokens, temperature, jit_compile):
        assert jit_compile is False
        steps = int(self.optimizer.iterations)
        return [f"{prompt} {steps} {max_new_tokens} {temperature}\n# *x*" for prompt in prompts]

    def train(self, *watchers, epochs):
        x = np.ones((1, 1))
        return self.fit(x, x, epochs=epochs, callbacks=list(watchers), verbose=0)


@pytest.mark.parametrize(("time_share", "written"), [(0, [0, 4]), (1, [0, 1, 2, 3, 4])])
def test_what_follows_the_prompts_is_written_as_often_as_the_time_allows(
    tmp_path, time_share, written
):
    callback = Continuations(tmp_path, ["a", "b"], 7, temperature=0.5, time_share=time_share)
    ScriptedModel().train(callback, epochs=5)
    events = read_events(tmp_path)
    assert list(events) == ["continuations"]
    assert list(events["continuations"]) == written
    assert (
        events["continuations"][4] == "    a 5 7 0.5\n    # *x*\n\n---\n\n    b 5 7 0.5\n    # *x*"
    )


def test_a_model_of_the_zoo_continues_its_prompt(tmp_path):
    tokenizer = CharTokenizer("ab\n")
    model = DecoderLanguageModel(tokenizer, context_length=8, d_model=4, num_layers=1, dff=4)
    model.compile("sgd", "mse", jit_compile=False)
    callback = Continuations(tmp_path, ["ab"], max_new_tokens=5)
    x = np.ones((1, 8), "int32")
    model.fit(x, np.zeros((1, 8, 5)), epochs=2, callbacks=[callback], verbose=0)
    for text in read_events(tmp_path)["continuations"].values():
        lines = text.split("\n")
        assert all(line.startswith("    ") for line in lines)
        continued = "\n".join(line[4:] for line in lines)
        assert continued.startswith("ab")
        assert len(continued) == 7


@pytest.mark.parametrize("prompts", ["ab", []])
def test_prompts_must_be_a_list(prompts):
    with pytest.raises(ValueError, match=r"`prompts` must be a list of texts\. Received: prompts="):
        Continuations("logs", prompts)
