"""What a `.keras` file asks for is compared with what it holds, before anything is built."""

import pytest

from experiments.cli import UsageError, load_model
from experiments.saved_model import check_saved_model
from models import ZOO
from tests.conftest import PROJECT, resave
from tests.models.test_decoder import EACH, VARIANTS, name_of

FILES = sorted((PROJECT / "tests" / "files").glob("[!h]*.keras"))  # those by hand are no models


def lie(path, **changes):
    """A copy of a kept file that asks for other sizes than it holds."""
    source = PROJECT / "tests" / "files" / "decoder_rotary.keras"
    return resave(path, source, lambda config: config["config"].update(changes))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_every_kind_pass(path):
    check_saved_model(str(path))


@pytest.mark.parametrize("variant", EACH, ids=name_of)
def test_every_variant_passes_as_it_was_saved(tokenizer, tmp_path, variant):
    path = tmp_path / "model.keras"
    kind = list(ZOO)[VARIANTS.index(variant) % 2]
    for dtype in ("float32", "bfloat16"):
        ZOO[kind](tokenizer, 5, d_model=8, dtype=dtype, **{"dff": 1, **variant}).save(path)
        check_saved_model(str(path))


@pytest.mark.parametrize(
    "changes",
    [
        {"num_layers": 1_000_000},
        {"d_model": 10**8},
        {"dff": 10**9},
        {"position": "learned", "context_length": 10**9},
        {"num_heads": 10**9, "d_model": 10**9, "num_kv_heads": None},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_sizes_that_are_not_stored_are_refused_in_no_time(tmp_path, changes):
    path = lie(tmp_path / "model.keras", **changes)
    with pytest.raises(UsageError, match=r"model\.keras: expected weights for the .* layers"):
        load_model(path)


def test_a_layer_hidden_in_the_config_is_refused(tmp_path):
    dense = {
        "class_name": "Dense",
        "config": {"units": 10**9},
        "module": "keras.layers",
        "registered_name": None,
    }
    path = lie(tmp_path / "model.keras", name=dense)
    with pytest.raises(UsageError, match="expected a model of this project, found a Dense in it"):
        load_model(path)
