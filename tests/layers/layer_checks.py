"""What every layer must satisfy: subclass `LayerChecks`, give it a `case`, and pytest runs them."""

import dataclasses
import inspect
import json

import keras
import numpy as np
import pytest
from keras import ops

POLICIES = {
    "float32": ("float32", "float32"),
    "mixed_bfloat16": ("float32", "bfloat16"),
    "mixed_float16": ("float32", "float16"),
    "bfloat16": ("bfloat16", "bfloat16"),
}


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def to_numpy(tensor):
    """Floats of any precision as float32; everything else as it is."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return ops.convert_to_numpy(ops.cast(tensor, "float32") if "float" in dtype else tensor)


def weights_of(layer):
    return [ops.convert_to_numpy(ops.convert_to_tensor(weight)) for weight in layer.weights]


def outputs_of(layer, inputs):
    outputs = layer(**inputs)
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def randomize(layer, seed=1):
    """Random values in all weights, also where the fresh ones are 0 or 1."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(scale=0.5, size=w.shape) for w in layer.weights])


def gradient(function, array):
    """The gradient of a scalar function at `array`."""
    if keras.backend.backend() == "jax":
        import jax

        return to_numpy(jax.jit(jax.grad(function))(ops.convert_to_tensor(array)))
    if keras.backend.backend() == "torch":
        tensor = ops.convert_to_tensor(array).requires_grad_()
        function(tensor).backward()
        return to_numpy(tensor.grad)
    import tensorflow as tf

    tensor = tf.constant(array)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        result = function(tensor)
    return tape.gradient(result, tensor).numpy()


def weight_gradients(layer, inputs, function):
    """The gradients of `function(*outputs)` for the trainable weights, by path."""
    paths = [weight.path for weight in layer.trainable_variables]
    if keras.backend.backend() == "jax":
        import jax

        def result_of(trainable):
            state = [weight.value for weight in layer.non_trainable_variables]
            outputs, _ = layer.stateless_call(trainable, state, **inputs)
            return function(*(outputs if isinstance(outputs, tuple) else [outputs]))

        gradients = jax.jit(jax.grad(result_of))([w.value for w in layer.trainable_variables])
    elif keras.backend.backend() == "torch":
        function(*outputs_of(layer, inputs)).backward()
        gradients = [weight.value.grad for weight in layer.trainable_variables]
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            result = function(*outputs_of(layer, inputs))
        gradients = tape.gradient(result, [w.value for w in layer.trainable_variables])
        gradients = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
    return dict(zip(paths, gradients, strict=True))


def build_shapes(layer, inputs):
    """The shapes that the layer's `build` asks for, by the names of its arguments."""
    asked = inspect.signature(layer.build).parameters
    shapes = {f"{name}_shape": array.shape for name, array in inputs.items()}
    return {name: shape for name, shape in shapes.items() if name in asked}


def parts_of(layer):
    """The layer and all layers that it is made of."""
    children = [value for value in vars(layer).values() if isinstance(value, keras.Layer)]
    return [layer, *(part for child in children for part in parts_of(child))]


