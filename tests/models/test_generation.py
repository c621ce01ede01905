"""Continuing texts: with and without a cache, alone and side by side, streamed, compiled."""

import json
import zipfile

import numpy as np
import pytest

from data.tokenizer import BPETokenizer, CharTokenizer, WordTokenizer
from models import DecoderLanguageModel
from models.compiled_parts import CompiledParts
from models.xla import has_xla
from tests.conftest import PROJECT, run_script
from tests.layers.layer_checks import randomize, to_numpy
from tests.models.test_decoder import EACH, FEW, TOKEN_IDS, make, name_of

CHARACTERS = "abcdefghijkl"
GROUPED = {"num_heads": 4, "num_kv_heads": 2, "position": "rotary"}


@pytest.fixture(scope="module")
def decoder():
    """A model that nobody changes: what was compiled for one test serves the others."""
    return make_decoder()


def make_decoder(tokenizer=None, model="decoder", **arguments):
    tokenizer = tokenizer or CharTokenizer(CHARACTERS)
    return make(tokenizer, model, **{"context_length": 6, "position": "learned", **arguments})


def generate(model, prompts, max_new_tokens=20, **arguments):
    """`model.generate` without the time that compiling takes."""
    return model.generate(prompts, max_new_tokens, **{"jit_compile": False, **arguments})


