"""What layers need that are handed other layers: parts that they build, check and save."""

import keras


def check_layers(**parts: keras.layers.Layer) -> None:
    """Raises a ValueError that names the first of `parts` that is no layer."""
    for name, part in parts.items():
        if not isinstance(part, keras.layers.Layer):
            raise ValueError(f"`{name}` must be a layer. Received: {name}={part!r}.")


def build_part(part: keras.layers.Layer | None, *shapes) -> None:
    """Builds a part, if there is one.

    Raises:
        ValueError: a part with weights that is built already, such as one that is in another layer,
            too. Keras could save such a model, but not load it: a shared object is only recognised
            where it is no part of another one.
    """
    if part is None:
        return
    if part.built and part.weights:
        raise ValueError(
            "A layer must be made of new parts, which it builds itself. Received: the layer "
            f"{part.name!r}, which is built already; is it in another layer?"
        )
    part.build(*shapes)


def check_policy(holder: keras.layers.Layer, **parts: keras.layers.Layer | None) -> None:
    """Raises a ValueError unless all parts compute in what their holder computes in.

    A part that was made without `dtype` would compute in float32 within a layer of half precision,
    and without a word.
    """
    for name, part in parts.items():
        if part is not None and part.dtype_policy != holder.dtype_policy:
            raise ValueError(
                f"`{name}` must have the dtype policy of the layer that holds it. Received: "
                f"{part.dtype_policy.name!r} in a layer with {holder.dtype_policy.name!r}."
            )


def serialize_part(part: keras.layers.Layer | None) -> dict | None:
    """A part for its holder's config; None stays None.

    It is the holder that builds its parts: with a `build_config` of its own a part would be built
    while it is loaded, outside of its holder, and its weights would have other names.
    """
    config = keras.saving.serialize_keras_object(part)
    if part is not None:
        config.pop("build_config", None)
    return config
