"""Every model has something to learn."""

import itertools
import re

import models
from data.objectives import OBJECTIVES
from tests.conftest import PROJECT


def test_every_model_of_the_zoo_names_its_objective():
    assert {model.objective for model in models.ZOO.values()} <= set(OBJECTIVES)


def test_nobody_outside_the_models_asks_which_way_a_model_looks():
    folders = {path.parent for path in PROJECT.glob("[a-z]*/*.py")}  # no environment is among them
    paths = itertools.chain(PROJECT.glob("*.py"), *(folder.rglob("*.py") for folder in folders))
    paths = [path for path in paths if "models" not in path.relative_to(PROJECT).parts]
    assert PROJECT / "train.py" in paths
    for path in paths:
        assert not re.search(r"[\w)\]]\.is_causal\b", path.read_text(encoding="utf-8")), path
