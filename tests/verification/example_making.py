"""Traces functions and makes examples for them."""

import tensorflow as tf
from smdecl.config import parsing
from smdecl.config.settings import Devices, Verify
from smdecl.exporting.building.build import Built
from smdecl.exporting.building.records import ObjectRecord
from smdecl.exporting.tracing import trace
from smdecl.names import PREDICT
from smdecl.verification import examples


def make(
    function,
    inputs,
    given=(),
    generate=2,
    seed=0,
    key="serving_default",
    method_name=PREDICT,
    **verify,
):
    """Returns the examples of a function, traced as the method of an object."""
    module = tf.Module()
    module.method = (
        function
        if isinstance(function, tf.types.experimental.GenericFunction)
        else tf.function(function)
    )
    signature = {"method": "method", "inputs": inputs, "method_name": method_name}
    signatures = {key: parsing.parse_signature(signature)}
    built = Built(module, ObjectRecord("Module", (), {}))
    traced = trace.trace(
        built, signatures, Devices(None, None, None, None), {"experimental_variable_policy": None}
    )
    verify = {part: {key: values} for part, values in verify.items()}
    options = Verify(
        {key: list(given)} if given else {}, generate, None, None, ("python",), **verify
    )
    return examples.make(traced, options, seed)


def identity(x):
    return {"y": tf.identity(x)}


def given(value, dtype, shape):
    (example,) = make(identity, {"x": {"dtype": dtype, "shape": shape}}, [{"inputs": {"x": value}}])
    return example.inputs["x"]


def assert_same(got, expected):
    assert list(got) == list(expected) or sorted(got) == sorted(expected)
    for name, array in expected.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        assert got[name].tolist() == array.tolist()


def ragged(dtype="float32", shape=(None, None), rank=1):
    return {"x": {"dtype": dtype, "shape": list(shape), "kind": "ragged", "ragged_rank": rank}}