def by_hand(model, prompt, max_new_tokens, seed=0, row=0):
    """What `generate` shall give for one text, from the model's logits alone."""
    length, tokenizer = model.context_length, model.tokenizer
    token_ids = tokenizer.encode(prompt)
    window = token_ids[-length:]
    for uniform in np.random.default_rng((seed, row)).random(max_new_tokens, "float32"):
        if len(window) > length:
            window = window[-(length // 2) - 1 :]
        padded = np.array([window + [tokenizer.padding_id] * (length - len(window))])
        logits = model.predict_on_batch(padded)[0, len(window) - 1].astype("float64")
        logits[[tokenizer.padding_id, tokenizer.unknown_id]] = -np.inf
        shares = np.exp(logits - logits.max())
        ranked = np.argsort(-shares)
        ends = np.cumsum(shares[ranked] / shares.sum())
        token = int(ranked[np.searchsorted(ends, uniform)])
        token_ids, window = [*token_ids, token], [*window, token]
    return tokenizer.decode(token_ids)


# The cache changes nothing


@pytest.mark.parametrize("variant", [*EACH, GROUPED], ids=name_of)
def test_with_caches_the_logits_are_those_without(tokenizer, variant):
    model = make(tokenizer, **variant)
    expected = to_numpy(model(TOKEN_IDS))
    for lengths in [(1, 1, 1, 1, 1), (3, 1, 1)]:
        caches, start = model.empty_caches(batch_size=2), 0
        for length in lengths:
            new = TOKEN_IDS[:, start : start + length]
            logits, _ = model.read(new, caches)
            np.testing.assert_allclose(
                to_numpy(logits), expected[:, start : start + length], rtol=1e-5, atol=1e-5
            )
            start += length
            for cache in caches:
                cache.start = start


@pytest.mark.parametrize("variant", [*FEW, GROUPED], ids=name_of)
def test_a_text_is_what_the_logits_say_also_where_it_outgrows_the_context(variant):
    model = make_decoder(**variant)
    expected = by_hand(model, "abc", max_new_tokens=20)
    assert generate(model, "abc") == generate(model, "abc", use_cache=False) == [expected]


@pytest.mark.parametrize(("tokens", "is_read_at_once"), [(1, False), (4, False), (5, True)])
@pytest.mark.parametrize("convolution", ["none", "both"])
def test_a_short_prompt_is_read_by_the_loop(monkeypatch, tokens, is_read_at_once, convolution):
    model = make_decoder(context_length=32, convolution=convolution)
    if convolution == "both":
        randomize(model)
    starts = []
    read = CompiledParts.read
    monkeypatch.setattr(
        CompiledParts, "read", lambda self, *args: starts.append(args[1]) or read(self, *args)
    )
    prompt = "abcde"[:tokens]
    pieces = [piece for (piece,) in model.stream(prompt, 9, jit_compile=False, tokens_at_a_time=1)]
    assert starts == [tokens - 1 if is_read_at_once else 0]
    assert [len(piece) for piece in pieces] == [1] * 9
    assert prompt + "".join(pieces) == by_hand(model, prompt, max_new_tokens=9)


@pytest.mark.parametrize(
    ("max_new_tokens", "room"), [(1, 64), (63, 64), (64, 64), (65, 128), (129, 200), (300, 200)]
)
def test_there_is_room_for_what_is_asked_for_and_no_more(max_new_tokens, room, monkeypatch):
    model = make_decoder(context_length=200, num_layers=1)
    rooms = []
    empty_caches = model.empty_caches
    monkeypatch.setattr(
        model, "empty_caches", lambda *sizes: rooms.append(sizes) or empty_caches(*sizes)
    )
    text = generate(model, "a", max_new_tokens, top_k=1)[0]
    assert len(text) == 1 + max_new_tokens
    assert set(rooms) == {(1, room)}
    assert text == generate(model, "a", max_new_tokens, top_k=1, use_cache=False)[0]


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("use_cache", [True, False])
def test_a_context_of_any_length_can_be_outgrown(length, use_cache):
    model = make_decoder(context_length=length)
    expected = by_hand(model, "abc", max_new_tokens=14)
    assert generate(model, "abc", 14, use_cache=use_cache) == [expected]


@pytest.mark.parametrize("variant", FEW[:2], ids=name_of)
def test_a_model_that_looks_to_the_right_generates_too(tokenizer, variant):
    model = make_decoder(tokenizer, "encoder", **variant)
    assert not model.can_cache
    assert generate(model, "i love") == [by_hand(model, "i love", max_new_tokens=20)]


@pytest.mark.parametrize("model", ["decoder", "encoder"])
@pytest.mark.skipif(not has_xla(), reason="there is no XLA: nothing is compiled")
def test_compiled_the_texts_are_the_same_and_it_is_compiled_once(model, monkeypatch):
    model = make_decoder(model=model)
    calls = []
    for name in ("read", "call"):
        original = getattr(model, name)

        def count(*args, original=original, **kwargs):
            calls.append(original)
            return original(*args, **kwargs)

        monkeypatch.setattr(model, name, count)
    text = model.generate("ab", max_new_tokens=9, temperature=0.7, seed=5)
    traced = len(calls)
    assert 0 < traced < 9
    again = [
        model.generate("ab", 9, temperature=t, seed=5, top_p=p) for t, p in [(0.7, 1), (2, 0.5)]
    ]
    assert len(calls) == traced
    assert again[0] == text == generate(model, "ab", 9, temperature=0.7, seed=5)
    assert again[1] != text


def test_weights_that_change_are_seen_by_what_is_compiled():
    decoder = make_decoder()
    before = decoder.generate("a", 8)
    randomize(decoder, seed=2)
    after = decoder.generate("a", 8)
    assert after == [by_hand(decoder, "a", 8)]
    assert after != before


@pytest.mark.parametrize("use_cache", [True, False])
def test_mixed_precision_generates(use_cache):
    model = make_decoder(dtype="mixed_bfloat16", position="rotary", convolution="both")
    (text,) = generate(model, "abc", use_cache=use_cache)
    assert text.startswith("abc")
    assert len(text) == 23


# Several texts, streams of them, and random numbers


@pytest.mark.parametrize(
    ("model", "convolution"),
    [
        ("decoder", "both"),
        ("encoder", "none"),
        pytest.param("decoder", "none", marks=pytest.mark.slow),
        pytest.param("encoder", "both", marks=pytest.mark.slow),
    ],
)
def test_texts_of_different_lengths_side_by_side_are_what_they_are_alone(model, convolution):
    model = make_decoder(model=model, convolution=convolution)
    prompts = ["abcde", "l", "abcdefghij", "cab"]
    together = generate(model, prompts, top_k=1)
    assert together == [generate(model, prompt, top_k=1)[0] for prompt in prompts]
    assert [len(text) for text in together] == [25, 21, 30, 23]
    assert together == generate(model, prompts, top_k=1, use_cache=False)


def test_each_text_has_random_numbers_of_its_own(decoder):
    texts = generate(decoder, ["abc"] * 4 + ["l"])
    assert texts == [by_hand(decoder, "abc", 20, row=row) for row in range(4)] + [
        by_hand(decoder, "l", 20, row=4)
    ]
    assert len(set(texts)) == 5


def test_the_seed_makes_the_text(decoder):
    texts = [generate(decoder, "abc", seed=seed)[0] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_greedy_is_the_likeliest_token_each_time(decoder):
    token_ids = decoder.tokenizer.encode("abc")
    for _ in range(3):
        logits = to_numpy(decoder(np.array([token_ids])))[0, -1]
        token_ids.append(2 + int(np.argmax(logits[2:])))
    expected = decoder.tokenizer.decode(token_ids)
    assert generate(decoder, "abc", 3, top_k=1, seed=9) == [expected]


def test_characters_of_several_tokens_are_put_together():
    model = make_decoder(BPETokenizer(["Ð ¶", "æ Ĺ"]))
    end = "\N{REPLACEMENT CHARACTER}"  # of a character that was not finished
    expected = by_hand(model, "жж日", 60).rstrip(end)
    for tokens_at_a_time in (1, 5):
        steps = model.stream("жж日", 60, tokens_at_a_time=tokens_at_a_time, jit_compile=False)
        pieces = ["жж日", *(piece for (piece,) in steps)]
        assert "".join(pieces).rstrip(end) == expected


@pytest.mark.parametrize("tokens_at_a_time", [1, 4, 100])
def test_streamed_pieces_make_the_same_texts(decoder, tokens_at_a_time):
    prompts = ["abcd", "lk"]
    expected = generate(decoder, prompts, 15)
    steps = list(decoder.stream(prompts, 15, jit_compile=False, tokens_at_a_time=tokens_at_a_time))
    assert [
        p + "".join(s) for p, s in zip(prompts, zip(*steps, strict=True), strict=True)
    ] == expected
    assert max(len(piece) for step in steps for piece in step) <= tokens_at_a_time
    assert len(steps) >= 17 / tokens_at_a_time


def test_a_stream_gives_what_it_has_before_it_goes_on(decoder):
    steps = decoder.stream("abc", 10_000, jit_compile=False, tokens_at_a_time=2)
    assert len(next(steps)[0]) == len(next(steps)[0]) == 2


def test_words_are_joined_with_spaces(tokenizer):
    model = make_decoder(tokenizer)
    (text,) = generate(model, "I love ", 4)
    assert text.startswith("I love ")
    assert len(text.split(" ")) == 6
    assert "".join(piece for (piece,) in model.stream("i", 2, jit_compile=False))[0] == " "


def test_of_a_long_prompt_the_last_tokens_are_read_and_all_are_given_back(decoder):
    long, short = generate(decoder, "kjihgabcdef")[0], generate(decoder, "abcdef")[0]
    assert long == "kjihg" + short


@pytest.mark.parametrize("model", ["decoder", "encoder"])
def test_padding_and_unknown_are_never_generated(model):
    model = make_decoder(model=model)
    bias = model.get_layer("logits").bias
    bias.assign(50 * np.eye(*bias.shape)[0] + 60 * np.eye(*bias.shape)[1])
    (text,) = generate(model, "ab", 40)
    assert len(text) == 42
    assert set(text) <= set(CHARACTERS)


# Saving


@pytest.mark.slow
def test_a_model_that_has_generated_is_saved_as_before(tmp_path):
    decoder = make_decoder()
    decoder.save(tmp_path / "before.keras")
    text = decoder.generate("abc", 12)
    generate(decoder, "abc", 12, use_cache=False)
    decoder.save(tmp_path / "after.keras")
    files = []
    for name in ("before", "after"):
        with zipfile.ZipFile(tmp_path / f"{name}.keras") as archive:
            files.append({n: archive.read(n) for n in archive.namelist() if n != "metadata.json"})
    assert files[0].keys() == files[1].keys()
    assert files[0]["config.json"] == files[1]["config.json"]
    assert len(files[0]["model.weights.h5"]) == len(files[1]["model.weights.h5"])

    code = (
        "import json, keras, models, numpy as np\n"
        f"model = keras.saving.load_model({str(tmp_path / 'after.keras')!r})\n"
        "logits = keras.ops.convert_to_numpy(model(np.array([[2, 3, 4]])))\n"
        "print(json.dumps([model.generate('abc', 12), logits.tolist()]))"
    )
    result = run_script("-c", code, cwd=PROJECT)
    assert result.returncode == 0, result.stderr
    loaded_text, logits = json.loads(result.stdout)
    assert loaded_text == text
    expected = to_numpy(decoder(np.array([[2, 3, 4]])))
    np.testing.assert_array_equal(np.array(logits, "float32"), expected)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": []}, r"`prompts` must hold at least one text. Received: prompts=\[\]"),
        ({"prompts": ["a", ""]}, "must hold at least one character. Received: ''"),
        ({"prompts": "a!b?!"}, "only characters that the model knows. Received: '!', '\\?' in 'a!"),
        (
            {"max_new_tokens": 0},
            "`max_new_tokens` must be a whole number of at least 1. Received: .*=0",
        ),
        ({"temperature": 0}, "`temperature` must be a number above 0. Received: temperature=0"),
        ({"temperature": -1.0}, "`temperature` must be a number above 0"),
        ({"temperature": float("inf")}, "`temperature` must be a number above 0"),
        ({"temperature": float("nan")}, "`temperature` must be a number above 0"),
        ({"top_k": 0}, "`top_k` must be a whole number of at least 1. Received: top_k=0"),
        ({"top_p": 0}, "`top_p` must be a number above 0 and at most 1. Received: top_p=0"),
        ({"top_p": 1.1}, "`top_p` must be a number above 0 and at most 1. Received: top_p=1.1"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0. Received: seed=-1"),
    ],
)
def test_wrong_arguments_are_refused_by_name(decoder, arguments, message):
    arguments = {"prompts": "abc", **arguments}
    with pytest.raises(ValueError, match=message):
        decoder.generate(**arguments)
    with pytest.raises(ValueError, match=message):
        decoder.stream(**arguments)


def test_unknown_words_are_refused_by_name():
    model = DecoderLanguageModel(WordTokenizer(["i", "love"]), context_length=4)
    message = "only words that the model knows. Received: 'zebra', '\\[unk\\]' in 'i love"
    with pytest.raises(ValueError, match=message):
        model.generate("i love zebra [UNK]")


def test_a_stream_of_no_tokens_at_a_time_is_refused(decoder):
    with pytest.raises(ValueError, match="`tokens_at_a_time` must be a whole number of at least 1"):
        decoder.stream("abc", tokens_at_a_time=0)


def test_more_choices_than_there_are_tokens_are_all_tokens(decoder):
    assert generate(decoder, "abc", top_k=1000) == generate(decoder, "abc", top_k=12)
