"""Files that were saved by earlier versions load for ever."""

from pathlib import Path

import keras
import pytest

import models  # noqa: F401  registers the classes, as a user does

FILES = Path(__file__).parent.parent / "files"

# What each model said when it was saved: how likely is "learning" after "i love deep"?
SAID = {"encoder.keras": 0.998074}


@pytest.mark.parametrize("name", SAID)
def test_a_file_of_an_earlier_version_says_what_it_said(name):
    model = keras.saving.load_model(FILES / name)
    ((token, probability),) = model.predict_next("i love deep", k=1)
    assert token == "learning"
    assert probability == pytest.approx(SAID[name], abs=1e-5)
    assert model.attention("i love deep")[1].shape == (2, 2, 3, 3)
    assert int(model.optimizer.iterations) == 600
    assert model.provenance["corpus"]["source"] == "toy"


def test_each_kept_file_is_tested():
    assert sorted(SAID) == sorted(path.name for path in FILES.glob("*.keras"))
