"""Settings made in Python, and what of them is passed on."""

import dataclasses

import pytest

from architecture import SettingError
from experiments.settings import Settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 0}, "`num_layers` must be a whole number of at least 1. Received: .*=0"),
        ({"num_layers": True}, "`num_layers` must be a whole number"),
        ({"num_layers": 2.0}, "`num_layers` must be a whole number"),
        ({"seed": 10**400}, "`seed` must be a whole number of at least 0 and below"),
        ({"dropout": float("nan")}, "`dropout` must be a number"),
        ({"qk_norm": 1}, "`qk_norm` must be true or false. Received: qk_norm=1"),
        ({"optimizer": "sgd"}, "`optimizer` must be one of 'adam', 'adamw', 'muon'"),
        (
            {"corpus": ""},
            "`corpus` must be toy, .*, a file, a folder or an address. Received: .*=''",
        ),
        ({"probe": []}, "`probe` must be a list of texts"),
        ({"num_heads": 3}, "`num_heads` must be a divisor of `d_model` 16. Received: num_heads=3"),
        ({"epochs": None}, "`epochs` must be a whole number of at least 1. Received: epochs=None"),
    ],
)
def test_settings_made_in_python_are_checked_too(arguments, message):
    with pytest.raises(SettingError, match=message):
        Settings(**arguments)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("toy", "toy"),
        ("text.txt", "text.txt"),
        ("../x/text.txt", "../x/text.txt"),
        ("/home/me/text.txt", "text.txt"),
        ("/home/me/texts/", "texts"),
        ("/", "folder"),
        ("file:///home/me/text.txt", "text.txt"),
        ("https://example.org/text.txt", "https://example.org/text.txt"),
    ],
)
def test_what_is_passed_on_names_the_corpus_as_given_but_for_absolute_paths(given, told):
    assert Settings(corpus=given).shared()["corpus"] == told


def test_what_is_passed_on_is_not_how_a_run_was_watched_and_kept():
    settings = dataclasses.asdict(Settings(logs="my/logs", probe=["a secret"]))
    missing = set(settings) - set(Settings(logs="my/logs", probe=["a secret"]).shared())
    assert missing == {"logs", "threads", "probe", "attention_every", "batch_scalars_every"}
