"""What `tf.saved_model.load` returns: functions by name, and the variable lists of a Keras model."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from smdecl.checks.signatures import signature_rules
from smdecl.config.settings import Signature
from smdecl.errors import ConfigError
from smdecl.exporting.saving import expose
from smdecl.exporting.signatures import concrete_functions
from smdecl.release import description
from smdecl.savedmodel import inspection

from tests.exporting.objects import KERAS, bodies


def test_wrong_functions_are_reported_before_anything_is_built():
    functions = {
        "class": "s",
        "_hidden": "s",
        "a.b": None,
        "signatures": "s",
        "__call__": "s",
        "f": "t",
        "g": None,
    }

    assert [
        str(problem) for problem in signature_rules.check_functions(functions, ["s", "tt"])
    ] == [
        "functions.class: invalid name 'class'; expected a valid Python attribute name, or __call__",
        "functions._hidden: invalid name '_hidden'; expected a valid Python attribute name, or __call__",
        "functions.a.b: invalid name 'a.b'; expected a valid Python attribute name, or __call__",
        "functions.signatures: 'signatures' is reserved by tf.saved_model.load; choose a different name",
        "functions.f: unknown signature 't'; expected one of s, tt (did you mean 'tt'?)",
    ]
    assert list(signature_rules.check_functions({"f": "serving_default"}, [])) == []


class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(2.0)

    @tf.function
    def add(self, x):
        return x + self.kernel

    def plain(self, x):
        return x


def resolve(obj, declared, *keys, method="add"):
    traced = {key: types.SimpleNamespace(signature=Signature(method, None, None)) for key in keys}
    return expose.resolve(types.SimpleNamespace(obj=obj), traced, declared)


def test_a_keras_model_has_serve_and_call_by_default_and_other_objects_have_none():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    assert resolve(model, {}, "serving_default", "b") == {
        "__call__": "serving_default",
        "serve": "serving_default",
    }
    assert resolve(model, {}, "only") == {"__call__": "only", "serve": "only"}
    assert resolve(model, {}, "a", "b") == {}
    assert resolve(model, {"serve": "b", "__call__": None, "f": "a"}, "a", "b") == {
        "serve": "b",
        "f": "a",
    }
    assert resolve(Net(), {}, "serving_default") == {}
    assert resolve(Net(), {"plain": "s", "add": "s"}, "s") == {"plain": "s", "add": "s"}


def test_a_name_that_the_object_already_uses_is_refused():
    with pytest.raises(ConfigError) as error:
        resolve(Net(), {"kernel": "s", "add": "s", "f": "serving"}, "s", method="plain")

    assert [str(problem) for problem in error.value.problems] == [
        "functions.kernel: Net already has a ResourceVariable of this name, which tf.saved_model.load returns; choose a different"
        " name",
        "functions.add: Net already has a tf.function of this name, which tf.saved_model.load returns; choose a different name",
        "functions.f: unknown signature 'serving'; expected one of s",
    ]
    with pytest.raises(
        ConfigError,
        match="functions.variables: Sequential already has a list of variables of this name",
    ):
        resolve(keras.Sequential([keras.Input((2,))]), {"variables": "s"}, "s")


def test_a_keras_model_is_loaded_as_from_keras_own_export(project):
    project.write("mykeras.py", KERAS)
    release = project.export("model._target_=mykeras.page", "signatures=none")

    loaded, row = tf.saved_model.load(str(release.path)), tf.constant([[1.0, 2.0, 3.0, 4.0]])
    for call in (loaded.serve, loaded, keras.layers.TFSMLayer(str(release.path))):
        assert call(row).numpy().tolist() == [[10] * 5]
    assert loaded.serve(x=row).shape == (1, 5)
    assert [variable.shape for variable in loaded.variables] == [(4, 5), (5,)]
    assert (len(loaded.trainable_variables), len(loaded.non_trainable_variables)) == (2, 0)
    # Nothing was traced once more, and variables have the names of their layers.
    assert bodies(release)["MatMul"] == 1
    graph = inspection.read(release.path).meta_graphs[0]
    called = {
        node.attr["f"].func.name for _, node in inspection.all_nodes(graph) if "f" in node.attr
    }
    assert {function.signature.name for function in graph.graph_def.library.function} <= called
    described = description.describe(release.path)
    assert {stored.name: stored.path for stored in described.stored} == {
        "out/kernel": "_operations/1/_kernel",
        "out/bias": "_operations/1/bias",
    }


MODULE = """
import tensorflow as tf

