"""Whether a model keeps its promises: the checks of `evaluate.py --check`.

Each check takes a model and returns None where all is well, or else what is wrong, in words. What
a check finds is shown on texts that need no corpus: tokens drawn at random, one token again and
again, and the vocabulary in its order. An encoder-decoder reads two of them at a time: what is
said of later tokens is about targets, and padding is put after source and target.

Two results are compared bit for bit where both have been computed in the same shapes: whatever is
masked is multiplied by zero, so it makes no difference at all. In other shapes sums are taken in
another order, and the last bits differ: `rounding` says by how much they may.
"""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from keras import ops, tree

from data.tokenizer import Tokenizer
from experiments.cli import UsageError, load_model
from experiments.console import console
from models import EncoderDecoderModel, ZooModel
from models.beam_search import BeamSearch
from models.token_generator import TokenGenerator, random_numbers

# The distance from 1 to the next number.
_EPSILON = {"float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}


def check_later_tokens(model: ZooModel) -> str | None:
    """Changes all tokens after a place: the logits up to there must be the same, bit for bit."""
    length = model.context_length
    inputs = make_inputs(model, length)
    token_ids = inputs["target_ids"] if isinstance(inputs, dict) else inputs  # (3, T)
    others = np.roll(make_texts(model.tokenizer, length, seed=1), 1, axis=0)
    next_ones = token_ids % (model.tokenizer.vocabulary_size - 1) + 1
    others = np.where(others == token_ids, next_ones, others)
    before = _logits(model, inputs)  # (3, T, V)
    for end in _spread(length - 1):
        changed = np.where(np.arange(length) <= end, token_ids, others)
        if isinstance(inputs, dict):
            changed = {**inputs, "target_ids": changed}
        leak = _difference(before[:, : end + 1], _logits(model, changed)[:, : end + 1])
        if leak:
            return f"tokens from place {end + 1} on, counted from 0, change {leak}"
    return None


def check_padding(model: ZooModel) -> str | None:
    """Puts padding to the right of texts: the logits of their tokens must be the same."""
    length = model.context_length
    for real in sorted({1, (length + 1) // 2, length - 1} - {0, length}):
        inputs = make_inputs(model, real)
        alone = _logits(model, inputs)
        for number in sorted({1, length - real}):
            padding = {"pad_width": ((0, 0), (0, number)), "mode": "constant"}
            padding["constant_values"] = model.tokenizer.padding_id
            padded = tree.map_structure(lambda ids, how=padding: np.pad(ids, **how), inputs)
            beside = _logits(model, padded)[:, :real]
            leak = _difference(alone, beside, rounding(model, alone))
            if leak:
                return f"{number} tokens of padding after {real} of text change {leak}"
    return None


def check_other_texts(model: ZooModel) -> str | None:
    """Puts other texts beside a text in a batch: its logits must be the same."""
    length = model.context_length
    inputs, others = make_inputs(model, length), make_inputs(model, length, seed=1)
    for token_ids in tree.flatten(others):
        token_ids[:, (length + 1) // 2 :] = model.tokenizer.padding_id  # shorter ones among them
    together = _logits(model, inputs)
    for row in range(len(together)):
        is_row = np.arange(len(together))[:, None] == row
        beside = tree.map_structure(lambda own, o, i=is_row: np.where(i, own, o), inputs, others)
        leak = _difference(together[row], _logits(model, beside)[row])
        if leak:
            return f"other texts in the batch change {leak}"
        (alone,) = _logits(model, tree.map_structure(lambda ids, r=row: ids[[r]], inputs))
        leak = _difference(alone, together[row], rounding(model, alone))
        if leak:
            return f"{len(together) - 1} texts beside a text change {leak}"
    return None


def check_attention_rows(model: ZooModel) -> str | None:
    """Adds up the attention of each query: to 1, or to less with `softmax_plus_one`.

    Some texts are padded, and nothing may be negative.
    """
    inputs = make_inputs(model, model.context_length)
    for token_ids in tree.flatten(inputs):
        token_ids[0, (model.context_length + 1) // 2 :] = model.tokenizer.padding_id
    less = model.architecture.softmax_plus_one
    # Each score is rounded by half an epsilon of itself at most, so the sum of all is, too.
    slack = max(_EPSILON[model.compute_dtype], 1e-5)
    for layer, scores in _scores(model, inputs):
        scores = ops.convert_to_numpy(ops.cast(scores, "float32"))  # (B, N, T, S)
        sums = scores.sum(axis=-1, dtype="float64")
        wrong = ~(np.abs(sums - 1) <= slack)
        if less:
            wrong = ~((sums > 0) & (sums <= 1 + slack)) | np.all(sums >= 1 - 1e-7)
        wrong |= ~(scores.min(axis=-1) >= 0)
        if wrong.any():
            text, head, query = np.argwhere(wrong)[0]
            return (
                f"{layer}, head {head + 1}: the row of place {query} in text {text + 1} sums "
                f"to {sums[text, head, query]:.6g}, expected {'less than ' if less else ''}1"
            )
    return None


def check_cache(model: ZooModel) -> str | None:
    """Writes with cached keys and values and without: greedily and at random, the same tokens.

    Prompts are short, and long enough for the context to be full in between. Where the two differ,
    rounding may have tipped the scales between tokens that are as good as equally likely. So the
    logits are looked at then. An encoder-decoder writes targets, with one beam and with three.
    """
    if isinstance(model, EncoderDecoderModel):
        return _check_cache_of_targets(model)
    length, count = model.context_length, 16
    generator = TokenGenerator(model)
    for lengths in [(1, 2, 5), (length - 8, length - 1, length)]:
        rows = make_texts(model.tokenizer, length)
        prompts = [row[: max(n, 1)].tolist() for row, n in zip(rows, lengths, strict=True)]
        # So cold that the likeliest token is certain, without a function to compile for itself.
        for temperature, way in ((1e-6, "greedily"), (1.0, "at random")):
            # With the cache as everybody writes; without it XLA would only take its time.
            cached, uncached = (
                _join(
                    generator.generate(
                        prompts, count, temperature, use_cache=use_cache, jit_compile=use_cache
                    )
                )
                for use_cache in (True, False)
            )
            for row, prompt in enumerate(prompts):
                place = _first_difference(cached[row], uncached[row])
                if place is None:
                    continue
                text = prompt[-length:] + uncached[row][:place]
                uniform = random_numbers(seed=0, row=row, count=count)[place]
                if not _could_be(model, text, uniform, temperature, cached[row][place]):
                    names = model.tokenizer.tokens([cached[row][place], uncached[row][place]])
                    return (
                        f"writing {way}, new token {place + 1} after a prompt of {len(prompt)} "
                        f"is {names[0]!r} with the cache and {names[1]!r} without"
                    )
    return None


def _check_cache_of_targets(model):
    search = BeamSearch(model, model.tokenizer.special_id("[END]")).search
    sources = make_texts(model.source_tokenizer, model.context_length)
    begins = np.full((len(sources), 1), model.tokenizer.special_id("[BEGIN]"))
    count = min(model.context_length - 1, 16)
    for beams in (1, 3) if count else ():
        (cached, scores, _), (uncached, others, _) = (
            search(begins, count, beams, 0.6, sources, 1, use_cache, use_cache)
            for use_cache in (True, False)
        )
        # A score is a sum of so many log probabilities, each off by twice the rounding at most.
        allowed = 2 * count * rounding(model, _logits(model, make_inputs(model, count)))
        for row in range(len(sources)):
            is_same = np.array_equal(cached[row, 0], uncached[row, 0])
            apart = abs(float(scores[row, 0]) - float(others[row, 0]))
            if not apart <= (allowed if is_same else 2 * allowed):
                return (
                    f"with {beams} beams, source {row + 1} gets a target of score "
                    f"{scores[row, 0]:.5g} with the cache and of {others[row, 0]:.5g} without"
                )
    return None


def check_saving(model: ZooModel) -> str | None:
    """Saves the model and loads it: settings, weights and logits must be the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
            loaded = load_model(str(path))
        except (UsageError, ValueError, TypeError) as error:
            return f"it can't be loaded again: {' '.join(str(error).split())}"
    for name, value in vars(model.architecture).items():
        if getattr(loaded.architecture, name) != value:
            return f"`{name}` was {value} and is {getattr(loaded.architecture, name)}"
    for name in ("tokenizer", "source_tokenizer"):
        before, after = (
            getattr(getattr(m, name, None), "vocabulary", None) for m in (model, loaded)
        )
        if before != after:
            return "the vocabulary is another"
    if loaded.dtype_policy != model.dtype_policy:
        return f"`dtype` was {model.dtype_policy.name} and is {loaded.dtype_policy.name}"
    if len(loaded.weights) != len(model.weights):
        return f"it had {len(model.weights)} weights and has {len(loaded.weights)}"
    for before, after in zip(model.weights, loaded.weights, strict=True):
        if not np.array_equal(*map(ops.convert_to_numpy, (before, after)), equal_nan=True):
            return f"the weights {before.path} are others"
    inputs = make_inputs(model, model.context_length)
    leak = _difference(_logits(model, inputs), _logits(loaded, inputs))
    return f"loading changes {leak}" if leak else None


# What is checked, and what a model must be for that.
CHECKS = {
    "later tokens": (check_later_tokens, "is_causal"),
    "padding": (check_padding, None),
    "other texts of a batch": (check_other_texts, None),
    "rows of attention": (check_attention_rows, None),
    "cache": (check_cache, "can_cache"),
    "saving and loading": (check_saving, None),
}


def check_models(paths: Sequence[str]) -> bool:
    """Checks saved models and prints a line a check; whether all is well."""
    is_well = True
    for path in paths:
        model = load_model(path)
        console.print(path, soft_wrap=True)
        if not np.isfinite(_logits(model, make_inputs(model, model.context_length))).all():
            console.print("  its logits are no numbers, so nothing can be told of it")
            is_well = False
            continue
        for name, (check, needed) in CHECKS.items():
            if needed is not None and not getattr(model, needed):
                result = "-     not asked of a model that is not causal"
            else:
                with console.status(f"checking: {name}"):
                    leak = check(model)
                is_well = is_well and leak is None
                result = "ok" if leak is None else f"LEAK  {leak}"
            console.print(f"  {name:<24}{result}", soft_wrap=True)
    return is_well


def make_inputs(model: ZooModel, length: int, seed: int = 0):
    """What a model is called with: three texts; or three sources and as many targets."""
    token_ids = make_texts(model.tokenizer, length, seed)
    if not isinstance(model, EncoderDecoderModel):
        return token_ids
    source_ids = make_texts(model.source_tokenizer, length, seed)
    return {"source_ids": source_ids, "target_ids": np.roll(token_ids, 1, axis=0)}


def make_texts(tokenizer: Tokenizer, length: int, seed: int = 0) -> np.ndarray:
    """Three texts of a tokenizer's, int32, (3, length): random, of one token, in order."""
    size = tokenizer.vocabulary_size
    random = np.random.default_rng(seed)
    in_order = (random.integers(size) + np.arange(length)) % (size - 1) + 1  # without padding
    rows = [random.integers(1, size, length), np.full(length, random.integers(1, size)), in_order]
    return np.array(rows, "int32")


def rounding(model: ZooModel, logits: np.ndarray) -> float:
    """How far logits may lie apart that were computed in other shapes."""
    steps = 256 if model.compute_dtype == "float32" else 8
    return steps * _EPSILON[model.compute_dtype] * max(1.0, float(np.abs(logits).max()))


def _logits(model, inputs):
    """float32, (B, T, V); not compiled, so that each shape is computed at once."""
    return ops.convert_to_numpy(ops.cast(model(inputs, training=False), "float32"))


def _scores(model, inputs):
    """Attention scores, (B, N, T, S), each with the name of its layer."""
    if not isinstance(model, EncoderDecoderModel):
        kinds = {"": model.read(inputs)[1]}
    else:
        memory, mask, of_encoder = model.encode(inputs["source_ids"])
        _, of_decoder, cross = model.decode(inputs["target_ids"], memory, mask)
        kinds = {"encoder's ": of_encoder, "decoder's ": of_decoder, "cross-attention of ": cross}
    for kind, scores_of_layers in kinds.items():
        for number, scores in enumerate(scores_of_layers, start=1):
            yield f"{kind}layer {number}", scores


def _difference(before, after, allowed=0.0):
    """In words where two arrays of logits, (..., T, V), lie furthest apart; None if nowhere."""
    apart = np.abs(before - after).max(axis=-1)  # (..., T)
    if np.all(apart <= allowed):
        return None
    place = np.argwhere(~(apart <= allowed))[0][-1]
    limit = f", more than the {allowed:.1g} of rounding" if allowed else ""
    return f"the logits at place {place} by {apart.max():.3g}{limit}"


def _spread(count):
    """Some of the numbers from 0 to count - 1, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, 8)).astype(int)) if count else []


def _join(steps):
    """The new tokens of each text, from the pieces that they come in."""
    return [list(itertools.chain(*pieces)) for pieces in zip(*steps, strict=True)]


def _first_difference(some, others):
    return next((n for n, (a, b) in enumerate(zip(some, others, strict=True)) if a != b), None)


def _could_be(model, text, uniform, temperature, token):
    """Whether rounding alone could make this the token that is drawn after a text."""
    length, tokenizer = model.context_length, model.tokenizer
    first = 0  # the model forgets half each time the context is full
    while len(text) > first + length:
        first += length - length // 2
    logits = _logits(model, np.array([text[first:]], "int32"))[0, -1].astype("float64")
    allowed = rounding(model, logits)
    logits[tokenizer.special_ids] = -np.inf
    ahead = logits > logits[token] + 2 * allowed  # for sure
    level = logits >= logits[token] - 2 * allowed  # the others are behind for sure
    begin, end = (
        np.logaddexp.reduce(logits[these] / temperature)
        - np.logaddexp.reduce(logits[~these] / temperature)
        for these in (ahead, level)
    )  # log odds of where the token's part of the line begins and ends
    slack = 2 * allowed / temperature
    return _sigmoid(begin - slack) - 1e-6 <= uniform <= _sigmoid(end + slack) + 1e-6


def _sigmoid(x):
    return np.exp(-np.logaddexp(0.0, -x))
