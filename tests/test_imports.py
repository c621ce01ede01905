"""Who may import whom, read from the source; and what starts without Keras."""

import ast

import pytest

import models
from data.tokenizer import TOKENIZERS
from experiments import settings
from models import parts
from tests.conftest import PROJECT, run_script

SCRIPTS = ("train", "evaluate", "generate")
ALLOWED = {
    "architecture": [],
    "layers": ["layers"],
    "data": ["data"],
    "losses": [],
    "metrics": ["losses"],
    "optimizers": [],
    "schedules": [],
    "models": [
        "models",
        "architecture",
        "layers",
        "losses",
        "metrics",
        "optimizers",
        "schedules",
        "data.tokenizer",
    ],
    "callbacks": ["callbacks", "models"],
}
KERAS_ATTENTION = {
    "AdditiveAttention",
    "Attention",
    "GroupedQueryAttention",
    "GroupQueryAttention",
    "MultiHeadAttention",
}


def sources(name):
    """The files of a top-level module or package."""
    folder = PROJECT / name
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [PROJECT / f"{name}.py"]
    assert files
    return files


def project_names():
    """The modules and packages at the top of the project, tests left out."""
    names = {path.stem for path in PROJECT.glob("*.py")}
    names |= {path.parent.name for path in PROJECT.glob("[a-z]*/*.py")}
    return sorted(names - {"tests"})


def imports(path):
    """The dotted names that a file imports, at its top or anywhere else."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name, module):
    return name == module or name.startswith(f"{module}.")


def test_the_readers_of_this_file_see_imports(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("import a.b\ndef f():\n    from c import d, e as f\n")
    assert list(imports(path)) == ["a.b", "c.d", "c.e"]
    assert set(ALLOWED) | {"train", "experiments"} <= set(project_names())


@pytest.mark.parametrize("name", ALLOWED)
def test_modules_import_only_what_lies_below_them(name):
    ours = project_names()
    for path in sources(name):
        for imported in imports(path):
            is_ours = imported.split(".")[0] in ours
            allowed = any(is_within(imported, module) for module in ALLOWED[name])
            assert allowed or not is_ours, f"{path} imports {imported}"


@pytest.mark.parametrize("name", project_names())
def test_nothing_imports_a_script(name):
    for path in sources(name):
        for imported in imports(path):
            assert imported.split(".")[0] not in SCRIPTS, f"{path} imports {imported}"


@pytest.mark.parametrize("name", ["layers", "models", "losses", "metrics"])
def test_what_a_model_is_made_of_knows_no_backend(name):
    for path in sources(name):
        for imported in imports(path):
            assert imported.split(".")[0] not in ("tensorflow", "jax", "torch"), path


@pytest.mark.parametrize("name", project_names())
def test_nothing_reaches_into_the_private_parts_of_keras(name):
    for path in sources(name):
        assert not any(is_within(imported, "keras.src") for imported in imports(path)), path


def test_layers_use_no_attention_of_keras():
    for path in sources("layers"):
        assert not any(
            imported.startswith("keras") and imported.rsplit(".", 1)[-1] in KERAS_ATTENTION
            for imported in imports(path)
        ), path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Attribute) and node.attr in KERAS_ATTENTION), path


def test_settings_and_errors_come_without_keras():
    code = (
        "import sys, train; from experiments import cli, flags; "
        "print({'keras', 'tensorflow'} & set(sys.modules))"
    )
    result = run_script("-c", code)
    assert result.stdout == "set()\n", result.stderr


def test_the_settings_know_what_there_is():
    allowed = {name: field.metadata["allowed"] for name, field in settings.FIELDS.items()}
    assert set(allowed["model"]) == set(models.ZOO)
    assert set(allowed["tokenizer"]) == set(TOKENIZERS)
    assert set(allowed["activation"]) == set(parts.ACTIVATIONS)
