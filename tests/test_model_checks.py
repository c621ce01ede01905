"""`evaluate.py --check`: sound models pass, and each broken one is caught by its check."""

import keras
import numpy as np
import pytest
from keras import ops

import evaluate
from experiments import model_checks
from layers import (
    KeyValueCache,
    PaddingMask,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    attention,
    masks,
)
from models import (
    DecoderLanguageModel,
    EncoderDecoderModel,
    EncoderLanguageModel,
    MaskedLanguageModel,
    TransformerLanguageModel,
)

MODERN = {
    "position": "rotary",
    "num_kv_heads": 1,
    "norm": "rms",
    "norm_placement": "pre",
    "qk_norm": True,
    "softmax_plus_one": True,
    "activation": "swiglu",
    "tie_embeddings": True,
    "use_bias": False,
}


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def make(tokenizer):
    def make(class_, **switches):
        keras.utils.set_random_seed(4)
        own = tokenizer
        if class_.extra_tokens:
            own = tokenizer.with_extra_tokens(*class_.extra_tokens)
        return class_(own, **{"context_length": 6, "num_layers": 1, **switches})

    return make


@pytest.mark.parametrize(
    ("class_", "switches"),
    [
        (DecoderLanguageModel, {"dtype": "mixed_bfloat16", **MODERN}),
        (DecoderLanguageModel, {"position": "alibi", "context_length": 1}),
        (EncoderLanguageModel, {"dtype": "bfloat16", **MODERN}),
        slow(EncoderLanguageModel, {"position": "learned", "output_scale": 0.0}),
        slow(EncoderDecoderModel, {"dtype": "mixed_bfloat16", **MODERN}),
        slow(EncoderDecoderModel, {"position": "alibi", "convolution": "both"}),
        slow(EncoderDecoderModel, {"context_length": 1}),
        (MaskedLanguageModel, MODERN),
    ],
)
def test_sound_models_pass(make, class_, switches):
    model = make(class_, **switches)
    for check, needed in model_checks.CHECKS.values():
        if needed is None or getattr(model, needed):
            assert check(model) is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_causal_mask_that_is_off_by_one_is_caught(make, dtype, monkeypatch):
    right = masks.causal_mask

    def off_by_one(length, key_length=None, start=0):
        return right(length, key_length, start + 1)

    monkeypatch.setattr(masks, "causal_mask", off_by_one)
    leak = model_checks.check_later_tokens(make(DecoderLanguageModel, dtype=dtype))
    assert leak.startswith("tokens from place 1 on, counted from 0, change the logits at place 0")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_padding_that_is_attended_to_is_caught(make, dtype, monkeypatch):
    monkeypatch.setattr(PaddingMask, "call", lambda self, x: ops.ones_like(x, dtype="bool"))
    leak = model_checks.check_padding(make(EncoderLanguageModel, dtype=dtype))
    assert leak.startswith("1 tokens of padding after 1 of text change the logits at place 0 by")


def test_a_layer_that_mixes_the_texts_of_a_batch_is_caught(make, monkeypatch):
    right = TransformerEncoderLayer.call

    def normalise_over_the_batch(self, *args, **kwargs):
        x, scores = right(self, *args, **kwargs)
        return x - ops.mean(x, axis=0, keepdims=True), scores

    model = make(DecoderLanguageModel)
    monkeypatch.setattr(TransformerEncoderLayer, "call", normalise_over_the_batch)
    leak = model_checks.check_other_texts(model)
    assert leak.startswith("other texts in the batch change the logits at place 0 by ")


@pytest.mark.parametrize("factor", [1.1, 0.9, -1.0, float("nan")])
def test_rows_of_attention_that_do_not_sum_to_one_are_caught(make, factor, monkeypatch):
    right = attention.scaled_dot_product_attention

    def scaled(*args, **kwargs):
        outputs, scores = right(*args, **kwargs)
        return outputs, scores * factor

    monkeypatch.setattr(attention, "scaled_dot_product_attention", scaled)
    leak = model_checks.check_attention_rows(make(DecoderLanguageModel))
    assert leak == (
        f"layer 1, head 1: the row of place 0 in text 1 sums to {factor:.6g}, expected 1"
    )


def test_rows_that_sum_to_one_where_the_softmax_gives_less_are_caught(make, monkeypatch):
    right = attention.scaled_dot_product_attention

    def forgetful(*args, **kwargs):
        return right(*args, **{**kwargs, "softmax_plus_one": False})

    monkeypatch.setattr(attention, "scaled_dot_product_attention", forgetful)
    leak = model_checks.check_attention_rows(make(DecoderLanguageModel, softmax_plus_one=True))
    assert leak.endswith("sums to 1, expected less than 1")


