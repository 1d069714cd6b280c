"""Two graphs are compared by ops, nodes and devices, whatever their functions are called."""

import pytest
import tensorflow as tf
from smdecl.release import diffing
from smdecl.savedmodel import inspection
from smdecl.savedmodel.comparing import diff_graph

from tests.savedmodel.diffed_models import VECTOR, lines, save


def on_gpu(x):
    with tf.device("/device:GPU:0"):  # a graph may name it where there is none
        return x + 1.0


def often(x):
    for number in range(6):
        x = tf.nn.relu(x, name=f"relu_{number}")
    return x


MATRIX = tf.TensorSpec([3, 3], tf.float32, name="x")


# The functions before and after, the input, and the changes of the graph.
GRAPHS = {
    "a different op": (
        lambda x: x + 1.0, lambda x: x - 1.0, VECTOR,
        ["ops AddV2: 1 before, 0 now", "ops Sub: 0 before, 1 now", "nodes serve/add/y: was removed",
         "nodes serve/add: was removed", "nodes serve/sub/y: was added", "nodes serve/sub: was added",
         "nodes serve/Identity: Identity has different inputs"],
    ),
    "a different op with the same name": (
        lambda x: tf.add(x, x, name="both"), lambda x: tf.maximum(x, x, name="both"), VECTOR,
        ["ops AddV2: 1 before, 0 now", "ops Maximum: 0 before, 1 now",
         "nodes serve/both: changed from AddV2 to Maximum"],
    ),
    "a different constant": (
        lambda x: x + 1.0, lambda x: x + 2.0, VECTOR, ["nodes serve/add/y: Const has a different value"],
    ),
    "a different attribute": (
        lambda x: tf.matmul(x, x), lambda x: tf.matmul(x, x, transpose_b=True), MATRIX,
        ["nodes serve/MatMul: MatMul has a different transpose_b"],
    ),
    "a different list in an attribute": (
        lambda x: tf.nn.max_pool2d(x[None, :, :, None], 1, 1, "SAME"),
        lambda x: tf.nn.max_pool2d(x[None, :, :, None], 3, 1, "SAME"), MATRIX,
        ["nodes serve/MaxPool2d: MaxPool has a different ksize"],
    ),
    "the inputs swapped": (
        lambda x: tf.subtract(x, tf.constant(1.0, name="one"), name="sub"),
        lambda x: tf.subtract(tf.constant(1.0, name="one"), x, name="sub"),
        VECTOR, ["nodes serve/sub: Sub has different inputs"],
    ),
    "nodes pinned to a device": (
        lambda x: x + 1.0, on_gpu, VECTOR,
        ["devices /device:GPU:0: now has nodes pinned to it",
         "nodes serve/add/y: Const moved from any device to /device:GPU:0",
         "nodes serve/add: AddV2 moved from any device to /device:GPU:0"],
    ),
    "nodes no longer pinned": (
        on_gpu, lambda x: x + 1.0, VECTOR,
        ["devices /device:GPU:0: no longer has nodes pinned to it",
         "nodes serve/add/y: Const moved from /device:GPU:0 to any device",
         "nodes serve/add: AddV2 moved from /device:GPU:0 to any device"],
    ),
    "more new nodes than are named": (
        lambda x: x, often, VECTOR,
        ["ops Relu: 0 before, 6 now", "nodes serve/relu_0: was added",
         "nodes serve/relu_1: was added", "nodes serve/relu_2: was added", "nodes: 3 more added",
         "nodes serve/Identity: Identity has different inputs"],
    ),
    "more nodes removed than are named": (
        often, lambda x: x, VECTOR,
        ["ops Relu: 6 before, 0 now", "nodes serve/relu_0: was removed",
         "nodes serve/relu_1: was removed", "nodes serve/relu_2: was removed", "nodes: 3 more removed",
         "nodes serve/Identity: Identity has different inputs"],
    ),
    "more nodes changed than are named": (
        lambda x: x + 1.0 + 2.0 + 3.0 + 4.0 + 5.0, lambda x: x + 2.0 + 3.0 + 4.0 + 5.0 + 6.0, VECTOR,
        ["nodes serve/add/y: Const has a different value", "nodes serve/add_1/y: Const has a different value",
         "nodes serve/add_2/y: Const has a different value", "nodes: 2 more changed"],
    ),
    "nothing": (lambda x: x + 1.0, lambda x: x + 1.0, VECTOR, []),
}  # fmt: skip


@pytest.mark.parametrize("row", GRAPHS)
def test_a_changed_graph_is_reported_by_op_node_and_device(tmp_path, row):
    before, after, spec, expected = GRAPHS[row]

    found = diffing.diff(save(tmp_path / "a", before, spec), save(tmp_path / "b", after, spec))

    assert lines(found, "ops", "nodes", "devices") == expected
    assert (found.verdict, found.advice) == ("same", "patch")


class Named(tf.Module):
    """Has functions with the same name, a loop, a branch and a custom gradient."""

    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0.0)
        self.parts = [tf.function(self.part) for _ in range(12)]

    def part(self, x):
        self.count.assign_add(1.0)
        return tf.grad_pass_through(tf.nn.relu)(x)

    @tf.function(input_signature=[VECTOR])
    def serve(self, x):
        for number, part in enumerate(self.parts):
            x = part(x + float(number))
        return tf.while_loop(
            lambda i, _: i < 3, lambda i, y: (i + 1, tf.cond(i > 1, lambda: y, lambda: -y)), (0, x)
        )[1]


def test_the_numbers_in_function_names_do_not_matter(tmp_path):
    tf.saved_model.save(Named(), str(tmp_path / "0"))
    for number in range(1, 4):
        for _ in range(7):  # as a process does that has traced something else before
            tf.function(lambda x: x).get_concrete_function(VECTOR)
        tf.saved_model.save(Named(), str(tmp_path / str(number)))

        found = diffing.diff(tmp_path / "0", tmp_path / str(number))

        # The bytes differ all the same, so the release needs a new version.
        assert (found.verdict, found.advice) == ("same", "patch")
        assert list(map(str, found.changes)) == [
            "files fingerprint.pb: content differs",
            "files saved_model.pb: content differs",
        ]


def test_comparing_graphs_does_not_change_them(tmp_path):
    tf.saved_model.save(Named(), str(tmp_path / "a"))
    message = inspection.read(tmp_path / "a")
    before = message.SerializeToString(deterministic=True)
    (graph,), record = message.meta_graphs, inspection.inspect(message)

    assert list(diff_graph.changes(record, record, graph, graph)) == []
    assert message.SerializeToString(deterministic=True) == before
