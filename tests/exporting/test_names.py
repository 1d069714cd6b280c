"""The declared names are what a client sends and gets, by SignatureDef and by `.signatures`."""

import numpy as np
import pytest
import tensorflow as tf
from smdecl.checks.signatures import kept_names
from smdecl.errors import ConfigError

from tests.serving import serve

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
EQUAL = """
import keras
import tensorflow as tf

SPECS = [tf.TensorSpec([None, 2], tf.float32, name=name) for name in ("a", "A")]


class Own(tf.Module):
    @tf.function(input_signature=SPECS)
    def __call__(self, x, y):
        return x - y


def functional():
    a, b = [keras.Input((2,), name=name) for name in ("a", "A")]
    return keras.Model([a, b], keras.layers.Subtract()([a, b]))
"""
DTYPES = {
    "bfloat16": 1.5, "bool": True, "complex64": 1j, "complex128": 1j, "float16": 1.5, "float32": 1.5, "float64": 1.5,
    "float8_e4m3fn": 1.5, "float8_e5m2": 1.5, "int4": -3, "int8": -3, "int16": -3, "int32": -3, "int64": -3,
    "string": b"\xff\0text", "uint4": 3, "uint8": 3, "uint16": 3, "uint32": 3, "uint64": 2**63,
}  # fmt: skip


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    return project


def export(net, *signatures):
    """Exports a signature for each of the texts; their keys are s0, s1 and so on."""
    declared = [f"+signatures.s{number}={signature}" for number, signature in enumerate(signatures)]
    return net.export("model=net", "signatures=none", *declared)


def test_every_dtype_that_can_be_fed_is_served_by_both_loaders(net):
    specs = [f"{{shape: [n], dtype: {dtype}, name: sent}}" for dtype in DTYPES]
    release = export(net, *[f"{{method: same, inputs: {{x: {spec}}}}}" for spec in specs])

    loaded = tf.saved_model.load(str(release.path)).signatures
    for number, (dtype, one) in enumerate(DTYPES.items()):
        kind = tf.as_dtype(dtype)
        value = np.array([one], dtype=kind.as_numpy_dtype)
        assert serve(release.path, f"s{number}", sent=value)["y"].tolist() == value.tolist(), dtype
        output = loaded[f"s{number}"](sent=tf.constant(value))["y"]
        assert output.dtype == kind
    assert release.warnings == ()


def test_unknown_sizes_and_rank_are_kept(net):
    shapes = {"[]": (), "[2]": (2,), "[null, 1]": (None, 1), "null": None}
    fed = [1.0, [1.0, 2.0], [[1.0]], [[[1.0]]]]
    specs = [f"{{shape: {shape}, dtype: float32}}" for shape in shapes]
    release = export(
        net, *[f"{{method: same, inputs: {{x: {spec}}}, outputs: {{y: {spec}}}}}" for spec in specs]
    )

    for number, (saved, value) in enumerate(zip(shapes.values(), fed, strict=True)):
        signature = release.signatures[f"s{number}"]
        assert (signature.inputs["x"].shape, signature.outputs["y"].shape) == (saved, saved)
        assert (
            serve(release.path, f"s{number}", x=np.array(value, np.float32))["y"].tolist() == value
        )


def test_two_arguments_can_exchange_their_names(net):
    spec = "{shape: [], dtype: float32, name: %s}"
    inputs = f"{{x: {spec % 'y'}, y: {spec % 'x'}}}"
    release = net.export(
        "model=net",
        "signatures=none",
        f"+signatures.s0={{method: add, inputs: {inputs}}}",
        "+functions.minus=s0",
    )
    sent = {"x": np.float32(1), "y": np.float32(10)}

    assert serve(release.path, "s0", **sent) == {"output_0": 9}
    assert (
        tf.saved_model.load(str(release.path)).minus(x=tf.constant(1.0), y=tf.constant(10.0))[
            "output_0"
        ]
        == 9
    )


