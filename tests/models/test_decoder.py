"""The causal language model, and the variants that the encoder shares with it."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest

from architecture import Architecture
from data.corpora import TOY_SENTENCES
from data.tokenizer import WordTokenizer
from models import ZOO, DecoderLanguageModel, EncoderDecoderModel
from tests.layers.layer_checks import randomize, to_numpy

# Whatever an architecture has to choose from: a new switch is tested with all others.
SWITCHES = {
    field.name: (field.default, not field.default)
    if isinstance(field.default, bool)
    else field.metadata["allowed"]
    for field in dataclasses.fields(Architecture)
    if isinstance(field.default, bool) or isinstance(field.metadata["allowed"], tuple)
}
SWITCHES["num_kv_heads"] = (None, 1)
COMBINATIONS = [
    dict(zip(SWITCHES, values, strict=True)) for values in itertools.product(*SWITCHES.values())
]


def covering(combinations, size):
    """A few combinations in which every `size` values meet that meet in any."""
    met = [frozenset(itertools.combinations(c.items(), size)) for c in combinations]
    missing = set().union(*met)
    chosen = []
    while missing:
        best = max(range(len(met)), key=lambda number: len(met[number] & missing))
        chosen.append(combinations[best])
        missing -= met[best]
    return chosen


VARIANTS = [
    {"num_layers": 1 + number % 2, **variant}
    for number, variant in enumerate(
        [
            *covering(COMBINATIONS, 2),
            {**COMBINATIONS[0], "dff": 0},
            {**COMBINATIONS[-1], "dff": 0, "convolution": "attention"},
        ]
    )
]
FEW = [*covering(VARIANTS[:-2], 1), *VARIANTS[-2:]]  # every value of every switch
EACH = [pytest.param(v, marks=() if v in FEW else pytest.mark.slow) for v in VARIANTS]
TOKEN_IDS = np.array([[2, 3, 4, 5, 6], [9, 8, 7, 1, 2]], "int32")


def make(tokenizer, model="decoder", **variant):
    keras.utils.set_random_seed(3)
    arguments = {"context_length": 5, "d_model": 8, "num_layers": 2, "dff": 12, **variant}
    model = ZOO[model](with_what_it_needs(tokenizer, model), **arguments)
    randomize(model)
    return model


def with_what_it_needs(tokenizer, model):
    """A tokenizer with the extra tokens of a model."""
    extra = ZOO[model].extra_tokens
    return tokenizer.with_extra_tokens(*extra) if extra else tokenizer


def logits_of(model, token_ids=TOKEN_IDS):
    """Of some texts; of an encoder-decoder, for targets that begin with them in another order."""
    if isinstance(model, EncoderDecoderModel):
        token_ids = {"source_ids": token_ids, "target_ids": token_ids[:, ::-1]}
    return to_numpy(model(token_ids))


def name_of(variant):
    return "-".join(str(value) for value in variant.values())


@pytest.fixture(scope="module", params=EACH, ids=name_of)
def varied(request):
    """A model of each kind, made once; nobody changes it."""
    return make(WordTokenizer.from_texts(TOY_SENTENCES), **request.param)


def test_a_later_token_changes_no_earlier_logit(varied):
    texts = np.concatenate([TOKEN_IDS] * 4)  # two rows for each place; rows of one number are equal
    changed, places = texts.copy(), np.repeat(range(1, 5), 2)
    for row, place in enumerate(places):
        changed[row, place:] = [10, 0][row % 2]
    logits, others = to_numpy(varied(texts)), to_numpy(varied(changed))
    assert np.isfinite(logits).all()
    for row, place in enumerate(places):
        np.testing.assert_array_equal(others[row, :place], logits[row, :place])
    for place in range(1, 5):
        assert (others[places == place, place] != logits[places == place, place]).any()


def test_nobody_attends_to_later_tokens_and_everybody_to_something(varied):
    _, scores = varied.attention("i love deep learning")
    assert scores.shape == (varied.num_layers, 2, 4, 4)
    assert (np.triu(scores, k=1) == 0).all()
    if varied.softmax_plus_one:
        sums = scores.sum(axis=-1)
        assert sums.min() < 0.999
        assert sums.max() < 1
    else:
        np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("variant", EACH, ids=name_of)
def test_every_variant_is_saved_with_all_that_it_is(tokenizer, tmp_path, variant):
    kinds = list(ZOO)
    model = make(tokenizer, kinds[VARIANTS.index(variant) % len(kinds)], **variant)
    for name, value in variant.items():
        assert getattr(model, name) == value
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(logits_of(loaded), logits_of(model))


@pytest.mark.parametrize("position", SWITCHES["position"])
def test_only_with_positions_does_the_order_of_earlier_tokens_matter(tokenizer, position):
    model = make(tokenizer, position=position, num_layers=1)
    swapped = TOKEN_IDS[:, [1, 0, 2, 3, 4]]
    logits, other = to_numpy(model(TOKEN_IDS)), to_numpy(model(swapped))
    differences = np.abs(logits[:, 2:] - other[:, 2:])
    assert (differences.max() < 1e-5) == (position == "none")


def test_a_shorter_wavelength_turns_the_slow_pairs_further(tokenizer):
    wide = {"position": "rotary", "d_model": 16, "num_layers": 1}
    long, short = (make(tokenizer, rotary_wavelength=value, **wide) for value in (10000, 10))
    difference = np.abs(to_numpy(long(TOKEN_IDS)) - to_numpy(short(TOKEN_IDS)))
    assert difference[:, 0].max() < 1e-5 < 1e-3 < difference[:, 2:].max()
    layer = short.get_layer("encoder_layer_1")
    assert layer.attention.rotary.max_wavelength == 10
    assert short.get_config()["rotary_wavelength"] == 10


def test_tied_logits_are_dot_products_with_the_embeddings(tokenizer):
    model = make(tokenizer, tie_embeddings=True)
    paths = [weight.path for weight in model.weights]
    assert not any(path.startswith("logits") for path in paths)
    embeddings = to_numpy(model.get_layer("embedding").embedding.embeddings)
    before = keras.Model(model.input, model.get_layer("encoder_layer_2").output[0])
    expected = to_numpy(before(TOKEN_IDS)) @ embeddings.T
    np.testing.assert_allclose(to_numpy(model(TOKEN_IDS)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", ZOO)
def test_a_fresh_convolution_changes_nothing_and_its_weights_come_last(tokenizer, model):
    models = []
    for convolution in ("none", "both"):
        keras.utils.set_random_seed(3)
        own = with_what_it_needs(tokenizer, model)
        models.append(ZOO[model](own, context_length=5, convolution=convolution))
    for plain, other in zip(*map(logits_of, models), strict=True):
        np.testing.assert_array_equal(plain, other)
    # The state of an optimizer goes by the order of the weights.
    plain, paths = ([weight.path for weight in m.trainable_variables] for m in models)
    own = [f"encoder_layer_1/{part}_convolution/kernel" for part in ("attention", "feed_forward")]
    last = max(n for n, path in enumerate(plain) if path.startswith("encoder_layer_1"))
    assert paths[: last + 3] == plain[: last + 1] + own
    assert [path for path in paths if "convolution" not in path] == plain


def test_a_model_can_turn_a_part_of_each_head(tokenizer):
    wide = {"position": "rotary", "d_model": 16}
    whole, part = (make(tokenizer, rotary_fraction=share, **wide) for share in (1.0, 0.5))
    assert np.abs(to_numpy(whole(TOKEN_IDS)) - to_numpy(part(TOKEN_IDS))).max() > 0.01
    assert part.get_config()["rotary_fraction"] == 0.5


@pytest.mark.parametrize("placement", SWITCHES["norm_placement"])
def test_with_norm_first_the_last_residual_is_normalized_too(tokenizer, placement):
    names = [layer.name for layer in make(tokenizer, norm_placement=placement).layers]
    assert ("final_norm" in names) == (placement == "pre")


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"position": "left"}, "`position` must be one of 'sinusoidal', .* Received: .*'left'"),
        ({"norm": None}, "`norm` must be one of 'layer', 'rms'. Received: norm=None"),
        ({"norm_placement": "mid"}, "`norm_placement` must be one of 'post', 'pre'"),
        ({"activation": "tanh"}, "`activation` must be one of 'relu', .*'swiglu'"),
        ({"num_kv_heads": 3}, "`num_kv_heads` must be a divisor of `num_heads` 2"),
    ],
)
def test_wrong_arguments_are_refused_by_name(tokenizer, variant, message):
    with pytest.raises(ValueError, match=message):
        DecoderLanguageModel(tokenizer, context_length=4, **variant)
