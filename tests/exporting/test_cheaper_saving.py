"""Saving is cheaper than TensorFlow's own, and writes the same bytes."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from smdecl.errors import ModelError
from smdecl.exporting.saving import canonical
from smdecl.exporting.saving.cheaper_saving import cheaper, cheaper_ops
from smdecl.pipeline.children import children
from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.python.checkpoint import trackable_view
from tensorflow.python.checkpoint import util as checkpoint_util
from tensorflow.python.framework import op_def_library, ops

from tests.pipeline import zoo

OPTIONS = {"save_debug_info": False}


class Gradients(tf.Module):
    """Has custom gradients, each of which captures variables, and functions that no one called."""

    def __init__(self):
        super().__init__()
        self.scales = [tf.Variable(float(number)) for number in range(4)]

    @tf.function
    def ask(self, x):
        for scale in self.scales:
            x = tf.nn.silu(x * scale, beta=scale) + zoo.clipped(x)
        return tf.cond(tf.size(x) > 1, lambda: tf.nn.silu(x), lambda: x)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def uncalled(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.map_fn(lambda each: each * self.scales[0] + self.scales[1], x)
        for number in tf.range(3):  # AutoGraph makes a loop of it
            y += tf.cast(number, y.dtype) * tf.random.stateless_uniform(tf.shape(y), [1, 2])
        rows = tf.reshape(tf.concat([y, y], 0), [2, -1])
        return tape.gradient(y, x), tf.strings.as_string(tf.transpose(rows)), tf.split(rows, 2)


class Optimized(tf.Module):
    """Has an optimizer with slots, which are saved with the variable that they belong to."""

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(2.0)
        self.optimizer = tf.compat.v1.train.AdamOptimizer()
        self.optimizer.minimize(lambda: self.weight**2, var_list=[self.weight])

    def ask(self, x):
        return x * self.weight


class Late(tf.Module):
    """Traces functions while it is saved, and runs one of them if its limit is reached."""

    def __init__(self, limit=9.0):
        super().__init__()
        self.limit = limit
        self.traced = None

    def _trackable_children(self, save_type="checkpoint", **keywords):
        children = super()._trackable_children(save_type, **keywords)
        if save_type != "savedmodel":
            return children
        if self.traced is None:
            self.traced = {
                function.__name__: tf.function(function, input_signature=[FLOATS])
                for function in (self.doubled, self.limited)
            }
            limited = self.traced["limited"].get_concrete_function()
            if self.limit < 1.0:
                limited(tf.ones([1]))
        return {**children, **self.traced}

    def doubled(self, x):
        return x + x

    def limited(self, x):
        total = tf.reduce_sum(x)
        tf.debugging.Assert(total < self.limit, [total])  # fails
        return total

    def ask(self, x):
        return x * 2.0


def functional():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(3, activation="silu")(inputs)
    return keras.Model(inputs, keras.layers.BatchNormalization()(hidden))


def mirrored():
    with tf.distribute.MirroredStrategy().scope():
        return zoo.Nested(depth=1)


FLOATS = tf.TensorSpec([None], tf.float32)
WORDS = tf.TensorSpec([None], tf.string)


def objects(vocabulary):
    """Yields objects, each with the spec of its input."""
    yield zoo.Nested(depth=1), tf.TensorSpec([3], tf.float32)
    yield zoo.Calling(), tf.TensorSpec([None, 4], tf.float32)
    yield zoo.Table(vocabulary), WORDS
    yield zoo.Listing(vocabulary), WORDS
    yield functional(), tf.TensorSpec([None, 4], tf.float32)
    yield Gradients(), FLOATS
    yield Optimized(), FLOATS
    yield Late(), FLOATS
    yield mirrored(), tf.TensorSpec([3], tf.float32)


def save_all(vocabulary, directory, is_cheaper, options) -> None:
    tf.keras.utils.set_random_seed(0)
    for number, (obj, spec) in enumerate(objects(vocabulary)):
        with cheaper_ops(options) if is_cheaper else contextlib.nullcontext():
            function = tf.function(getattr(obj, "ask", obj)).get_concrete_function(spec)
        place = directory / str(number)
        with cheaper(options) if is_cheaper else contextlib.nullcontext():
            save_options = tf.saved_model.SaveOptions(**options)
            tf.saved_model.save(obj, str(place), {"ask": function}, save_options)
        canonical.settle(place, {})


def saved(*arguments):
    """Saves all objects in a pristine process, and returns what each file contains."""
    children.run(save_all, *arguments, failure=ModelError, doing="saving")
    directory = arguments[1]
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize(
    "options", [OPTIONS, pytest.param({"save_debug_info": True}, marks=pytest.mark.slow)]
)
def test_every_byte_is_the_same(tmp_path, options):
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("the\ncat\nsat\n")

    own = saved(vocabulary, tmp_path / "own", False, options)
    made = saved(vocabulary, tmp_path / "made", True, options)

    assert made.keys() == own.keys()
    assert [file for file in own if own[file] != made[file]] == []


def test_an_error_of_a_function_that_is_traced_while_saving_names_its_line(tmp_path):
    before, _, _ = Path(__file__).read_text().partition("  # fails\n")

    with pytest.raises(tf.errors.InvalidArgumentError) as error, cheaper(OPTIONS):
        tf.saved_model.save(Late(limit=0.5), str(tmp_path / "late"))

    line = before.count("\n") + 1
    assert f'File "{__file__}", line {line}, in limited' in str(error.value)


def test_the_object_graph_is_walked_once(tmp_path, monkeypatch):
    walks = []
    walk = trackable_view.TrackableView._descendants_with_paths
    monkeypatch.setattr(
        trackable_view.TrackableView,
        "_descendants_with_paths",
        lambda self: walks.append(self) or walk(self),
    )

    def walked(name):
        walks.clear()
        tf.saved_model.save(zoo.Nested(), str(tmp_path / name))
        return len(walks)

    own = walked("own")
    with cheaper(OPTIONS):
        made = walked("made")

    # TensorFlow merges equal assets between two walks, which both count as one.
    assert (own, made) == (6, 2)


@pytest.fixture
def derived(monkeypatch):
    """Returns the types of ops whose attributes TensorFlow has derived."""
    types = []
    own = op_def_library._apply_op_helper

    def counted(op_type_name, name=None, **keywords):
        types.append(op_type_name)
        return own(op_type_name, name, **keywords)

    monkeypatch.setattr(op_def_library, "_apply_op_helper", counted)
    return types


def test_the_attributes_of_equal_ops_are_derived_once(derived):
    def traced():
        derived.clear()
        variables = [tf.Variable(float(number)) for number in range(3)]
        function = tf.function(lambda x: [x + each for each in variables])
        graph = function.get_concrete_function(tf.TensorSpec([], tf.float32)).graph
        return graph.as_graph_def(), derived.count("AddV2"), derived.count("ReadVariableOp")

    own_graph, *own_counts = traced()
    with cheaper(OPTIONS):
        graph, *counts = traced()

    assert (own_counts, counts) == ([3, 3], [1, 1])
    assert graph == own_graph


def test_the_attributes_of_variables_are_derived_once_for_each_shape(derived):
    def added():
        derived.clear()
        with tf.Graph().as_default() as graph:
            for number in range(3):
                for shape in ([2], []):
                    name = f"v{number}"
                    tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=shape, shared_name=name)
        return graph.as_graph_def(), len(derived)

    own_graph, own_count = added()
    with cheaper(OPTIONS):
        graph, count = added()

    assert (own_count, count) == (6, 2)
    assert graph == own_graph


def pooled(x, size):
    """Adds an op that is equal to others in all but an attribute."""
    window = [1, size, size, 1]
    return tf.raw_ops.MaxPool(input=x, ksize=window, strides=[1] * 4, padding="SAME")


def test_other_threads_use_tensorflows_own_functions(derived):
    def added():
        with tf.Graph().as_default():
            x = tf.compat.v1.placeholder(tf.float32, [1, 9, 9, 1])
            pooled(x, 3)
            return [frame.name for frame in pooled(x, 3).op.traceback]

    with cheaper(OPTIONS), ThreadPoolExecutor(1) as thread:
        added()
        derived.clear()
        stack = thread.submit(added).result()

    assert derived.count("MaxPool") == 2
    assert "_bootstrap" in stack  # a stack of the other thread, not the one that is kept


def surroundings(graph, op):
    """Yields contexts that change what TensorFlow adds to a graph."""
    yield ops.colocate_with(op)
    yield graph.control_dependencies([op])
    yield graph.device("CPU:0")
    yield graph.device(lambda each: f"CPU:{len(each.inputs)}")
    yield graph.name_scope("outer")
    yield graph.container("box")
    yield graph._attr_scope({"_a": AttrValue(s=b"a")})
    yield graph._kernel_label_map({"Neg": "label"})
    yield graph.gradient_override_map({"Neg": "Other"})
    yield graph._override_gradient_function({"Neg": min})
    yield graph._original_op(op)


def test_ops_are_created_alike_whatever_surrounds_them(monkeypatch):
    created = []
    own = ops.Operation.from_node_def

    def counted(node_def, *rest, **keywords):
        created.append(node_def.name)
        return own(node_def, *rest, **keywords)

    monkeypatch.setattr(ops.Operation, "from_node_def", counted)

    def added():
        created.clear()
        with tf.Graph().as_default() as graph:
            x = tf.compat.v1.placeholder(tf.float32, [2], name="x")
            made = []
            for around in surroundings(graph, x.op):
                tf.add_n([x, x])
                with around:
                    made.append(tf.raw_ops.Neg(x=tf.concat([x, x], 0)).op)
                    tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])
            with pytest.raises(ValueError) as error:
                tf.raw_ops.MatMul(a=x, b=x)
        attributes = [(op._gradient_function, op._original_op is x.op) for op in made]
        return graph.as_graph_def(), attributes, str(error.value), len(created)

    *own_result, own_count = added()
    with cheaper(OPTIONS):
        *result, count = added()

    assert result == own_result
    if tf.__version__.startswith("2.21."):  # other releases create each op in their own way
        assert count < own_count / 2


def test_only_ops_that_use_resources_are_asked_whether_they_write_them(monkeypatch):
    asked = []
    own = ops.Operation.get_attr
    monkeypatch.setattr(
        ops.Operation, "get_attr", lambda self, name: asked.append(self.type) or own(self, name)
    )
    variable = tf.Variable(1.0)

    def traced():
        asked.clear()
        function = tf.function(lambda x: variable.assign(-x) * 2.0)
        graph = function.get_concrete_function(tf.TensorSpec([], tf.float32)).graph
        return graph.as_graph_def(), set(asked)

    own_graph, own_asked = traced()
    with cheaper(OPTIONS):
        graph, types = traced()

    assert {"Neg", "Mul", "AssignVariableOp"} <= own_asked
    assert types.isdisjoint({"Neg", "Mul"}) and "AssignVariableOp" in types
    assert graph == own_graph


def test_what_is_outside_of_functions_stays_known():
    def outside():
        known = [ops.executing_eagerly_outside_functions()]
        note = tf.function(lambda: known.append(ops.executing_eagerly_outside_functions()))
        note.get_concrete_function()
        with tf.Graph().as_default():
            note()
            known.append(ops.executing_eagerly_outside_functions())
            with ops.init_scope():
                known.append(ops.executing_eagerly_outside_functions())
        return known

    own = outside()
    with cheaper(OPTIONS):
        made = outside()

    assert made == own
    assert set(own) == {True, False}


def test_ops_that_only_look_equal_stay_different():
    def different(x):
        rows = tf.IndexedSlices(x, tf.constant([0, 1]), tf.constant([2]))
        relus = [tf.nn.leaky_relu(x, alpha=alpha) for alpha in (0.0, -0.0, 0)]
        placed = [tf.raw_ops.Squeeze(input=relus[0], axis=axis) for axis in ([], (), [])]
        return relus, placed, tf.math.multiply(x, rows), tf.add(x, 1), tf.add(x, 1.0)

    def traced():
        function = tf.function(different)
        spec = tf.TensorSpec([2], tf.float32)
        return function.get_concrete_function(spec).graph.as_graph_def()

    own = traced()
    with cheaper(OPTIONS):
        graph = traced()

    assert graph.SerializeToString(deterministic=True) == own.SerializeToString(deterministic=True)


def test_a_function_with_other_parameters_is_left_as_it_is(monkeypatch):
    own = checkpoint_util.serialize_slot_variables
    with cheaper(OPTIONS):
        assert checkpoint_util.serialize_slot_variables is not own

    assert checkpoint_util.serialize_slot_variables is own
    monkeypatch.setattr(checkpoint_util, "serialize_slot_variables", lambda view: view)
    other = checkpoint_util.serialize_slot_variables
    with cheaper(OPTIONS):
        assert checkpoint_util.serialize_slot_variables is other
