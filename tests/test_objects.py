"""What can be exported: modules, Keras models of every make, checkpoints, and what was exported before."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from smdecl import inspecting
from smdecl.errors import ConfigError, ContractError, ModelError
from tests.test_pipeline import serve

MODULES = """
import tensorflow as tf

class Encoder(tf.Module):
    def __init__(self, factor):
        self.factor = tf.Variable(factor)

    @tf.function
    def encode(self, x):
        return x * self.factor

class Base(tf.Module):
    def __init__(self):
        self.encoder = Encoder(3.0)
        self.stack = [Encoder(2.0)]

    def add(self, x):
        return x + x

class Net(Base):
    def deep(self, x):
        return self.stack[0].encode(self.encoder.encode(x))
"""
KERAS = """
import keras
import tensorflow as tf

def page():
    x = keras.layers.Input((4,), name="x")
    return keras.Model(x, keras.layers.Dense(5, name="out", kernel_initializer="ones")(x))

def merged(kind):
    a, b = keras.Input((2,), name="b"), keras.Input((2,), name="a")
    low, high = keras.layers.Subtract(name="low")([a, b]), keras.layers.Add(name="high")([a, b])
    return keras.Model({"b": a, "a": b} if kind == "dict" else [a, b], [low, high])

def nested():
    x = keras.Input((4,), name="x")
    return keras.Model(x, keras.layers.Dense(2, name="head", kernel_initializer="ones")(page()(x)))

def training():
    x = keras.Input((2,), name="x")
    y = keras.layers.BatchNormalization(epsilon=0.0, name="norm")(x)
    return keras.Model(x, keras.layers.Dropout(0.5, name="drop")(y))

class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2, kernel_initializer="ones")
        self.norm = keras.layers.BatchNormalization(epsilon=0.0)
        self.drop = keras.layers.Dropout(0.5)

    def call(self, features, training=None):
        return self.drop(self.norm(self.dense(features), training=training), training=training)

class Given(keras.Model):
    @tf.function(input_signature=[tf.TensorSpec(shape=[], dtype=tf.string)])
    def concat(self, x):
        return x + x

class Open(keras.Model):
    @tf.function
    def concat(self, x):
        return x + x

class Wrapped(tf.Module):
    def __init__(self):
        self.model = page()

    @tf.function
    def score(self, x):
        return {"score": self.model(x)}
"""
FUNCTIONS = """
import tensorflow as tf

SPEC = [tf.TensorSpec([], tf.float32)]

class Two(tf.Module):
    @tf.function(input_signature=SPEC)
    def a(self, x):
        return x + 1.0

    @tf.function(input_signature=SPEC)
    def b(self, x):
        return x + 2.0

class OneOfTwo(tf.Module):
    @tf.function(input_signature=SPEC)
    def a(self, x):
        return x + 1.0

    @tf.function
    def never(self, x):
        return x

class Inside(tf.Module):
    def __init__(self):
        self.inner = OneOfTwo()

class Called(tf.Module):
    def __init__(self):
        self.double(tf.constant(1.0))

    @tf.function
    def double(self, x):
        return x + x
