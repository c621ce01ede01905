"""How learning rates rise and fall."""

import keras
import pytest

from schedules import InverseSqrtDecay, Warmup, make_schedule


def values(schedule, *steps):
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("none", [0, 0.5, 1, 1, 1]),
        ("linear", [0, 0.5, 1, 0.5, 0]),
        ("cosine", [0, 0.5, 1, 0.55, 0.1]),
        ("inverse_sqrt", [0, 0.5, 1, (10 / 15) ** 0.5, (10 / 20) ** 0.5]),
    ],
)
def test_the_rate_rises_and_falls(decay, expected):
    schedule = make_schedule(1.0, steps=20, warmup_steps=10, decay=decay)
    assert values(schedule, 0, 5, 10, 15, 20) == pytest.approx(expected)
    quarter = {"none": 1, "linear": 0.75, "cosine": 0.1 + 0.45 * (1 + 0.5**0.5)}
    quarter["inverse_sqrt"] = 0.8**0.5
    assert values(schedule, 12.5) == pytest.approx([quarter[decay]])


def test_without_warm_up_and_decay_the_rate_is_a_number():
    assert make_schedule(0.3, steps=20) == 0.3
    assert values(make_schedule(0.3, steps=20, decay="linear"), 0, 20) == pytest.approx([0.3, 0])


def test_a_warm_up_with_cosine_is_that_of_keras():
    ours = make_schedule(1e-2, steps=2000, warmup_steps=100, decay="cosine")
    theirs = keras.optimizers.schedules.CosineDecay(
        0.0, 1900, alpha=0.1, warmup_target=1e-2, warmup_steps=100
    )
    steps = [0, 1, 50, 99, 100, 101, 1000, 1999, 2000]
    assert values(ours, *steps) == pytest.approx(values(theirs, *steps), rel=1e-6)


@pytest.mark.parametrize(("d_model", "warmup_steps"), [(512, 4000), (16, 1)])
def test_the_rate_of_the_paper_is_an_inverse_square_root(d_model, warmup_steps):
    rate = (d_model * warmup_steps) ** -0.5
    ours = make_schedule(rate, 100_000, warmup_steps, decay="inverse_sqrt")
    steps = [1, 2, 1000, 3999, 4000, 4001, 8000, 100_000, 10**7]
    theirs = [d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5) for step in steps]
    assert values(ours, *steps) == pytest.approx(theirs, rel=1e-5)


def test_an_inverse_square_root_starts_at_one_step_or_later():
    with pytest.raises(ValueError, match=r"`steps` must be at least 1\. Received: steps=0"):
        make_schedule(1.0, steps=20, decay="inverse_sqrt")


def test_a_schedule_is_made_again_from_its_config():
    decays = [make_schedule(1.0, 20, 10, decay) for decay in ("linear", "inverse_sqrt")]
    for schedule in (Warmup(0.5, 4), InverseSqrtDecay(0.5, 4), *decays):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
        assert values(again, 0, 3, 12) == values(schedule, 0, 3, 12)
