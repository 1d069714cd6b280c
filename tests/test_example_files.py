"""Examples from files of the project."""

import json

import numpy as np
import pytest
import tensorflow as tf

from smdecl import examples
from smdecl.errors import ConfigError

NET = """
import tensorflow as tf

class Net(tf.Module):
    def brightest(self, image):
        return tf.reduce_max(tf.cast(image, tf.int32), [1, 2])

    def size(self, encoded):
        return tf.shape(tf.io.decode_image(encoded))

    def upper(self, text):
        return tf.strings.upper(text)

    def double(self, x):
        return x * 2.0
"""
IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    np.savez(project.root / "arrays.npz", a=np.array([1, 2], np.float32), b=np.array([3], np.float32))
    np.savez(project.root / "one.npz", np.array([5], np.float32))
    np.save(project.root / "array.npy", np.array([7, 8], np.float32))
    np.savez(project.root / "pickled.npz", a=np.array([{}], dtype=object))
    project.write("values.json", json.dumps([1.5, 2.5]))
    project.write("broken.json", "[1,")
    project.write("words.txt", "to be\nor not\n")
    (project.root / "image.png").write_bytes(tf.io.encode_png(IMAGE).numpy())
    return project


def export(net, method, inputs, example):
    return net.export(
        "model=net",
        "signatures=none",
        f"+signatures.s={{method: {method}, inputs: {inputs}}}",
        f"+verify.examples.s=[{example}]",
    )


def only(release):
    (example,) = examples.read(release.path)
    return example


@pytest.mark.parametrize(
    ("method", "inputs", "value", "expected"),
    [
        ("double", "{x: {shape: [n], dtype: float32}}", "x: {file: arrays.npz, key: a}", [2, 4]),
        ("double", "{x: {shape: [n], dtype: float32}}", "x: {file: one.npz}", [10]),
        ("double", "{x: {shape: [n], dtype: float32}}", "x: {file: array.npy}", [14, 16]),
        ("double", "{x: {shape: [n], dtype: float32}}", "x: {file: values.json}", [3, 5]),
        ("upper", "{text: {shape: [], dtype: string}}", "text: {file: words.txt}", b"TO BE\nOR NOT\n"),
        ("upper", "{text: {shape: [n], dtype: string}}", "text: {file: words.txt}", [b"TO BE", b"OR NOT"]),
        ("size", "{encoded: {shape: [], dtype: string}}", "encoded: {file: image.png}", [2, 2, 3]),
        ("brightest", "{image: {shape: [n, null, null, 3], dtype: uint8}}", "image: {file: image.png}", [[9, 10, 11]]),
    ],
)
def test_a_value_is_read_from_a_file(net, method, inputs, value, expected):
    release = export(net, method, inputs, f"{{inputs: {{{value}}}}}")

    assert only(release).outputs["output_0"].tolist() == expected


def test_expected_outputs_are_read_from_a_file(net):
    example = "{inputs: {x: [1, 2]}, outputs: {output_0: {file: arrays.npz, key: a}}}"

    with pytest.raises(Exception, match="output_0\\[1\\] is 4.0, expected 2.0"):
        export(net, "double", "{x: {shape: [n], dtype: float32}}", example)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("{file: nothing.npz}", ".file: no file 'nothing.npz'"),
        ("{file: ../outside.json}", ".file: '../outside.json' lies outside of the project, "),
        ("{file: /etc/hostname.txt}", ".file: '/etc/hostname.txt' lies outside of the project, "),
        ("{file: link.txt}", ".file: 'link.txt' lies outside of the project, "),
        (
            "{file: mynet.py}",
            '.file: got "mynet.py" (a string); takes a .npz, .npy, .json, .txt, .png, .jpg, .bmp or .gif file',
        ),
        (
            "{file: arrays.npz}",
            ".file: 'arrays.npz' cannot be read: ValueError: it has the keys a, b; takes one of them as key",
        ),
        (
            "{file: pickled.npz}",
            ".file: 'pickled.npz' cannot be read: ValueError: Object arrays cannot be loaded when allow_pickle=False",
        ),
        ("{file: broken.json}", ".file: 'broken.json' cannot be read: JSONDecodeError: "),
        ("{file: image.png}", ": got a value of shape [2, 2, 3]; takes [None]"),
        ("{path: values.json}", ".path: 'path' is no key of verify.examples.s[0].inputs.x; takes file, key"),
    ],
)
def test_a_file_that_cannot_be_taken_is_told_by_its_key(net, file, message):
    (net.root / "link.txt").symlink_to("/etc/hostname")
    with pytest.raises(ConfigError) as error:
        export(net, "double", "{x: {shape: [n], dtype: float32}}", f"{{inputs: {{x: {file}}}}}")

    texts = [f"{problem.key}: {problem.message}" for problem in error.value.problems]
    assert any(f"verify.examples.s[0].inputs.x{message}" in text for text in texts), texts
    assert not (net.root / "exports").exists()