"""
NONE = "signatures=none"
ROW = np.array([[1, 2, 3, 4]], np.float32)


@pytest.fixture
def mine(project):
    project.write("modules.py", MODULES)
    project.write("mykeras.py", KERAS)
    project.write("functions.py", FUNCTIONS)
    return project


def export(mine, target, *overrides):
    return mine.export(f"model._target_={target}", NONE, *overrides)


def signature(inputs, method="__call__", key="serving_default"):
    return f"+signatures.{key}={{method: {method}, inputs: {{{inputs}}}}}"


def answers(release, key="serving_default", **inputs):
    """Runs a signature in both loaders, which agree."""
    served = serve(release.path, key, **inputs)
    loaded = tf.saved_model.load(str(release.path))
    found = loaded.signatures[key](**{name: tf.constant(value) for name, value in inputs.items()})
    assert sorted(found) == sorted(served)
    for name, value in found.items():
        if value.dtype == tf.string:
            assert value.numpy().tolist() == served[name].tolist()
        else:
            np.testing.assert_allclose(value.numpy(), served[name], rtol=1e-5)
    return served


def bodies(release):
    """Returns how often each op is in the functions of an export."""
    graph = inspecting.read(release.path).meta_graphs[0]
    return Counter(node.op for function, node in inspecting.all_nodes(graph) if function)


def function_names(release):
    return [f.signature.name for f in inspecting.read(release.path).meta_graphs[0].graph_def.library.function]


@pytest.mark.parametrize(
    ("method", "factor"), [("encoder.encode", 3), ("add", 2), ("deep", 6)], ids=["nested", "inherited", "own"]
)
def test_a_method_of_a_module_of_its_base_and_of_a_module_in_it_is_a_signature(mine, method, factor):
    release = export(mine, "modules.Net", signature("x: {shape: [n], dtype: float32}", method))

    assert answers(release, x=np.array([1, 2], np.float32))["output_0"].tolist() == [factor, 2 * factor]


def test_one_method_is_exported_under_several_keys_with_specs_of_their_own(mine):
    release = export(
        mine,
        "modules.Net",
        signature("x: {shape: [1, 2], dtype: float32}", "add", "one"),
        signature("x: {shape: [batch, 2], dtype: float32}", "add", "many"),
        signature("x: {shape: [batch], dtype: string}", "add", "text"),
    )

    inputs = {key: record.inputs["x"] for key, record in release.signatures.items()}
    assert {key: (tensor.dtype, tensor.shape) for key, tensor in inputs.items()} == {
        "one": ("float32", (1, 2)), "many": ("float32", (None, 2)), "text": ("string", (None,)),
    }  # fmt: skip
    assert answers(release, "one", x=np.ones([1, 2], np.float32))["output_0"].tolist() == [[2, 2]]
    assert answers(release, "many", x=np.ones([3, 2], np.float32))["output_0"].tolist() == [[2, 2]] * 3
    assert answers(release, "text", x=np.array([b"ab"], object))["output_0"].tolist() == [b"abab"]


@pytest.mark.parametrize("declared", [(), (signature("x: {shape: [batch, 4], dtype: float32}"),)], ids=["none", "x"])
def test_a_functional_model_takes_and_returns_what_is_documented(mine, declared):
    release = export(mine, "mykeras.page", *declared)

    record = release.signatures["serving_default"]
    assert {name: tensor.shape for name, tensor in record.inputs.items()} == {"x": (None, 4)}
    assert {name: tensor.shape for name, tensor in record.outputs.items()} == {"out": (None, 5)}
    for batch in (1, 3):
        assert answers(release, x=np.repeat(ROW, batch, axis=0))["out"].tolist() == [[10] * 5] * batch
    assert release.warnings == ()


@pytest.mark.parametrize("kind", ["list", "dict"])
@pytest.mark.parametrize("declared", [True, False])
def test_several_inputs_and_outputs_have_the_names_of_their_layers(mine, kind, declared):
    # The order of the Inputs, of their names and of the declaration all differ.
    spec = "{shape: [batch, 2], dtype: float32}"
    overrides = [signature(f"a: {spec}, b: {spec}")] if declared else []
    release = export(mine, "mykeras.merged", f"+model.kind={kind}", *overrides)

    found = answers(release, b=np.array([[5, 7]], np.float32), a=np.array([[1, 2]], np.float32))
    assert {name: value.tolist() for name, value in found.items()} == {"low": [[4, 5]], "high": [[6, 9]]}


SEQUENTIAL = """
_target_: keras.Sequential
layers:
  - {_target_: keras.layers.Rescaling, scale: 2.0}
  - _target_: keras.Sequential
    layers:
      - _target_: keras.layers.Dense
        units: 2
        name: inner
        kernel_initializer: {_target_: keras.initializers.Constant, value: 0.5}
        kernel_regularizer: {_target_: keras.regularizers.L2, l2: 0.1}
