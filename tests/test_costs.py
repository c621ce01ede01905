"""What a training is said to need, beside what compiled programs really need."""

import json

import pytest

from data.corpora import load_corpus
from experiments import costs, flags, preparation, training
from experiments.cli import UsageError
from tests.conftest import run_script
from tests.test_devices import FOUR, needs_jax

# Compiles the training step of each line of flags, and prints what `costs` says beside what XLA
# says. What devices add up is read from the program, the results of its all-reduces and their like.
REAL = """
import collections, json, math, re, sys
from experiments import cli
cli.import_keras()
import jax, keras, numpy as np
from data.corpora import load_corpus
from experiments import costs, devices, preparation, training
from experiments.flags import parse_settings

SIZES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "pred": 1}

def added_up(program):
    total = 0
    for types in re.findall(r"= (.*?) (?:all-reduce|all-gather|all-to-all)(?:-start)?\\(", program):
        for name, shape in re.findall(r"(\\w+)\\[([\\d,]*)\\]", types):
            total += SIZES[name] * math.prod(int(n) for n in shape.split(",") if n)
    return total

def local_bytes(variables):
    return sum(variable.value.addressable_shards[0].data.nbytes for variable in variables)

for line in sys.argv[1:]:
    *arguments, number, model_parallel = line.split()
    layout = int(number), int(model_parallel)
    settings, _ = parse_settings(arguments)
    corpus = load_corpus(settings.corpus)
    data = preparation.prepare_data(settings, corpus)
    keras.distribution.set_distribution(None)
    devices.distribute(settings, *layout)
    model = training.build_model(settings, corpus, data)
    found = costs.estimate(settings, data, model, *layout)

    batches = data.training.training_batches(settings.batch_size, 0).as_numpy_iterator()
    batch = next(batches)
    if isinstance(batch[0], dict):  # of the largest shape
        largest = max(source for _, source, _ in data.training.shapes)
        while batch[0]["source_ids"].shape[1] < largest:
            batch = next(batches)
    model._symbolic_build(data_batch=batch)  # makes the variables of metrics, as `fit` does first
    variables = [model.trainable_variables, model.non_trainable_variables]
    variables += [model.optimizer.variables, model.metrics_variables]
    state = tuple([v.value for v in some] for some in variables)
    shardings = None
    distribution = keras.distribution.distribution()
    if distribution is not None:
        shardings = None, jax.tree.map(lambda x: x.sharding, state)
        batch = jax.tree.map(
            lambda x: jax.device_put(x, distribution.get_data_layout(x.shape).backend_layout), batch
        )
    step = jax.jit(model.train_step, donate_argnums=0, out_shardings=shardings)
    program = step.lower(state, batch).compile()
    weights = found.memory["weights"]
    kept = found.memory["optimizer state"] + found.memory.get("averages", 0)
    batch_count = settings.accumulate
    forward, backward = (
        sum(column) for column in zip(*found.arithmetic.values(), strict=True)
    )
    update = found.arithmetic["update"][1]
    print(json.dumps({
        "weights": [weights, local_bytes(variables[0] + variables[1])],
        "kept": [kept, local_bytes(variables[2])],
        "passing": [found.peak - weights - kept, program.memory_analysis().temp_size_in_bytes],
        "arithmetic": [
            (forward + backward - update) / batch_count + update, program.cost_analysis()["flops"]
        ],
        "communication": [
            sum(size for size, _ in found.communication.values()) / batch_count,
            added_up(program.as_text()),
        ],
    }))
"""
SMALL = "--corpus=README.md --tokenizer=char --fill-vocabulary --vocabulary-size=104 --heads=4 "
SMALL += "--d-model=64 --dff=256 --context-length=64 --batch-size=8 --dropout=0 --model=decoder "
ONE = SMALL + "--layers=1 "
CASES = {
    "decoder": SMALL + "1 1",
    "wide": ONE + "--d-model=256 --dff=1024 1 1",
    "long": ONE + "--context-length=256 1 1",
    "many tokens": ONE + "--vocabulary-size=2000 --tie-embeddings 1 1",
    "dropout": ONE + "--dropout=0.1 1 1",
    "gelu": ONE
    + "--d-model=128 --dff=512 --activation=gelu --norm-placement=pre --position=learned 1 1",
    "encoder": ONE + "--model=encoder 1 1",
    "masked": ONE + "--model=masked 1 1",
    "pairs": "--corpus=dates --batch-size=16 --dropout=0 1 1",
    "muon": ONE + "--optimizer=muon --qk-norm --norm=rms --position=rotary --average=0.9 1 1",
    "accumulate": ONE + "--accumulate=2 2 1",
    "data": SMALL + "4 1",
    "model": ONE + "2 2",
    "both": SMALL + "--activation=swiglu --tie-embeddings 4 2",
    "few keys": ONE + "--num-kv-heads=2 4 4",
    "does not divide": ONE + "--vocabulary-size=105 2 2",
    "pairs, model": "--corpus=dates --batch-size=16 --dropout=0 --source-tokenizer=char 4 2",
    "one vocabulary": "--corpus=reverse --d-model=256 --dff=1024 --share-vocabulary "
    "--tie-embeddings 4 2",
    "few tokens, muon": ONE + "--d-model=256 --dff=1024 --batch-size=1 --optimizer=muon 1 1",
    "few tokens, clipped": ONE + "--d-model=256 --dff=1024 --batch-size=1 --clip-norm=1 1 1",
    "few tokens, data": ONE + "--d-model=256 --dff=1024 --batch-size=2 2 1",
    "few tokens, accumulate": ONE + "--d-model=256 --dff=1024 --batch-size=2 --accumulate=2 2 1",
    "muon, model": ONE + "--optimizer=muon --convolution=both 2 2",
}
# By how much an estimate may be off, as a share of what is real.
TOLERANCES = {
    "weights": 0,
    "kept": 0,
    "passing": 0.15,
    "arithmetic": 0.1,
    "communication": 0.15,
}


