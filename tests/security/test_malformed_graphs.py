"""An attacker writes an object graph that refers to objects that it does not have."""

import re

import pytest
import smdecl
import tensorflow as tf
from smdecl.errors import ConfigError
from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import outside_ops
from tensorflow.core.protobuf import trackable_object_graph_pb2

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
NET = """
import tensorflow as tf
class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.v = tf.Variable(1.0)
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def add(self, x):
        return {"output_0": x * self.v}
"""


def graph(*node_ids):
    """Returns a graph whose root has children with these ids."""
    message = trackable_object_graph_pb2.TrackableObjectGraph()
    if node_ids:
        root = message.nodes.add()
        for node_id in node_ids:
            root.children.add(local_name="v", node_id=node_id)
    return message.SerializeToString()


@pytest.mark.parametrize(
    "content",
    [graph(), graph(1), graph(-1), b"\xff\xff\xff", 1.0, ["a", "b"]],
    ids=["no nodes", "too high", "negative", "garbage", "number", "list"],
)
def test_a_malformed_checkpoint_is_refused(project, content):
    project.write("net.py", NET)
    tf.raw_ops.SaveV2(
        prefix="forged", tensor_names=[KEY], shape_and_slices=[""], tensors=[tf.constant(content)]
    )
    weights = "++weights={path: forged, format: checkpoint}"
    overrides = ["model._target_=net.Net", "signatures=scalar_float", weights]

    with pytest.raises(ConfigError) as caught:
        smdecl.export(smdecl.compose(overrides))

    (problem,) = caught.value.problems
    assert problem.path == ("weights", "path")
    assert re.search("object graph of 'forged'", problem.message)


def test_a_saver_that_does_not_exist_saves_nothing(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    message = inspection.read(tmp_path)
    objects = message.meta_graphs[0].object_graph_def.nodes
    saveable = objects[0].saveable_objects["x"]
    saveable.save_function, saveable.restore_function = len(objects), -len(objects) - 1

    assert outside_ops.find(message) == {}
