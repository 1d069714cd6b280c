"""The name that the config says is the name that a client sends and gets, in the SignatureDef and through .signatures."""

import numpy as np
import pytest
import tensorflow as tf

from smdecl.errors import ConfigError
from tests.test_pipeline import serve

NET = """
import tensorflow as tf

class Net(tf.Module):
    def same(self, x):
        return {"y": tf.identity(x)}

    def add(self, x, y=2.0, *, training=False):
        return x + y if training else x - y

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="my text")])
    def mangled(self, x):
        return x
"""
DTYPES = {
    "bfloat16": 1.5, "bool": True, "complex64": 1j, "complex128": 1j, "float16": 1.5, "float32": 1.5, "float64": 1.5,
    "float8_e4m3fn": 1.5, "float8_e5m2": 1.5, "int4": -3, "int8": -3, "int16": -3, "int32": -3, "int64": -3,
    "string": b"\xff\0text", "uint4": 3, "uint8": 3, "uint16": 3, "uint32": 3, "uint64": 2**63,
}  # fmt: skip
QUICK = ("bfloat16", "bool", "complex64", "float32", "float8_e5m2", "int4", "int64", "string", "uint64")


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    return project


def export(net, signature, *overrides):
    return net.export("model=net", "signatures=none", f"+signatures.s={signature}", *overrides)


@pytest.mark.parametrize(
    "dtype", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in DTYPES]
)
def test_every_dtype_that_can_be_fed_is_served_by_both_loaders(net, dtype):
    release = export(net, f"{{method: same, inputs: {{x: {{shape: [n], dtype: {dtype}, name: sent}}}}}}")

    kind = tf.as_dtype(dtype)
    value = np.array([DTYPES[dtype]], dtype=kind.as_numpy_dtype)
    assert serve(release.path, "s", sent=value)["y"].tolist() == value.tolist()
    loaded = tf.saved_model.load(str(release.path)).signatures["s"](sent=tf.constant(value))
    assert loaded["y"].dtype == kind
    assert release.warnings == ()


@pytest.mark.parametrize(
    ("shape", "saved", "fed"),
    [("[]", (), 1.0), ("[2]", (2,), [1.0, 2.0]), ("[null, 1]", (None, 1), [[1.0]]), ("null", None, [[[1.0]]])],
)
def test_unknown_sizes_and_rank_are_kept(net, shape, saved, fed):
    outputs = f"{{y: {{shape: {shape}, dtype: float32}}}}"
    release = export(net, f"{{method: same, inputs: {{x: {{shape: {shape}, dtype: float32}}}}, outputs: {outputs}}}")

    signature = release.signatures["s"]
    assert (signature.inputs["x"].shape, signature.outputs["y"].shape) == (saved, saved)
    assert serve(release.path, "s", x=np.array(fed, np.float32))["y"].tolist() == fed


@pytest.mark.parametrize("name", ["x", "sent", "my-input", "my.input", "deep/input", "Image", "1st"])
def test_a_name_is_what_a_client_sends_through_either_loader(net, name):
    release = export(net, f"{{method: same, inputs: {{x: {{shape: [], dtype: float32, name: '{name}'}}}}}}")

    assert list(release.signatures["s"].inputs) == [name]
    assert serve(release.path, "s", **{name: np.float32(3)}) == {"y": 3}
    loaded = tf.saved_model.load(str(release.path)).signatures["s"]
    assert loaded(**{name: tf.constant(3.0)})["y"].numpy() == 3


@pytest.mark.parametrize("name", ["scores", "my-output", "a b", "x:0", "Logits", "_hidden", "日本"])
def test_an_output_may_be_renamed_to_any_name(net, name):
    outputs = f"{{y: {{shape: [], dtype: float32, name: '{name}'}}}}"
    release = export(net, f"{{method: same, inputs: {{x: {{shape: [], dtype: float32}}}}, outputs: {outputs}}}")

    assert serve(release.path, "s", x=np.float32(3)) == {name: 3}
    assert list(tf.saved_model.load(str(release.path)).signatures["s"](x=tf.constant(3.0))) == [name]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("{x: {shape: [], dtype: float32}}", 3.0),
        ("{x: {shape: [], dtype: float32}, training: {value: true}}", 7.0),
        ("{x: {shape: [], dtype: float32}, y: {value: 1.0}}", 4.0),
        ("{x: {shape: [], dtype: float32}, y: {value: 1.0}, training: {value: true}}", 6.0),
    ],
)
def test_bound_values_and_defaults_are_no_inputs(net, inputs, expected):
    release = export(net, f"{{method: add, inputs: {inputs}}}")

    assert list(release.signatures["s"].inputs) == ["x"]
    assert serve(release.path, "s", x=np.float32(5)) == {"output_0": expected}


def test_a_name_in_code_that_tensorflow_does_not_keep_is_refused_with_what_it_would_have_become(net):
    with pytest.raises(ConfigError) as error:
        export(net, "{method: mangled}")

    assert str(error.value).endswith(
        "signatures.s.inputs: mangled: the input 'my text' cannot be kept by TensorFlow, which would turn it into"
        " 'my_text'; takes letters, digits and _ . - / after a first letter or digit"
    )