def test_a_name_is_what_a_client_sends_through_either_loader(net):
    names = ["x", "sent", "my-input", "my.input", "deep/input", "Image", "1st"]
    specs = [f"{{shape: [], dtype: float32, name: '{name}'}}" for name in names]
    release = export(net, *[f"{{method: same, inputs: {{x: {spec}}}}}" for spec in specs])

    loaded = tf.saved_model.load(str(release.path)).signatures
    for number, name in enumerate(names):
        assert list(release.signatures[f"s{number}"].inputs) == [name]
        assert serve(release.path, f"s{number}", **{name: np.float32(3)}) == {"y": 3}
        assert loaded[f"s{number}"](**{name: tf.constant(3.0)})["y"].numpy() == 3


def test_an_output_may_be_renamed_to_any_name(net):
    names = ["scores", "my-output", "a b", "x:0", "Logits", "_hidden", "日本"]
    specs = [f"{{shape: [], dtype: float32, name: '{name}'}}" for name in names]
    inputs = "{x: {shape: [], dtype: float32}}"
    release = export(
        net, *[f"{{method: same, inputs: {inputs}, outputs: {{y: {spec}}}}}" for spec in specs]
    )

    loaded = tf.saved_model.load(str(release.path)).signatures
    for number, name in enumerate(names):
        assert serve(release.path, f"s{number}", x=np.float32(3)) == {name: 3}
        assert list(loaded[f"s{number}"](x=tf.constant(3.0))) == [name]


def test_bound_values_and_defaults_are_not_inputs(net):
    expected = {
        "{x: {shape: [], dtype: float32}}": 3.0,
        "{x: {shape: [], dtype: float32}, training: {value: true}}": 7.0,
        "{x: {shape: [], dtype: float32}, y: {value: 1.0}}": 4.0,
        "{x: {shape: [], dtype: float32}, y: {value: 1.0}, training: {value: true}}": 6.0,
    }
    release = export(net, *[f"{{method: add, inputs: {inputs}}}" for inputs in expected])

    for number, output in enumerate(expected.values()):
        assert list(release.signatures[f"s{number}"].inputs) == ["x"]
        assert serve(release.path, f"s{number}", x=np.float32(5)) == {"output_0": output}


def test_a_name_in_code_that_tensorflow_would_change_is_refused_with_the_changed_name(
    net,
):
    with pytest.raises(ConfigError) as error:
        export(net, "{method: mangled}")

    assert str(error.value).endswith(
        "signatures.s0.inputs: mangled: TensorFlow would rename 'my text' to 'my_text'; expected letters, digits and"
        " _ . - / after a first letter or digit; set a different name, such as"
        ' name: my_text, as in inputs: {"x": {shape: [null], dtype: float32, name: my_text}}'
    )


@pytest.mark.parametrize(
    ("target", "owner", "argument"),
    [("functional", "the Inputs of the model", "A"), ("Own", "__call__", "y")],
)
def test_names_that_a_model_gives_its_inputs_must_not_differ_in_case_only(
    net, target, owner, argument
):
    net.write("equal.py", EQUAL)

    with pytest.raises(ConfigError) as error:
        net.export(f"model._target_=equal.{target}", "signatures=none")

    assert str(error.value).endswith(
        f"signatures.serving_default.inputs: {owner}: TensorFlow treats 'A' and 'a' as equal, and would"
        " rename one to 'A_1'; set a different name, such as name: A_2, as in inputs:"
        f' {{"{argument}": {{shape: [null, 2], dtype: float32, name: A_2}}}}'
    )


@pytest.mark.parametrize(
    ("name", "taken", "kept"),
    [
        ("b-feature [cm]", [], "b-feature_cm"),
        ("_x", [], "x"),
        ("x:0", [], "x_0"),
        ("x", ["x"], "x_2"),
        ("X", ["x", "x_2"], "X_3"),
        ("class", [], "class_"),
        ("self", ["self_"], "self_2"),
        ("日本", [], "input"),
    ],
)
def test_a_name_that_tensorflow_keeps_is_suggested(name, taken, kept):
    seen = {kept_names.sanitized(other): other for other in taken}

    assert kept_names.similar(name, seen) == kept
    assert kept_names.refuse(kept, seen) is None
