"""An audit finding is reported once, with the line of the user's code that it comes from."""

import keras
import pytest
import tensorflow as tf
from smdecl.errors import ContractError
from smdecl.exporting.tracing import source_lines
from smdecl.savedmodel.records import Finding

NET = """import tensorflow as tf


class Net(tf.Module):
    @tf.function
    def pinned(self, x):
        with tf.device("/GPU:0"):
            return x * 2.0

    @tf.function
    def add(self, x):
        return tf.cond(x > 0, lambda: self.pinned(x), lambda: noise(x)) + 1.0


def noise(x):
    return x + tf.random.uniform([])
"""


def test_a_finding_names_node_function_and_line(project):
    project.write("mynet.py", NET)

    with pytest.raises(ContractError) as error:
        project.export("model._target_=mynet.Net", "audit=strict", "verify=load")

    device, random = [problem.message for problem in error.value.problems]
    assert device.startswith("__inference_pinned_")
    assert "is pinned" in device
    assert "leave tf.device out of the body of a function (mynet.py:8)" in device
    assert random.endswith(
        "/cond/random_uniform/RandomUniform: RandomUniform returns different values on each call (mynet.py:16)"
    )


def test_a_warning_names_the_line_too(project):
    project.write("mynet.py", NET)

    release = project.export("model._target_=mynet.Net", "audit.baked_devices=off", "verify=load")

    warning, _ = release.warnings
    assert warning.key == "audit.random_ops"
    assert warning.message.endswith("(mynet.py:16)")


def messages(findings, obj=None):
    return [str(finding) for finding in source_lines.locate(findings, {}, obj or tf.Module())]


def test_findings_of_one_cause_are_reported_once_with_their_number():
    pinned = [Finding("baked_devices", f"f_{i}/n{i}", "is pinned to a CPU") for i in range(20)]
    printed = [
        Finding("io_ops", "f_1/p", "PrintV2 reads or writes"),
        Finding("io_ops", "f_2/p", "PrintV2 reads or writes"),
    ]
    other = Finding("baked_devices", "f_1/g", "is pinned to /device:GPU:0")

    assert messages([*pinned, *printed, other]) == [
        "f_0/n0: is pinned to a CPU; 19 more like it",
        "f_1/p: PrintV2 reads or writes",  # a copy of a function adds no finding
        "f_1/g: is pinned to /device:GPU:0",
    ]


def test_a_finding_names_the_layer_that_made_the_node():
    layers = [keras.layers.RandomFlip(name=name) for name in ("flip", "flip_1", "turn")]
    model = keras.Sequential([keras.Input((4, 4, 1)), *layers])
    places = [
        "net_1/flip_1/mul",
        "net_1/flip_1_2/mul",
        "net_1/turn_1/inner/mul",
        "net_1/other_1/mul",
        "mul",
    ]
    findings = [Finding("random_ops", f"f_1/{place}", str(place)) for place in places]

    found = [finding.layer for finding in source_lines.locate(findings, {}, model)]

    assert found == ["flip", "flip_1", "turn", None, None]


def test_the_other_findings_are_reported_by_their_layers():
    layers = [keras.layers.Dropout(0.1, name=f"drop{i}") for i in range(9)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    findings = [Finding("random_ops", f"f_1/drop{i}_1/mul", "draws") for i in range(9)]

    assert messages(findings, model) == [
        "f_1/drop0_1/mul: draws (layer 'drop0'); 8 more like it: layer 'drop1', layer 'drop2', layer 'drop3',"
        " layer 'drop4', layer 'drop5', ..."
    ]
