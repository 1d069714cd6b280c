"""Inputs with a default may be missing from a request, as in an export of TensorFlow's own."""

import runpy

import tensorflow as tf
from smdecl.savedmodel import inspection

NET = """
import tensorflow as tf


class Net(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.float32, name="heat")])
    def own(self, x, temperature=tf.constant(2.0)):
        return {"y": tf.cast(x, tf.float32) / temperature}

    @tf.function
    def score(self, x, temperature=tf.constant(2.0), context=tf.constant(["none"])):
        return {"y": tf.cast(x, tf.float32) / temperature, "seen": context}

    def plain(self, x, scale=tf.constant([1.5, 2.5]), factor=3.0):
        return {"y": x * scale * factor}
"""
SIGNATURES = """
serving_default: {method: own}
score:
  method: score
  inputs:
    context: {shape: [n], dtype: string, name: where}
    temperature: {shape: [], dtype: float32, name: heat}
    x: {shape: [batch], dtype: int64}
plain:
  method: plain
  inputs:
    factor: {shape: [], dtype: float32}
    scale: {shape: [2], dtype: float32}
    x: {shape: [2], dtype: float32}
other:
  method: plain
  inputs:
    scale: {shape: [2], dtype: float64}
    x: {shape: [2], dtype: float64}
    factor: {value: 3.0}
"""


def defaults(path):
    """Returns the defaults of each signature in the SavedModel itself."""
    (graph,) = inspection.read(path).meta_graphs
    return {
        key: {name: tf.make_ndarray(value).tolist() for name, value in signature.defaults.items()}
        for key, signature in graph.signature_def.items()
    }


def test_a_request_may_omit_an_input_whose_argument_has_a_tensor_as_its_default(project, tmp_path):
    code = project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    project.write("conf/signatures/net.yaml", SIGNATURES)

    release = project.export("model=net", "signatures=net", "audit.untraced_functions=off")

    saved = defaults(release.path)
    assert saved == {
        "serving_default": {"heat": 2.0},
        "score": {"heat": 2.0, "where": [b"none"]},
        "plain": {"scale": [1.5, 2.5]},  # Python values are not saved
        "other": {},  # float32, and the input is float64
        "__saved_model_init_op": {},
    }
    assert release.signatures["score"].inputs["heat"].default == "2.0"
    net = runpy.run_path(str(code))["Net"]()
    tf.saved_model.save(net, str(tmp_path / "script"), signatures=net.own)
    assert defaults(tmp_path / "script")["serving_default"] == saved["serving_default"]
