"""`cli.load_model`: what is no whole model of this project is refused in one line."""

import shutil
import zipfile

import keras
import numpy as np
import pytest

from data.corpora import TOY_SENTENCES
from data.tokenizer import WordTokenizer
from experiments import cli
from models import EncoderLanguageModel
from tests.conftest import resave


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The file of a model as the fixture `model` makes it."""
    keras.utils.set_random_seed(0)
    model = EncoderLanguageModel(WordTokenizer.from_texts(TOY_SENTENCES), context_length=4)
    model.compile(optimizer="adam", loss="mse")
    model.optimizer.build(model.trainable_variables)
    path = tmp_path_factory.mktemp("whole") / "whole.keras"
    model.save(path)
    return path


@pytest.fixture
def saved(whole, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copy(whole, tmp_path / "whole.keras")


def test_a_saved_model_is_loaded(saved, model):
    again = cli.load_model(str(saved))
    assert type(again) is type(model)
    ids = np.array([model.tokenizer.encode("i love deep")])
    np.testing.assert_array_equal(model(ids), again(ids))


@pytest.mark.parametrize("path", ["no-such.keras", "no-such-folder/model.keras", ""])
def test_a_missing_model_is_refused(path):
    with pytest.raises(cli.UsageError, match=f"^{path}: expected a saved .keras model, found noth"):
        cli.load_model(path)


@pytest.mark.parametrize("name", ["model.h5", "model", "model.keras.txt"])
def test_a_file_of_another_name_is_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"anything")
    with pytest.raises(
        cli.UsageError, match=rf"{name}: expected a saved model, whose name ends in \.keras"
    ):
        cli.load_model(str(path))


def test_a_folder_is_no_model(tmp_path):
    path = tmp_path / "folder.keras"
    path.mkdir()
    with pytest.raises(cli.UsageError, match=r"folder\.keras: expected a \.keras model, found"):
        cli.load_model(str(path))


def test_a_renamed_text_is_refused(tmp_path):
    path = tmp_path / "text.keras"
    path.write_text("i love deep learning")
    with pytest.raises(cli.UsageError, match=r"text\.keras: .* found a damaged or other file"):
        cli.load_model(str(path))


@pytest.mark.parametrize("members", [{}, {"readme.txt": "hello"}, {"config.json": "{}"}])
def test_any_other_zip_file_is_refused(tmp_path, members):
    path = tmp_path / "other.keras"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    with pytest.raises(cli.UsageError, match=r"other\.keras: expected a model of this project"):
        cli.load_model(str(path))


@pytest.mark.parametrize("kept", [0, 0.01, 0.5, 0.99, -1])
def test_a_truncated_model_is_refused(saved, kept):
    content = saved.read_bytes()
    saved.write_bytes(content[: kept if kept < 0 else int(kept * len(content))])
    with pytest.raises(cli.UsageError, match=r"whole\.keras: .* found a damaged or other file"):
        cli.load_model(str(saved))


def test_a_model_with_a_damaged_byte_is_refused_or_unharmed(saved, model):
    content = saved.read_bytes()
    refused = 0
    for position in np.linspace(30, len(content) - 30, 20).astype(int):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        saved.write_bytes(damaged)
        try:
            again = cli.load_model(str(saved))
        except cli.UsageError:
            refused += 1
        else:
            for weight, expected in zip(again.weights, model.weights, strict=True):
                np.testing.assert_array_equal(weight, expected)
    assert refused > 15


def test_a_model_of_somebody_else_is_refused(tmp_path):
    path = tmp_path / "foreign.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(cli.UsageError, match=r"foreign\.keras: .* found a Sequential$"):
        cli.load_model(str(path))


@pytest.fixture
def trap(tmp_path):
    """A Lambda layer whose code leaves a file behind, and the path of that file."""
    trace = tmp_path / "the code ran"
    name = str(trace)
    return keras.layers.Lambda(lambda x: open(name, "w").close() or x), trace


def test_code_in_a_model_is_refused_and_does_not_run(trap, tmp_path):
    layer, trace = trap
    path = tmp_path / "lambda.keras"
    keras.Sequential([keras.Input((2,)), layer]).save(path)
    trace.unlink(missing_ok=True)
    keras.saving.load_model(path, safe_mode=False)
    assert trace.exists()

    trace.unlink()
    with pytest.raises(cli.UsageError, match=r"lambda\.keras: .* found a Sequential$"):
        cli.load_model(str(path))
    assert not trace.exists()


def test_code_hidden_in_the_loss_of_a_model_of_ours_is_refused(trap, saved, tmp_path):
    layer, trace = trap
    with pytest.warns(UserWarning, match="This is unsafe"):
        code = keras.saving.serialize_keras_object(layer.function)

    def hide(config):
        config["compile_config"]["loss"] = code

    path = resave(tmp_path / "hidden.keras", saved, hide)
    with pytest.raises(cli.UsageError, match=r"hidden\.keras: expected a model of this project"):
        cli.load_model(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("subprocess", "getoutput"), ("builtins", "eval")]
)
@pytest.mark.parametrize("place", ["tokenizer", "dtype", "loss", "optimizer", "model"])
def test_functions_of_the_system_are_no_part_of_a_model(saved, tmp_path, place, module, name):
    trace = tmp_path / "the command ran"
    function = {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": "function",
    }
    object_ = {
        "module": module,
        "class_name": name,
        "config": {"command": f"touch '{trace}'", "cmd": f"touch '{trace}'"},
        "registered_name": None,
    }
    for number, part in enumerate((function, object_)):

        def hide(config, part=part):
            if place == "model":
                config.update(part)
            elif place in ("loss", "optimizer"):
                config["compile_config"][place] = part
            else:
                config["config"][place] = part

        path = resave(tmp_path / f"{number}.keras", saved, hide)
        with pytest.raises(cli.UsageError, match=rf"{number}\.keras: expected a model of this"):
            cli.load_model(path)
        assert not trace.exists()


def test_a_model_file_imports_no_module_from_its_own_folder(saved, tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def plant(config):
        config.update(module="planted", class_name="Planted", registered_name=None)

    path = resave(tmp_path / "plant.keras", saved, plant)
    with pytest.raises(cli.UsageError, match=r"plant\.keras: expected a model of this project"):
        cli.load_model(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("context_length", "long"),
        ("d_model", 5),
        ("num_heads", 0),
        ("num_layers", -1),
        ("dropout", 2),
        ("tokenizer", None),
        ("no_such_argument", 1),
    ],
)
def test_a_model_with_an_impossible_config_is_refused(saved, tmp_path, key, value):
    path = resave(
        tmp_path / "odd.keras", saved, lambda config: config["config"].update({key: value})
    )
    with pytest.raises(
        cli.UsageError, match=r"odd\.keras: expected a model of this project"
    ) as error:
        cli.load_model(path)
    assert "\n" not in str(error.value)


def test_a_model_whose_weights_are_of_another_shape_is_refused(saved, tmp_path):
    path = resave(tmp_path / "wide.keras", saved, lambda config: config["config"].update(dff=65))
    with pytest.raises(cli.UsageError, match=r"wide\.keras: expected a model of this project"):
        cli.load_model(path)
