"""Every example in a docstring runs and gives what it says."""

import doctest
import importlib
import inspect
import re

import keras
import numpy as np
import pytest
from keras import ops

import layers
import losses
import metrics
from tests.conftest import PROJECT

PACKAGES = ("layers", "models", "data", "callbacks", "experiments", "experiments.comparison")


def module_names():
    names = ["losses", "metrics", "optimizers", "schedules"]
    for package in PACKAGES:
        names += [
            f"{package}.{path.stem}"
            for path in sorted((PROJECT / package.replace(".", "/")).glob("*.py"))
            if path.stem != "__init__"
        ]
    return names


def examples():
    found = [
        test
        for name in module_names()
        for test in doctest.DocTestFinder().find(importlib.import_module(name), name)
    ]
    return [pytest.param(test, id=test.name) for test in found if not is_skipped(test)]


def is_skipped(test):
    return all(example.options.get(doctest.SKIP) for example in test.examples)


@pytest.mark.parametrize("example", examples())
def test_examples_of_docstrings_run(example, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example.globs.update({"keras": keras, "np": np, "ops": ops, "model": model})
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
    runner.run(example, out=report.append)
    assert runner.tries
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("module", [layers, losses, metrics], ids=lambda module: module.__name__)
def test_everything_public_has_an_example(module):
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items() if inspect.getmodule(value) is module
    ]
    assert names
    for name in names:
        assert ">>> " in (getattr(module, name).__doc__ or ""), name


def test_the_variant_in_the_readme_is_a_model_that_can_be_saved(tmp_path):
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
               if "class " in block)  # fmt: skip
    names = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    names["model"].save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 16, 64)).astype("float32")
    for output, expected in zip(again(x), names["model"](x), strict=True):
        np.testing.assert_array_equal(output, expected)
