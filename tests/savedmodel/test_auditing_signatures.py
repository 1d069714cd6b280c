"""The rules on signatures find inputs that nothing uses and functions that were never traced."""

import functools

import pytest
import tensorflow as tf
from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import auditing
from smdecl.savedmodel.protos import SavedModel

from tests.savedmodel.audits import X, Y, levels, places, save_and_audit


@pytest.fixture
def find(tmp_path):
    return functools.partial(save_and_audit, tmp_path)


def call_one(x, y):
    both = tf.function(lambda a, b: (a * 2, b * 3))
    return both(x, y)[0]


def loop(x, y):
    return tf.while_loop(lambda i, *_: i < 3, lambda i, a, b: (i + 1, a * 2, b + 1), [0, x, y])[1]


def branch_of_a_call(x, y):
    ignore = tf.function(lambda a, b: a)
    return tf.cond(x[0] > 0, lambda: ignore(x, y), lambda: x)


def swapped(x, y):
    return tf.while_loop(lambda i, *_: i < 3, lambda i, a, b: (i + 1, b, a), [0, x, y])[1]


def condition(x, y):
    return tf.while_loop(lambda a, b: a[0] < b[0], lambda a, b: (a + 1, b), [x, y])[0]


def asserted(x, y):
    tf.debugging.assert_positive(y)
    return x * 2


def asserted_within(x, y):
    return tf.cond(x[0] > 0, lambda: asserted(x, y), lambda: x)


def chosen(x, y):
    return tf.switch_case(tf.cast(x[0], tf.int32), [lambda: x, lambda: y])


@pytest.mark.parametrize("function", [lambda x, y: x * 2, call_one, loop, branch_of_a_call])
def test_an_input_that_no_output_depends_on_is_found(find, function):
    (finding,) = find(function, X, Y)

    assert (finding.rule, finding.where) == ("unused_inputs", "signatures.serving_default.inputs.y")


@pytest.mark.parametrize(
    "function", [lambda x, y: x + y, swapped, condition, asserted, asserted_within, chosen]
)
def test_an_input_that_an_output_depends_on_is_not_found(find, function):
    assert find(function, X, Y) == ()


def test_unused_inputs_are_reported_for_each_signature(tmp_path):
    module = tf.Module()
    module.first = tf.function(lambda x, y: x)
    module.second = tf.function(lambda x, y: y)
    signatures = {
        key: getattr(module, key).get_concrete_function(X, Y) for key in ("first", "second")
    }
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)

    findings = auditing.audit(inspection.read(tmp_path), levels())

    assert places(findings) == {"signatures.first.inputs.y", "signatures.second.inputs.x"}


def test_a_function_that_was_never_traced_is_found(find):
    findings = find(lambda x: x, X, forgotten=tf.function(lambda x: x))

    assert [(finding.rule, finding.where) for finding in findings] == [
        ("untraced_functions", "forgotten")
    ]


def test_a_function_with_several_names_is_found_once(find):
    function = tf.function(lambda x: x)

    findings = find(lambda x: x, X, forgotten=function, holder=tf.train.Checkpoint(again=function))

    assert [(finding.rule, finding.where) for finding in findings] == [
        ("untraced_functions", "forgotten")
    ]


@pytest.mark.parametrize(
    "called",
    [lambda number: number, lambda number: min(number + 1, 2999)],
    ids=["itself", "in a chain"],
)
def test_recursive_functions_and_deep_chains_count_as_using_all_inputs(called):
    message = SavedModel()
    graph = message.meta_graphs.add()
    for number in range(3000):
        function = graph.graph_def.library.function.add()
        function.signature.name = f"f{number}"
        function.signature.input_arg.add(name="x")
        function.signature.output_arg.add(name="y")
        node = function.node_def.add(name="call", op="PartitionedCall", input=["x"])
        node.attr["f"].func.name = f"f{called(number)}"
        function.ret["y"] = "call:output:0"
    node = graph.graph_def.node.add(name="call", op="PartitionedCall", input=["x"])
    node.attr["f"].func.name = "f0"
    graph.signature_def["s"].inputs["x"].name = "x:0"
    graph.signature_def["s"].outputs["y"].name = "call:0"

    assert auditing.audit(message, levels(["unused_inputs"])) == ()
