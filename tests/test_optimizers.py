"""The optimizers' gradient norm and updates, and what is decayed."""

import functools

import keras
import numpy as np
import pytest

import optimizers
from layers import ShortConvolution
from optimizers import make_optimizer
from schedules import make_schedule


def make_model():
    model = keras.Sequential(
        [keras.layers.Input((3,)), keras.layers.Dense(4), keras.layers.LayerNormalization()]
    )
    model.build()
    return model


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_the_gradient_norm_is_that_of_all_gradients_together_before_clipping(name, clip_norm):
    model = make_model()
    optimizer = make_optimizer(name, model, 0.1, global_clipnorm=clip_norm)
    gradients = [keras.ops.full(v.shape, float(i)) for i, v in enumerate(model.trainable_variables)]
    optimizer.apply(gradients, model.trainable_variables)
    expected = np.sqrt(sum(np.sum(np.square(gradient)) for gradient in map(np.asarray, gradients)))
    assert float(optimizer.gradient_norm) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("adam", keras.optimizers.Adam),
        ("adamw", functools.partial(keras.optimizers.AdamW, weight_decay=0.0)),
    ],
)
@pytest.mark.parametrize("arguments", [{}, {"amsgrad": True}, {"beta_1": 0.5, "epsilon": 1e-3}])
def test_updates_are_those_of_keras_to_the_last_bit(name, theirs, arguments):
    results = []
    for make in (
        lambda model: make_optimizer(name, model, 0.1, **arguments),
        lambda model: theirs(0.1, **arguments),
    ):
        keras.utils.set_random_seed(0)
        model = make_model()
        optimizer = make(model)
        for _ in range(5):
            gradients = [keras.ops.sin(5.0 * v + 1.0) for v in model.trainable_variables]
            optimizer.apply(gradients, model.trainable_variables)
        results.append(model.get_weights())
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"nesterov": False, "momentum": 0.8},
        {"rms_rate": None, "ns_steps": 2},
        {"adam_beta_1": 0.5, "adam_lr_ratio": 0.1, "weight_decay": 0.3, "exclude_layers": ["last"]},
        {"gradient_accumulation_steps": 2},
    ],
)
def test_the_updates_of_muon_are_those_of_keras(arguments):
    results = []
    for make in (optimizers.Muon, keras.optimizers.Muon):
        keras.utils.set_random_seed(0)
        widths = {"wide": 8, "tall": 4, "wide_again": 8, "tall_again": 4, "square": 4, "last": 4}
        model = keras.Sequential(
            [keras.Input((4,)), *(keras.layers.Dense(n, name=name) for name, n in widths.items())],
            name="model",
        )
        optimizer = make(0.1, name="muon", **arguments)
        for _ in range(6):
            gradients = [keras.ops.sin(5.0 * v + 1.0) for v in model.trainable_variables]
            optimizer.apply(gradients, model.trainable_variables)
        results.append({v.path: np.asarray(v) for v in model.weights + optimizer.variables})
    ours, theirs = results
    assert set(ours) - set(theirs) == {"muon/gradient_norm"}
    for path, expected in theirs.items():
        np.testing.assert_allclose(ours[path], expected, rtol=1e-4, atol=1e-5, err_msg=path)


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
@pytest.mark.parametrize(("beta_2", "epsilon"), [(None, None), (0.98, None), (None, 1e-9)])
def test_the_numbers_of_adam_are_those_given_or_keras_s_own(name, beta_2, epsilon):
    optimizer = make_optimizer(name, make_model(), 0.1, beta_2=beta_2, epsilon=epsilon)
    used = optimizer.adam_beta_2 if name == "muon" else optimizer.beta_2
    assert (used, optimizer.epsilon) == (beta_2 or 0.999, epsilon or 1e-7)


