"""Every model has something to learn."""

import ast

import models
from data.objectives import OBJECTIVES
from tests.conftest import PROJECT


def test_every_model_of_the_zoo_names_its_objective():
    assert {model.objective for model in models.ZOO.values()} <= set(OBJECTIVES)


def test_nobody_outside_the_models_asks_which_way_a_model_looks():
    for path in PROJECT.rglob("*.py"):
        if "models" in path.relative_to(PROJECT).parts:
            continue
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        asked = {node.attr for node in tree if isinstance(node, ast.Attribute)}
        assert "is_causal" not in asked, path