@pytest.fixture(scope="module")
def real():
    """For each case, what was estimated and what is real."""
    result = run_script("-c", REAL, *CASES.values(), timeout=600, **FOUR)
    assert result.returncode == 0, result.stderr
    return dict(zip(CASES, map(json.loads, result.stdout.splitlines()), strict=True))


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_compiled_programs_need_what_is_estimated(real, case):
    for name, tolerance in TOLERANCES.items():
        estimated, found = real[case][name]
        # Beside what is estimated there are scalars to add up: sums of losses and of weights.
        assert estimated == pytest.approx(found, rel=tolerance, abs=100 * (tolerance > 0)), name


def estimate(line, *layout):
    settings, _ = flags.parse_settings(line.split())
    corpus = load_corpus(settings.corpus)
    data = preparation.prepare_data(settings, corpus)
    return costs.estimate(settings, data, training.build_model(settings, corpus, data), *layout)


def test_a_small_decoder_counted_by_hand():
    line = "--model=decoder --tokenizer=char --fill-vocabulary --vocabulary-size=40 --layers=3"
    line += " --context-length=16 --batch-size=4 --d-model=32 --dff=96 --heads=4"
    found = estimate(line, 4, 2)
    tokens = 2 * 16  # of a device: half of four rows
    split_matrices = 3 * (4 * 32 * 32 + 2 * 32 * 96) // 2
    assert found.arithmetic["layers"][0] == 2 * tokens * split_matrices
    assert found.arithmetic["attention"] == (
        3 * 4 * tokens * 16 * 32 // 2,
        3 * 8 * tokens * 16 * 16,
    )
    assert found.arithmetic["logits"][0] == 2 * tokens * 32 * 40 // 2
    # Two of each layer and the embedding; four of each layer and the logits.
    assert found.communication["activations, forward"] == ((3 * 2 + 1) * tokens * 32 * 4, 2)
    assert found.communication["activations, backward"] == ((3 * 4 + 1) * tokens * 32 * 4, 2)
    gradients, among = found.communication["gradients"]
    assert among == 2
    assert found.sent == gradients + (3 * 6 + 2) * tokens * 32 * 4


@pytest.mark.parametrize("stored", ["", "--softmax-plus-one", "--position=alibi"])
def test_scores_that_no_one_stores_take_no_memory(stored, monkeypatch):
    line = "--model=decoder --tokenizer=char --context-length=16 --batch-size=4 --layers=3"
    line += f" --heads=2 --precision=mixed_bfloat16 {stored}"
    everywhere = estimate(line).memory["activations"]
    monkeypatch.setattr(costs, "has_fused_attention", lambda dtype: dtype == "bfloat16")
    saved = everywhere - estimate(line).memory["activations"]
    of_scores, of_sums = 16 * 16 * (4 + 2), 16 * 4
    assert saved == (0 if stored else 3 * 4 * 2 * (of_scores - of_sums))


def test_a_step_of_several_batches_takes_as_many_times_the_work():
    one, three = estimate("--batch-size=8", 2), estimate("--batch-size=8 --accumulate=3", 2)
    assert three.arithmetic["layers"][1] == 3 * one.arithmetic["layers"][1]
    assert three.arithmetic["update"] == one.arithmetic["update"]
    assert three.communication["gradients"][0] == 3 * one.communication["gradients"][0]
    assert three.memory["activations"] == one.memory["activations"]


def test_a_dry_run_plans_for_devices_that_are_not_there(train_here, tmp_path, capsys):
    arguments = ["--dry-run", "--devices=8", "--model-parallel=2", "--logs", str(tmp_path)]
    assert train_here(arguments) == 0
    printed = capsys.readouterr().out
    assert "devices 4 x 2: each has 1 / 4 of a batch" in printed
    for title in ("memory of a device", "arithmetic of a step", "communication of a step"):
        assert title in printed
    assert all(len(line) <= 100 for line in printed.splitlines()[2:])
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_what_does_not_divide(train_here, tmp_path):
    with pytest.raises(UsageError) as error:
        train_here(["--dry-run", "--devices=3", "--logs", str(tmp_path)])
    assert str(error.value) == (
        "argument --batch-size: expected a multiple of 3, among which --devices 3 share it out, "
        "got 8"
    )
