"""Config files: what they set, how a run's own reads back, and their errors."""

import dataclasses
import json
import re

import pytest

from experiments.cli import UsageError
from experiments.flags import FILE_DEFAULTS, parse_settings
from experiments.settings import Settings
from tests.conftest import PROJECT
from tests.test_flags import GIVEN, NAMES, flag_of


def dump(tmp_path, content):
    """Writes a config file, with `content` as it is or as JSON; gives its path."""
    path = tmp_path / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_flags_override_the_config_which_overrides_the_defaults(tmp_path, name):
    config = dump(tmp_path, {**dataclasses.asdict(GIVEN), "provenance": {"any": ["thing"]}})
    other = {
        "num_heads": 2,
        "corpus": "other.txt",
        "probe": ["deep"],
        "validation_split": 0.25,
    }.get(name)
    other = getattr(Settings(), name) if other is None else other
    assert parse_settings(["--config", config])[0] == GIVEN
    for argv in (["--config", config], [f"--config={config}"]):
        if other is not None:
            argv = flag_of(name, other) + argv
            expected = {name: other, **({"steps": None} if name == "epochs" else {})}
            assert parse_settings(argv)[0] == dataclasses.replace(GIVEN, **expected)


def test_what_a_config_leaves_out_or_null_has_the_defaults_of_its_corpus(tmp_path):
    config = dump(tmp_path, {"corpus": "text.txt", "layers": 3, "epochs": None, "probe": None})
    expected = Settings(**{**FILE_DEFAULTS, "corpus": "text.txt", "num_layers": 3})
    assert parse_settings(["--config", config])[0] == expected
    assert parse_settings(["--config", config, "--corpus", "toy"])[0] == Settings(num_layers=3)


def test_a_config_of_an_earlier_version_reads_as_it_did(tmp_path):
    old = {"layers": 3, "heads": 4, "kv_heads": 2, "bias": False}
    assert parse_settings(["--config", dump(tmp_path, old)])[0] == Settings(
        num_layers=3, num_heads=4, num_kv_heads=2, use_bias=False
    )
    kept = PROJECT / "tests" / "files" / "cut_run" / "config.json"
    settings, _ = parse_settings(["--config", str(kept)])
    assert (settings.num_layers, settings.num_heads, settings.num_kv_heads) == (1, 4, 2)
    assert settings.use_bias is False


def test_a_config_may_name_the_run_and_a_flag_wins(tmp_path):
    config = dump(tmp_path, {"run_name": "from_config"})
    assert parse_settings(["--config", config])[1].run_name == "from_config"
    assert parse_settings(["--config", config, "--run-name", "flag"])[1].run_name == "flag"


def test_the_config_of_a_finished_run_reads_back(toy_run):
    settings, flags = parse_settings(["--config", str(toy_run / "config.json")])
    assert settings == Settings(epochs=60, logs=str(toy_run.parent))
    assert flags.run_name is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("corpus", "-dash.txt"),
        ("corpus", "--dash_and_underscore"),
        ("probe", ["-5 degrees", "--layers", "plain"]),
        ("probe", ["new\nline", " spaces "]),
        ("logs", "naïve 日本"),
        ("learning_rate", 1e-300),
        ("seed", 2**31 - 1),
    ],
)
def test_any_settings_survive_their_config_file(tmp_path, name, value):
    settings = dataclasses.replace(GIVEN, **{name: value})
    config = dump(tmp_path, dataclasses.asdict(settings))
    assert parse_settings(["--config", config])[0] == settings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", 0),
        ("layers", "two"),
        ("layers", 2.5),
        ("layers", True),
        ("layers", [2, 3]),
        ("layers", []),
        ("layers", {"count": 2}),
        ("dropout", "high"),
        ("dropout", 1),
        ("learning_rate", float("nan")),
        ("seed", -1),
        ("jit", True),
        ("model", "gpt"),
        ("corpus", 3),
        ("corpus", ["a.txt"]),
        ("corpus", ["a.txt", "b.txt"]),
        ("corpus", {"path": "a.txt"}),
        ("logs", False),
        ("probe", []),
        ("probe", [["i", "love"]]),
        ("probe", [None]),
        ("probe", {"text": "i love"}),
        ("run_name", "a/b"),
        ("run_name", 7),
        ("num_layers", 0),
        ("bias", 1),
        ("config", "other.json"),
        ("dry_run", True),
        ("", 1),
    ],
)
def test_a_bad_entry_of_a_config_is_named_with_its_file_and_key(tmp_path, key, value):
    config = dump(tmp_path, {key: value})
    key = key.replace("_", "[-_]") or "''"
    with pytest.raises(UsageError, match=rf"^{re.escape(config)}: .*{key}.*(expected|choose) "):
        parse_settings(["--config", config])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "expected JSON"),
        ("layers: 3", "expected JSON"),
        ('{"layers": 3', "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[1, 2]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ('"layers"', "expected a JSON object"),
    ],
)
def test_a_config_that_is_no_json_object_is_named(tmp_path, content, expected):
    config = dump(tmp_path, content)
    with pytest.raises(UsageError, match=f"^{re.escape(config)}: {expected}"):
        parse_settings(["--config", config])


def test_a_config_that_is_no_text_is_named(tmp_path):
    config = tmp_path / "config.json"
    config.write_bytes(b'{"corpus": "\xff"}')
    with pytest.raises(UsageError, match=r"config\.json: expected JSON"):
        parse_settings(["--config", str(config)])


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_config_that_cannot_be_read_is_named(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UsageError, match=f"^argument --config: .*{re.escape(str(path))} \\(.+\\)$"):
        parse_settings(["--config", str(path)])
