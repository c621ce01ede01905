"""That attention stores no scores on a GPU, seen in the program that is made for one."""

import math
import re

import keras
import numpy as np
import pytest

from data.tokenizer import CharTokenizer
from models import DecoderLanguageModel, EncoderLanguageModel

BYTES = {"f32": 4, "i32": 4, "bf16": 2, "i1": 1}


@pytest.fixture
def gpu(monkeypatch):
    """JAX makes programs for a GPU without one, once it is told which one it would be."""
    if keras.backend.backend() != "jax":
        pytest.skip("only JAX has an attention kernel that stores no scores")
    kernel = pytest.importorskip("jax._src.cudnn.fused_attention_stablehlo")
    monkeypatch.setattr(kernel, "check_cudnn_version", lambda: 91100)
    monkeypatch.setattr(kernel, "check_compute_capability", lambda capability: True)
    monkeypatch.setattr(kernel, "is_cuda_compute_capability_equal", lambda capability: False)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0"])


def largest_tensor(kind, length, scores_are_read=False, **switches):
    """Bytes of the largest tensor in the gradient of a model's sum of logits, for a GPU."""
    import jax

    model = kind(
        CharTokenizer("abc"),
        context_length=length,
        d_model=16,
        num_heads=2,
        num_layers=2,
        dff=32,
        **{"dropout": 0.0, "position": "rotary", **switches},
    )
    outputs = model.output, *(layer.output[1] for layer in model.layers if "layer" in layer.name)
    model = keras.Model(model.input, outputs)

    def result(weights, token_ids):
        outputs, _ = model.stateless_call(weights, [], token_ids, training=True)
        read = outputs if scores_are_read else outputs[:1]
        return sum((tensor.astype("float32") ** 2).sum() for tensor in read)

    weights = [variable.value for variable in model.trainable_variables]
    traced = jax.jit(jax.grad(result)).trace(weights, np.zeros((2, length), "int32"))
    program = traced.lower(lowering_platforms=("cuda",)).as_text()
    tensors = re.findall(r"tensor<((?:\d+x)+)(f32|i32|bf16|i1)>", program)
    return max(
        BYTES[dtype] * math.prod(map(int, shape.strip("x").split("x"))) for shape, dtype in tensors
    )


def growth(*arguments, **named):
    """By how much the largest tensor grows when a text is four times as long."""
    return largest_tensor(*arguments, 4096, **named) / largest_tensor(*arguments, 1024, **named)


@pytest.mark.parametrize("num_kv_heads", [2, 1])
def test_memory_grows_with_the_context_and_not_with_its_square(num_kv_heads, gpu):
    switches = {"dtype": "mixed_bfloat16", "num_kv_heads": num_kv_heads}
    assert growth(DecoderLanguageModel, **switches) == 4


WITH_SCORES = {
    "scores that are read": {"scores_are_read": True},
    "float32": {"dtype": "float32"},
    "softmax-plus-one": {"softmax_plus_one": True},
    "ALiBi": {"position": "alibi"},
}


@pytest.mark.parametrize("switches", WITH_SCORES.values(), ids=WITH_SCORES)
def test_where_scores_are_wanted_they_are_there(switches, gpu):
    switches = {"dtype": "mixed_bfloat16", **switches}
    assert growth(DecoderLanguageModel, **switches) == 16


def test_padding_takes_the_scores(gpu):
    assert growth(EncoderLanguageModel, dtype="mixed_bfloat16") == 16