def test_the_adam_in_muon_forgets_as_it_is_told():
    model = make_model()
    optimizer = make_optimizer("muon", model, 0.1, beta_2=0.5)
    optimizer.apply([v * 0 + 2.0 for v in model.trainable_variables], model.trainable_variables)
    velocities = [np.asarray(v) for v in optimizer.adam_velocities if v is not None]
    assert len(velocities) == 3  # a bias, a scale and a shift
    assert all((velocity == 2).all() for velocity in velocities)  # half of 4


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_rate_is_corrected_once_an_update(name, monkeypatch):
    model = make_model()
    optimizer = make_optimizer(name, model, 0.1)
    powers = []
    power = keras.ops.power
    monkeypatch.setattr(
        optimizers.ops, "power", lambda x, t: powers.append(float(t)) or power(x, t)
    )
    for _ in range(2):
        optimizer.apply([v + 1 for v in model.trainable_variables], model.trainable_variables)
    assert powers == [1, 1, 2, 2]  # for beta_1 and beta_2


def test_matrices_of_one_shape_are_orthogonalized_together(monkeypatch):
    model = keras.Sequential([keras.Input((4,)), *map(keras.layers.Dense, (8, 4, 8, 4, 4))])
    shapes = []
    together = optimizers.Muon.zeropower_via_newtonschulz5
    monkeypatch.setattr(
        optimizers.Muon,
        "zeropower_via_newtonschulz5",
        lambda self, x, steps: shapes.append(tuple(x.shape)) or together(self, x, steps),
    )
    optimizers.Muon(0.1).apply(
        [v + 1 for v in model.trainable_variables], model.trainable_variables
    )
    assert shapes == [(4, 4, 8), (1, 4, 4)]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_matrices_alone_are_decayed(name):
    model = make_model()
    before = [weight + 1 for weight in model.get_weights()]
    model.set_weights(before)
    optimizer = make_optimizer(name, model, 0.1, weight_decay=0.5)
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables],
                    model.trainable_variables)  # fmt: skip
    for weight, old in zip(model.get_weights(), before, strict=True):
        factor = 0.95 if weight.ndim == 2 else 1.0
        np.testing.assert_allclose(weight, factor * old, rtol=1e-6)


def test_muon_leaves_the_weights_of_a_convolution_to_adam():
    convolution = ShortConvolution()
    model = keras.Sequential([keras.layers.Input((5, 3)), convolution])
    optimizer = make_optimizer("muon", model, 0.1)
    gradient = np.random.default_rng(0).normal(size=convolution.kernel.shape)
    optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [convolution.kernel])
    # Adam's first step is as long for every weight, at a third of the learning rate.
    (kernel,) = model.get_weights()
    np.testing.assert_allclose(kernel, -0.03 * np.sign(gradient), rtol=1e-4)


class Counted(keras.optimizers.schedules.LearningRateSchedule):
    """A rate of 0.1 that knows how often it was asked for."""

    def __init__(self):
        self.calls = 0

    def __call__(self, step):
        self.calls += 1
        return keras.ops.convert_to_tensor(0.1)


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
def test_a_schedule_is_asked_once_an_update(name):
    model, schedule = make_model(), Counted()
    optimizer = make_optimizer(name, model, schedule, weight_decay=0.5)
    optimizer.build(model.trainable_variables)
    schedule.calls = 0
    for _ in range(2):
        gradients = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
        optimizer.apply(gradients, model.trainable_variables)
    assert schedule.calls == 2
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    assert schedule.calls == 3


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
def test_a_saved_model_has_its_optimizer_again(name, tmp_path):
    model = make_model()
    schedule = make_schedule(0.1, steps=10, warmup_steps=4, decay="cosine")
    model.compile(make_optimizer(name, model, schedule, global_clipnorm=1.0), "mse")
    model.fit(np.ones((6, 3)), np.ones((6, 4)), batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    optimizer = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert type(optimizer) is getattr(optimizers, type(model.optimizer).__name__)
    assert float(optimizer.learning_rate) == pytest.approx(0.075)
    for loaded, saved in zip(optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(loaded), np.asarray(saved))