def test_a_cache_that_writes_at_the_wrong_place_is_caught(make, monkeypatch):
    right = KeyValueCache.extend

    def one_place_on(self, key, value):
        moved = KeyValueCache(self.keys, self.values, self.start + 1)
        read = right(moved, key, value)
        self.keys, self.values = moved.keys, moved.values
        return read

    monkeypatch.setattr(KeyValueCache, "extend", one_place_on)
    leak = model_checks.check_cache(make(DecoderLanguageModel))
    assert leak.startswith("writing ")
    assert "with the cache and " in leak


# An encoder-decoder


def test_a_target_that_sees_its_future_is_caught(make, monkeypatch):
    monkeypatch.setattr(
        masks, "causal_mask", lambda t, k=None, start=0: ops.ones((t, k or t), "bool")
    )
    leak = model_checks.check_later_tokens(make(EncoderDecoderModel))
    assert leak.startswith("tokens from place 1 on, counted from 0, change the logits at place 0")


def test_padding_that_a_target_listens_to_is_caught(make, monkeypatch):
    right = TransformerDecoderLayer.call

    def without_mask(self, *args, memory_mask=None, **kwargs):
        return right(self, *args, **kwargs)

    model = make(EncoderDecoderModel)
    monkeypatch.setattr(TransformerDecoderLayer, "call", without_mask)
    leak = model_checks.check_padding(model)
    assert leak.startswith("1 tokens of padding after 1 of text change the logits at place 0 by")


def test_rows_of_cross_attention_that_do_not_sum_to_one_are_caught(make, monkeypatch):
    model = make(EncoderDecoderModel)
    right = model.decode

    def scaled(*args):
        logits, scores, cross = right(*args)
        return logits, scores, [cross[0] * 2]

    model.decode = scaled
    leak = model_checks.check_attention_rows(model)
    assert leak.startswith("cross-attention of layer 1, head 1: the row of place 0 in text 1 sums ")


def test_a_cache_of_another_memory_is_caught(make, monkeypatch):
    right = TransformerDecoderLayer.empty_cache

    def forgetful(self, batch_size, length, memory=None, memory_mask=None):
        return right(self, batch_size, length, memory * 0.5, memory_mask)

    model = make(EncoderDecoderModel)
    monkeypatch.setattr(TransformerDecoderLayer, "empty_cache", forgetful)
    leak = model_checks.check_cache(model)
    assert leak.startswith("with 1 beams, source ")


@pytest.mark.parametrize("switch", ["softmax_plus_one", "position", "num_kv_heads", "dtype"])
def test_a_config_that_forgets_a_switch_is_caught(make, switch, monkeypatch):
    model = make(DecoderLanguageModel, dtype="bfloat16", **MODERN)
    right = TransformerLanguageModel.get_config

    def forgetful(self):
        config = right(self)
        del config[switch]
        return {"dtype": None, **config}

    monkeypatch.setattr(TransformerLanguageModel, "get_config", forgetful)
    leak = model_checks.check_saving(model)
    assert f"`{switch}` was " in leak or leak.startswith("it can't be loaded again: ")


def test_the_command_names_what_leaks_and_ends_with_1(make, monkeypatch, tmp_path, capsys):
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
        monkeypatch.setenv(name, "")
    paths = [str(tmp_path / name) for name in ("a.keras", "b.keras")]
    for path in paths:
        make(EncoderLanguageModel).save(path)
    assert evaluate.main([*paths, "--check"]) == 0
    not_asked = "-     not asked of a model that is not causal"
    of_one = [not_asked, "ok", "ok", "ok", not_asked, "ok"]
    expected = []
    for path in paths:
        lines = zip(model_checks.CHECKS, of_one, strict=True)
        expected += [path, *(f"  {name:<24}{result}" for name, result in lines)]
    assert capsys.readouterr().out.splitlines() == expected

    monkeypatch.setattr(PaddingMask, "call", lambda self, x: ops.ones_like(x, dtype="bool"))
    assert evaluate.main(["--check", paths[0]]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "LEAK" in line]
    assert line.startswith("  padding                 LEAK  1 tokens of padding after 1 of text ")


def test_nothing_is_told_of_a_model_that_gives_no_numbers(make, tmp_path, capsys):
    model = make(EncoderLanguageModel)
    model.get_layer("logits").bias.assign(np.full(model.tokenizer.vocabulary_size, np.nan))
    model.save(tmp_path / "a.keras")
    assert not model_checks.check_models([str(tmp_path / "a.keras")])
    _, line = capsys.readouterr().out.splitlines()
    assert line == "  its logits are no numbers, so nothing can be told of it"