SIZES = {"B": 2, "T": 4, "S": 5}  # batch, query positions, key positions


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer to check.

    Attributes:
        layer_class: the layer.
        arguments: every argument of its constructor, none of them the default; unless `is_variant`.
        parts: those arguments that are layers, as functions that make one with the layer's `dtype`.
        inputs: the call arguments, arrays of the sizes in `SIZES`.
        output_shapes: of each output, such as ("B", "T", 6).
        num_weights: number of weights.
        output_dtype: of the outputs. None: the compute dtype of the layer's policy.
        idle_weights: ends of the paths of weights that by their nature get no gradient.
        is_variant: whether another case of the same layer has all arguments.
    """

    layer_class: type
    arguments: dict
    inputs: dict
    output_shapes: list
    num_weights: int
    output_dtype: str | None = None
    idle_weights: tuple = ()
    is_variant: bool = False
    parts: dict = dataclasses.field(default_factory=dict)

    def make(self, **kwargs):
        parts = {name: make(dtype=kwargs.get("dtype")) for name, make in self.parts.items()}
        return self.layer_class(**{**self.arguments, **parts, **kwargs})

    def shapes(self, sizes):
        return [tuple(sizes.get(size, size) for size in shape) for shape in self.output_shapes]


class LayerChecks:
    case: Case

    def test_outputs_have_the_documented_shapes(self):
        outputs = outputs_of(self.case.make(), self.case.inputs)
        assert [tuple(output.shape) for output in outputs] == self.case.shapes(SIZES)

    def test_every_constructor_argument_becomes_an_attribute_and_part_of_the_config(self):
        parameters = inspect.signature(self.case.layer_class.__init__).parameters
        if not self.case.is_variant:
            named = {*self.case.arguments, *self.case.parts}
            assert named == set(parameters) - {"self", "kwargs"}
            for name, value in self.case.arguments.items():
                assert parameters[name].default != value, f"give {name} a value of its own"
        layer = self.case.make()
        config = layer.get_config()
        for name, value in self.case.arguments.items():
            assert getattr(layer, name) == value
            kept = keras.activations.serialize(value) if callable(value) else value
            assert config[name] == kept
        for name in self.case.parts:
            assert config[name]["config"] == getattr(layer, name).get_config()

    def test_the_config_makes_an_equal_layer(self):
        layer = self.case.make(name="original", dtype="mixed_bfloat16")
        expected = outputs_of(layer, self.case.inputs)
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
        assert config["registered_name"] == f"mini_transformer>{self.case.layer_class.__name__}"
        for copy in (
            self.case.layer_class.from_config(layer.get_config()),
            keras.saving.deserialize_keras_object(config),
        ):
            assert copy is not layer
            assert copy.get_config() == layer.get_config()
            if not copy.built:
                copy.build(**build_shapes(copy, self.case.inputs))
            copy.set_weights(weights_of(layer))
            for output, wanted in zip(outputs_of(copy, self.case.inputs), expected, strict=True):
                np.testing.assert_array_equal(to_numpy(output), to_numpy(wanted))

    def test_build_alone_creates_every_weight(self):
        layer = self.case.make()
        layer.build(**build_shapes(layer, self.case.inputs))
        paths = [weight.path for weight in layer.weights]
        assert len(paths) == len(set(paths)) == self.case.num_weights
        assert all(part.built for part in parts_of(layer))
        layer(**self.case.inputs)
        assert [weight.path for weight in layer.weights] == paths

    @pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_symbolic_shapes_and_dtypes_are_those_of_real_outputs(self, policy, known):
        layer = self.case.make(dtype=policy)
        symbols = {
            name: keras.KerasTensor(
                array.shape if known else (None, None, *array.shape[2:]), str(array.dtype)
            )
            for name, array in self.case.inputs.items()
        }
        promised = outputs_of(layer, symbols)
        sizes = SIZES if known else dict.fromkeys(SIZES)
        assert [symbol.shape for symbol in promised] == self.case.shapes(sizes)
        real = [
            keras.backend.standardize_dtype(y.dtype) for y in outputs_of(layer, self.case.inputs)
        ]
        assert [symbol.dtype for symbol in promised] == real

    def test_a_compiled_graph_of_unknown_sizes_gives_the_eager_outputs(self):
        layer = self.case.make()
        symbols = {
            name: keras.Input((None, *array.shape[2:]), dtype=str(array.dtype), name=name)
            for name, array in self.case.inputs.items()
        }
        model = keras.Model(list(symbols.values()), outputs_of(layer, symbols))
        randomize(layer)
        compiled = model.predict_on_batch(list(self.case.inputs.values()))
        compiled = compiled if isinstance(compiled, list) else [compiled]
        for output, eager in zip(compiled, outputs_of(layer, self.case.inputs), strict=True):
            np.testing.assert_allclose(output, to_numpy(eager), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("policy", POLICIES)
    def test_the_dtype_policy_holds_in_every_part(self, policy):
        layer = self.case.make(dtype=policy)
        outputs = outputs_of(layer, self.case.inputs)
        variable_dtype, compute_dtype = POLICIES[policy]
        assert {part.dtype_policy.name for part in parts_of(layer)} == {policy}
        assert {weight.dtype for weight in layer.weights} <= {variable_dtype}
        for output in outputs:
            dtype = keras.backend.standardize_dtype(output.dtype)
            assert dtype == (self.case.output_dtype or compute_dtype)
            assert np.isfinite(to_numpy(output)).all()

    def test_gradients_reach_every_weight(self):
        layer = self.case.make()
        layer.build(**build_shapes(layer, self.case.inputs))
        randomize(layer)

        def uneven_sum(outputs, *scores):
            return ops.sum(ops.multiply(outputs, floats(*outputs.shape, seed=9)))

        if layer.trainable_variables:
            gradients = weight_gradients(layer, self.case.inputs, uneven_sum)
            assert len(gradients) == self.case.num_weights
            for path, values in gradients.items():
                assert values is not None, path
                assert np.isfinite(to_numpy(values)).all(), path
                if not path.endswith(self.case.idle_weights):
                    assert np.abs(to_numpy(values)).max() > 1e-4, path
