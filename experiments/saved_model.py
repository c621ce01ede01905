"""Looks into a `.keras` file before Keras builds anything of it."""

import json
import zipfile

import h5py
import keras

from experiments.cli import UsageError
from models import EncoderDecoderModel, ZooModel

# Where Keras's own objects come from that a model of ours can hold.
_MODULES = (
    *("keras.optimizers", "keras.optimizers.schedules", "keras.losses", "keras.metrics"),
    *("keras.dtype_policies", "builtins"),
)


def check_saved_model(path: str) -> None:
    """Refuses what is no model of the zoo, or asks for more than its file can hold.

    Keras builds what the config asks for and reads the weights afterwards: a config of a million
    layers would keep it busy for ever. These rules hold for every model of the zoo, whatever its
    switches. HDF5 says how large its arrays are without reading them, so it takes no time.

    - Each layer has weights of its own: there are no more layers than arrays.
    - The embedding is V x D, and a layer's projections are D x D for its queries and D x dff in
      its feed-forward network; learned positions are C x D for a context of C. A number takes at
      least a byte: D (V + C + L (D + dff)) is no more than the bytes of all arrays.
    - An encoder-decoder has all of it twice, V where sources have a tokenizer of their own.

    The optimizer's arrays do not count. Nor is anything in the model, its tokenizer or its loss
    say, a model or a layer with a config of its own.

    Args:
        path: a zip file.

    Raises:
        UsageError: one that breaks a rule. Other exceptions: one that is no `.keras` file at all.
    """
    with zipfile.ZipFile(path) as file:
        content = json.loads(file.read("config.json"))
        class_ = keras.saving.get_registered_object(content["registered_name"])
        if not (isinstance(class_, type) and issubclass(class_, ZooModel)):
            raise UsageError(
                f"{path}: expected a model of this project, found a {content['class_name']}"
            )
        _check_parts(path, [content["config"], content.get("compile_config")])
        arrays, size = _stored(file)
    layers, numbers = _asked_for(content["config"], 1 + issubclass(class_, EncoderDecoderModel))
    if layers > arrays or numbers > size:
        raise UsageError(
            f"{path}: expected weights for the {layers:,} layers and at least {numbers:,} numbers "
            f"that its config asks for, found {arrays:,} arrays of {size:,} bytes"
        )


def _check_parts(path, parts):
    """Raises a UsageError for a model or layer, or what may be one, anywhere inside."""
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        if not isinstance(part, dict):
            continue
        parts += [value for key, value in part.items() if key != "provenance"]
        name = part.get("class_name")
        if name is None or str(name).startswith("__"):  # no class: an array, say
            continue
        object_ = keras.saving.get_registered_object(part.get("registered_name"))
        if object_ is None:
            is_policy = part.get("module") == "keras" and hasattr(keras.dtype_policies, str(name))
            is_right = is_policy or part.get("module") in _MODULES
        else:
            is_right = not (isinstance(object_, type) and issubclass(object_, keras.layers.Layer))
        if not is_right:
            raise UsageError(f"{path}: expected a model of this project, found a {name} in it")


def _asked_for(config, stacks):
    """How many layers, and at least how many numbers, the config of a model asks for.

    Args:
        config: the model's.
        stacks: how many stacks of so many layers it has.
    """
    names = "num_layers", "d_model", "dff", "context_length"
    given = [config.get(name) for name in names]  # of a wrong type: Keras says so
    layers, width, dff, context = (value if type(value) is int else 0 for value in given)
    rows = 0
    for tokenizer in (config["tokenizer"], config.get("source_tokenizer")):
        if tokenizer is not None:
            # Words, characters or merges. Two merges that make the same token are one.
            pieces = next(iter(tokenizer["config"].values()))
            rows += len({piece.replace(" ", "") for piece in pieces})
    if config.get("position") == "learned":
        rows += stacks * context
    return stacks * layers, width * (rows + stacks * layers * (width + dff))


def _stored(file):
    """The number of arrays in the model's weights, and the bytes that they take."""
    sizes = []

    def look(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
            sizes.append(item.id.get_storage_size())

    with file.open("model.weights.h5") as weights, h5py.File(weights) as arrays:
        arrays.visititems(look)
    return len(sizes), sum(sizes)