class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.two = tf.Variable(2.0)

    def subtract(self, y, x):
        return {"difference": y - self.two * x}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.float32)])
    def own(self, b, a):
        return b - a

    @tf.function
    def double(self, x):
        return self.two * x
"""
SCALAR = "{shape: [], dtype: float32}"


def test_functions_are_called_by_position_and_by_name_and_return_what_the_method_does(project):
    project.write("exposed.py", MODULE)
    renamed = (
        "{x: {shape: [], dtype: float32, name: low}, y: {shape: [], dtype: float32, name: high}}"
    )
    outputs = "{difference: {shape: [], dtype: float32, name: d}}"
    release = project.export(
        "model._target_=exposed.Net",
        "signatures=none",
        "audit=off",
        f"+signatures.plain={{method: subtract, inputs: {{x: {SCALAR}, y: {SCALAR}}}}}",
        f"+signatures.renamed={{method: subtract, inputs: {renamed}, outputs: {outputs}}}",
        "+signatures.own={method: own}",
        f"+signatures.double={{method: double, inputs: {{x: {SCALAR}}}}}",
        "+signatures.vector={method: double, inputs: {x: {shape: [n], dtype: float32}}}",
        "+functions={__call__: plain, subtract: renamed, minus: own, double: double, twice: double}",
    )

    loaded = tf.saved_model.load(str(release.path))
    nine, one = tf.constant(9.0), tf.constant(1.0)
    for found in (loaded(nine, one), loaded(x=one, y=nine), loaded.subtract(nine, one)):
        assert {name: value.numpy() for name, value in found.items()} == {"difference": 7}
    assert loaded.subtract(low=one, high=nine)["difference"].numpy() == 7
    assert loaded.signatures["renamed"](low=one, high=nine)["d"].numpy() == 7
    assert loaded.minus(nine, one).numpy() == loaded.minus(a=one, b=nine).numpy() == 8
    # The object's own function has the traces of all its signatures; a function has its own alone.
    assert loaded.double(tf.constant([1.0, 2.0])).numpy().tolist() == [2, 4]
    assert loaded.twice(one).numpy() == 2
    with pytest.raises((TypeError, ValueError)):
        loaded.twice(np.array(["text"]))
    again = project.run("reproduce", str(release.path))
    assert "the same bytes" in again.stdout, again.stderr


TWO = """
import keras


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.out = keras.layers.Dense(1, kernel_initializer="ones")

    def call(self, x, mask=None, factor=None):
        return self.out(x - factor)
"""


def exported_net(project, source):
    """Exports a model with the inputs x and factor, and loads it."""
    project.write("two.py", source)
    inputs = "{x: {shape: [batch, 2], dtype: float32}, factor: {shape: [], dtype: float32}}"
    release = project.export(
        "model._target_=two.Net",
        "signatures=none",
        f"+signatures.serving_default.inputs={inputs}",
        "name=net",
    )
    return tf.saved_model.load(str(release.path))


def test_arguments_of_a_keras_model_keep_their_order(project):
    # TensorFlow sorts keywords, so factor would come before x.
    loaded = exported_net(project, TWO)
    x, factor = tf.constant([[5.0, 5.0]]), tf.constant(1.0)
    assert loaded.serve(x, factor).numpy() == loaded(x, factor).numpy() == [[8]]
    assert loaded.serve(x=x, factor=factor).numpy() == [[8]]


@pytest.mark.slow
def test_arguments_that_keras_takes_by_keyword_only_stay_keywords(project):
    loaded = exported_net(project, TWO.replace("mask=None", "scale=1.0"))
    x, factor = tf.constant([[5.0, 5.0]]), tf.constant(1.0)
    assert loaded.serve(x=x, factor=factor).numpy() == [[8]]
    with pytest.raises(TypeError):
        loaded.serve(x, factor)


def test_a_trace_with_its_inputs_in_a_different_order_is_called_by_name():
    spec = tf.TensorSpec([], tf.float32)
    function = tf.function(lambda **named: named["b"] - named["a"])
    concrete = function.get_concrete_function(b=spec, a=spec)

    named = concrete_functions.name_arguments(concrete, ["b", "a"])

    assert list(concrete_functions.input_records(named)) == ["a", "b"]
    assert named(b=tf.constant(3.0), a=tf.constant(1.0)).numpy() == 2