"""


def test_a_model_that_the_config_alone_describes_is_built_by_the_declared_specs(mine):
    mine.write("conf/model/seq.yaml", SEQUENTIAL)
    release = mine.export("model=seq", NONE, signature("inputs: {shape: [batch, 4], dtype: float32, name: row}"))

    (output,) = answers(release, row=ROW).values()
    assert output.tolist() == [[10, 10]]
    assert next(iter(release.signatures["serving_default"].outputs.values())).shape == (None, 2)


def test_a_sequential_model_with_an_input_needs_no_signature(mine):
    mine.write(
        "conf/model/seq.yaml",
        SEQUENTIAL.replace("layers:\n", "layers:\n  - {_target_: keras.Input, shape: [4], name: row}\n", 1),
    )
    release = mine.export("model=seq", NONE)

    (output,) = answers(release, row=ROW).values()
    assert output.tolist() == [[10, 10]]


def test_a_sequential_model_that_does_not_know_its_input_needs_a_signature(mine):
    mine.write("conf/model/seq.yaml", SEQUENTIAL)
    with pytest.raises(ConfigError) as error:
        mine.export("model=seq", NONE)

    assert [problem.key for problem in error.value.problems] == ["signatures"]
    assert "subclass" not in str(error.value)
    assert str(error.value).endswith("takes serving_default, with the specs of its inputs")


def test_a_subclassed_model_that_was_never_called_is_built_by_its_specs(mine):
    release = export(mine, "mykeras.Own", signature("features: {shape: [batch, 4], dtype: float32}"))

    assert release.signatures["serving_default"].outputs["output_0"].shape == (None, 2)
    for batch in (1, 3):
        found = answers(release, features=np.repeat(ROW, batch, axis=0))["output_0"]
        np.testing.assert_allclose(found, [[10, 10]] * batch)
    graph = inspecting.inspect(inspecting.read(release.path))
    assert len(graph.variables) == 6  # kernel and bias; gamma, beta, moving mean and variance
    assert len(tf.saved_model.load(str(release.path)).variables) == 6


def test_a_subclassed_model_has_no_signature_of_its_own(mine):
    with pytest.raises(ConfigError) as error:
        export(mine, "mykeras.Own")

    assert [problem.key for problem in error.value.problems] == ["signatures"]
    assert "Own, a subclass whose call alone knows its inputs, has none of its own" in str(error.value)
    assert not (mine.root / "exports").exists()


@pytest.mark.parametrize(
    ("target", "overrides", "name"),
    [
        ("mykeras.Given", (), "x"),
        ("mykeras.Given", ("+signatures.serving_default={method: concat}",), "x"),
        ("mykeras.Open", (signature("x: {shape: [], dtype: string, name: string_input}", "concat"),), "string_input"),
    ],
)
def test_a_function_of_a_keras_subclass_is_exported_as_documented(mine, target, overrides, name):
    release = export(mine, target, *overrides)

    assert answers(release, **{name: np.array(b"ab", object)})["output_0"].tolist() == b"abab"
    assert tf.saved_model.load(str(release.path)).concat(tf.constant("cd")).numpy() == b"cdcd"


@pytest.mark.parametrize("method", ["__call__", "call"])
@pytest.mark.parametrize(
    ("target", "name", "bound", "factor"),
    [
        ("training", "x", "", 1),
        ("training", "x", ", training: {value: false}", 1),
        ("Own", "features", "", 2),
        ("Own", "features", ", training: {value: false}", 2),
    ],
)
def test_a_keras_model_is_exported_for_inference(mine, target, name, bound, factor, method):
    if (target, method) == ("training", "call"):
        name = "inputs"  # a functional model's own `call` has arguments of its own
    release = export(
        mine, f"mykeras.{target}", signature(f"{name}: {{shape: [batch, 2], dtype: float32}}{bound}", method)
    )

    ((_, found),) = answers(release, **{name: np.array([[1, 1], [3, 3]], np.float32)}).items()
    np.testing.assert_allclose(found, [[factor] * 2, [3 * factor] * 2])
    assert "RandomUniform" not in "".join(bodies(release))


@pytest.mark.parametrize(("target", "name"), [("training", "x"), ("Own", "features")])
def test_a_keras_model_is_exported_for_training_where_the_config_binds_it(mine, target, name):
    inputs = f"{name}: {{shape: [batch, 2], dtype: float32}}, training: {{value: true}}"
    release = export(mine, f"mykeras.{target}", signature(inputs), "verify=load")

    assert any("Random" in op for op in bodies(release))
    ((_, found),) = serve(release.path, "serving_default", **{name: np.array([[1, 1], [3, 3]], np.float32)}).items()
    # Each row is one deviation from the mean of its batch, and dropped or doubled.
    assert set(np.abs(found).round(4).ravel()) <= {0.0, 2.0}
    assert any("random_ops" in problem.key for problem in release.warnings)


@pytest.mark.parametrize(
    ("target", "overrides", "products"),
    [
        ("mykeras.page", (), 1),
        ("mykeras.page", (signature("x: {shape: [b, 4], dtype: float32, name: row}"),), 1),
        ("mykeras.nested", (), 2),
        ("mykeras.nested", (signature("x: {shape: [b, 4], dtype: float32}"),), 2),
        ("mykeras.Own", (signature("features: {shape: [b, 4], dtype: float32}"),), 1),
        ("mykeras.Wrapped", (signature("x: {shape: [b, 4], dtype: float32}", "score"),), 1),
    ],
)
def test_a_keras_model_is_traced_once(mine, target, overrides, products):
    release = export(mine, target, *overrides)

    assert bodies(release)["MatMul"] == products
    assert not [name for name in function_names(release) if "serving_default" in name]
    (name,) = release.signatures["serving_default"].inputs
    (found,) = answers(release, **{name: ROW}).values()
    assert found[0][0] == (50 if target == "mykeras.nested" else 10)


CHECKPOINT = """
_target_: tensorflow.train.Checkpoint
model: {_target_: mykeras.page}
step: {_target_: tensorflow.Variable, initial_value: 7}
"""


def test_a_checkpoint_that_holds_a_model_is_served_and_restored(mine):
    mine.write("conf/model/checkpoint.yaml", CHECKPOINT)
    release = mine.export("model=checkpoint", NONE, signature("x: {shape: [b, 4], dtype: float32}", "model.__call__"))

    assert answers(release, x=ROW)["out"].tolist() == [[10] * 5]
    x = keras.Input((4,))
    fresh, step = keras.Model(x, keras.layers.Dense(5)(x)), tf.Variable(0)
    status = tf.train.Checkpoint(model=fresh, step=step).read(str(release.path / "variables" / "variables"))
    status.assert_existing_objects_matched()
    assert (fresh(ROW).numpy().tolist(), step.numpy()) == ([[10] * 5], 7)


def test_a_loaded_saved_model_is_exported_again_with_other_signatures(mine):
    first = export(
        mine,
        "modules.Net",
        signature("x: {shape: [], dtype: float32}", "deep", "scalar"),
        signature("x: {shape: [n], dtype: float32}", "deep", "vector"),
    )
    mine.write("again.py", "import tensorflow as tf\ndef load(path):\n    return tf.saved_model.load(path)\n")
    second = export(
        mine,
        "again.load",
        f"+model.path={first.path}",
        "name=again",
        "+signatures.only={method: deep, inputs: {x: {shape: [n], dtype: float32, name: row}}"
        ", outputs: {output_0: {shape: [n], dtype: float32, name: six}}}",
    )

    assert list(second.signatures) == ["only"]
    assert answers(second, "only", row=np.array([1, 2], np.float32))["six"].tolist() == [6, 12]
    with pytest.raises(ModelError, match="tracing deep with the declared inputs failed"):
        export(mine, "again.load", f"+model.path={first.path}", signature("x: {shape: [n], dtype: int32}", "deep"))


def test_a_loaded_keras_model_is_exported_again(mine):
    first = export(mine, "mykeras.Wrapped", signature("x: {shape: [b, 4], dtype: float32}", "score"))
    mine.write("again.py", "import tensorflow as tf\ndef load(path):\n    return tf.saved_model.load(path)\n")
    second = export(
        mine,
        "again.load",
        f"+model.path={first.path}",
        "name=again",
        signature("x: {shape: [b, 4], dtype: float32}", "score", "again"),
    )

    assert answers(second, "again", x=ROW)["score"].tolist() == [[10] * 5]


def test_two_traced_functions_are_exported_without_a_signature_and_this_is_told(mine):
    release = export(mine, "functions.Two")

    assert release.signatures == {}
    (warning,) = release.warnings
    assert warning.key == "signatures"
    assert warning.message.startswith("none was saved") and warning.message.endswith("gives a, b")
    loaded = tf.saved_model.load(str(release.path))
    assert (loaded.a(1.0).numpy(), loaded.b(1.0).numpy()) == (2, 3)


def test_a_function_that_was_traced_by_a_call_is_the_default(mine):
    # Documented: exactly one traced function is the default; TensorFlow itself passes this one over.
    release = export(mine, "functions.Called")

    assert answers(release, x=np.float32(4)) == {"output_0": 8}


@pytest.mark.parametrize(
    ("target", "function"),
    [("functions.OneOfTwo", "never"), ("functions.Inside", "inner.never"), ("mykeras.Open", "concat")],
)
def test_a_function_that_nobody_could_call_is_an_error_where_no_signature_is_declared(mine, target, function):
    with pytest.raises((ContractError, ConfigError)) as error:
        export(mine, target)

    assert isinstance(error.value, ContractError)
    assert str(error.value).startswith(f"audit.untraced_functions: {function}: was never traced")
    assert not (mine.root / "exports").exists()


@pytest.mark.slow
def test_a_keras_application_is_exported(mine):
    mine.write(
        "conf/model/mobile.yaml",
        "{_target_: keras.applications.MobileNetV2, weights: null, input_shape: [32, 32, 3], alpha: 0.35, classes: 3}",
    )
    release = mine.export("model=mobile", NONE)

    (name,) = release.signatures["serving_default"].inputs
    found = answers(release, **{name: np.zeros([2, 32, 32, 3], np.float32)})["predictions"]
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)
