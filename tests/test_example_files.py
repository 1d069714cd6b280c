"""Examples from files of the project."""

import json

import numpy as np
import pytest
import tensorflow as tf

from smdecl import checking, converting, examples, trust
from smdecl.config import Spec
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
    (project.root / "latin.txt").write_bytes("gr\u00fc\u00df".encode("latin-1"))
    project.write("broken.png", "no image")
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


def taken(file, dtype, shape):
    """Returns the value that a file is taken for, by a spec."""
    path = ("verify", "examples", "s", 0, "inputs", "x")
    return converting.to_arrays(path, {"file": str(file)}, Spec(tuple(shape), dtype))


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n\n", [b"a", b""]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\rb\r\r\nc\r", [b"a\rb\r", b"c\r"]),
        ("a\u2028b\u2029c\x0cd\x0be\x1cf\x85g\n".encode(), ["a\u2028b\u2029c\x0cd\x0be\x1cf\x85g".encode()]),
    ],
)
def test_lines_of_a_text_end_where_a_newline_is_and_nowhere_else(tmp_path, content, lines):
    (tmp_path / "x.txt").write_bytes(content)

    assert taken(tmp_path / "x.txt", "string", [None]).tolist() == lines
    assert taken(tmp_path / "x.txt", "string", []).tolist() == content


@pytest.mark.parametrize(
    ("image", "dtype", "expected"),
    [
        (np.array([[[1000], [65535]]], np.uint16), "uint16", [[[1000], [65535]]]),
        (np.array([[[1000], [65535]]], np.uint16), "uint8", [[[3], [255]]]),
        (np.array([[[100], [255]]], np.uint8), "uint16", [[[100], [255]]]),
    ],
)
def test_a_png_of_16_bits_keeps_them_for_a_spec_that_has_as_many(tmp_path, image, dtype, expected):
    (tmp_path / "x.png").write_bytes(tf.io.encode_png(image).numpy())

    assert taken(tmp_path / "x.png", dtype, [None, None, 1]).tolist() == expected
    assert taken(tmp_path / "x.png", dtype, [None, None, None, 1]).tolist() == [expected]


def test_expected_outputs_are_read_from_a_file(net):
    example = "{inputs: {x: [1, 2]}, outputs: {output_0: {file: arrays.npz, key: a}}}"

    with pytest.raises(Exception, match="output_0\\[1\\] is 4.0, expected 2.0"):
        export(net, "double", "{x: {shape: [n], dtype: float32}}", example)


SQUARE = "{x: {shape: [n, 2], dtype: float32}}"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("{file: of.npz, key: ints}", None),
        ("{file: of.npz, key: none}", None),
        ("{file: of.npz, key: wide}", ": got a value of shape [1, 3]; takes [n, 2]"),
        ("{file: of.npz, key: text}", ": holds text; takes float32"),
        ("{file: of.npz, key: intz}", ".key: 'intz' is no array in 'of.npz'; takes ints, none, wide, text; did you mean 'ints'?"),
        ("{file: of.npz}", ".key: is missing; takes ints, none, wide, text"),
        ("{file: cut.npz}", ".file: 'cut.npz' is no .npz file, or is cut off: File is not a zip file"),
        ("{file: array.npy}", ": got a value of shape [2]; takes [n, 2]"),
        ("{file: words.txt, key: a}", ".key: got 'a' for 'words.txt'; only an .npz file takes one"),
    ],
)  # fmt: skip
def test_check_looks_into_files_of_arrays(net, file, message):
    np.savez(
        net.root / "of.npz",
        ints=np.ones([1, 2], np.int64),
        none=np.ones([0, 2], bool),
        wide=np.ones([1, 3]),
        text=np.array([["a", "b"]]),
    )
    (net.root / "cut.npz").write_bytes((net.root / "of.npz").read_bytes()[:300])
    net.write("conf/verify/mine.yaml", f"defaults: [default]\nexamples:\n  s:\n    - inputs:\n        x: {file}\n")
    composition = net.compose("signatures=none", f"+signatures.s={{inputs: {SQUARE}}}", "verify=mine")

    if message is None:
        checking.check(composition, trust.find_project(net.root))
        return
    with pytest.raises(ConfigError) as error:
        checking.check(composition, trust.find_project(net.root))

    assert str(error.value) == f"conf/verify/mine.yaml:5: verify.examples.s[0].inputs.x{message}"


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
        ("{file: arrays.npz, key: aa}", ".key: 'aa' is no array in 'arrays.npz'; takes a, b; did you mean 'a'?"),
        (
            "{file: arrays.npz}",
            ".key: is missing; takes a, b",
        ),
        (
            "{file: pickled.npz}",
            ".file: 'pickled.npz' holds Python objects, which are not unpickled",
        ),
        ("{file: broken.json}", ".file: 'broken.json' is no JSON: Expecting value: line 1 column 4 (char 3)"),
        ("{file: latin.txt}", ".file: 'latin.txt' is not UTF-8: invalid start byte at byte 2"),
        (
            "{file: broken.png}",
            ".file: 'broken.png' cannot be read: InvalidArgumentError: Unknown image file format. One of ",
        ),
        ("{file: image.png}", ": got a value of shape [2, 2, 3]; takes [n]"),
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
