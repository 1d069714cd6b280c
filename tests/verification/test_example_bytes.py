"""Texts, bytes and images from files and base64 keep every byte."""

import base64
import json
import re

import numpy as np
import pytest
import smdecl
import tensorflow as tf
from smdecl.checks import check
from smdecl.checks.examples import npy_header, tfrecord
from smdecl.config.project import find_project
from smdecl.config.settings import Spec
from smdecl.errors import ConfigError, VerificationError
from smdecl.names import WARMUP_FILE
from smdecl.release import manifest
from smdecl.verification import example_values, stored_examples

from tests.verification.example_projects import IMAGE, write_net


@pytest.fixture
def net(project):
    return write_net(project)


def taken(file, dtype, shape):
    """Returns the array that a file is read as for a spec."""
    path = ("verify", "examples", "s", 0, "inputs", "x")
    return example_values.to_array(path, {"file": str(file)}, Spec(tuple(shape), dtype))


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n\n", [b"a", b""]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\rb\r\r\nc\r", [b"a\rb\r", b"c\r"]),
        (
            "a\u2028b\u2029c\x0cd\x0be\x1cf\x85g\n".encode(),
            ["a\u2028b\u2029c\x0cd\x0be\x1cf\x85g".encode()],
        ),
    ],
)
def test_only_newlines_end_lines_of_text(tmp_path, content, lines):
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
def test_a_png_of_16_bits_keeps_them_for_a_spec_of_16_bits(tmp_path, image, dtype, expected):
    (tmp_path / "x.png").write_bytes(tf.io.encode_png(image).numpy())

    assert taken(tmp_path / "x.png", dtype, [None, None, 1]).tolist() == expected
    assert taken(tmp_path / "x.png", dtype, [None, None, None, 1]).tolist() == [expected]


BYTES = [b"\xff\xd8\0", b"\n\x03abc\0\0", b""]


@pytest.fixture
def contents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in zip("abc", BYTES, strict=True):
        (tmp_path / f"{name}.jpg").write_bytes(content)
    (tmp_path / "d.txt").write_text("to be\n")
    np.save(tmp_path / "e.npy", np.array("text"))
    for name, records in (("of", BYTES), ("one", BYTES[:1]), ("none", [])):
        with tf.io.TFRecordWriter(f"{name}.tfrecord") as writer:
            for record in records:
                writer.write(record)
    for value, name in ((1, "x"), (2, "y")):
        (tmp_path / f"{name}.png").write_bytes(
            tf.io.encode_png(np.full([2, 2, 1], value, np.uint8)).numpy()
        )
    return tmp_path


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


@pytest.mark.parametrize(
    ("value", "shape", "expected"),
    [
        ({"file": "a.jpg"}, ["batch"], BYTES[:1]),
        ({"file": "a.jpg"}, [], BYTES[0]),
        ({"file": "a.jpg"}, None, BYTES[0]),
        ([{"file": f"{name}.jpg"} for name in "abc"], ["batch"], BYTES),
        ([[{"file": "a.jpg"}], [{"file": "b.jpg"}]], ["batch", 1], [[BYTES[0]], [BYTES[1]]]),
        (b64(BYTES[1]), [], BYTES[1]),
        (b64(BYTES[1]), [1], [BYTES[1]]),
        ([b64(BYTES[0]), "text", {"file": "d.txt"}, {"file": "e.npy"}], ["batch"], [BYTES[0], b"text", b"to be\n", b"text"]),
        ({"file": "of.tfrecord"}, ["batch"], BYTES),
        ({"file": "one.tfrecord"}, ["batch"], BYTES[:1]),
        ({"file": "none.tfrecord"}, ["batch"], []),
    ],
)  # fmt: skip
def test_bytes_are_read_from_files_and_base64(contents, value, shape, expected):
    spec = Spec(None if shape is None else tuple(shape), "string")

    assert example_values.to_array((), value, spec).tolist() == expected


def test_rows_of_bytes_are_ragged_and_several_images_are_a_batch(contents):
    ragged = Spec(("batch", None), "string", kind="ragged")
    rows = [[{"file": "a.jpg"}, b64(BYTES[1])], []]
    flat, splits = example_values.input_arrays((), "x", rows, ragged).values()
    images = example_values.to_array(
        (), [{"file": "x.png"}, {"file": "y.png"}], Spec(("batch", None, None, 1), "uint8")
    )

    assert (flat.tolist(), splits.tolist()) == (BYTES[:2], [0, 2, 2])
    assert (images.shape, images[:, 0, 0, 0].tolist()) == ((2, 2, 2, 1), [1, 2])


def damaged(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("value", "dtype", "shape", "message"),
    [
        ({"b64": "QQ="}, "string", "[n]", ".b64: is not base64: Incorrect padding"),
        ({"b64": "Q*=="}, "string", "[n]", ".b64: invalid b64 'Q*=='; expected base64 in quotes"),
        ({"b64": 1234}, "string", "[n]", ".b64: expected base64 in quotes, got the integer 1234"),
        ({"b64": "QQ==", "file": "a.jpg"}, "string", "[n]", ': expected b64 without other keys, got {"b64": "QQ==", "file": "a.jpg"}'),
        ({"key": "a"}, "string", "[n]", ".file: is missing; expected {file: PATH}, {file: PATH, key: NAME} or {b64: TEXT}"),
        ([["a", {"b64": "QQ=="}]], "int32", "[n, 2]", "[0][1]: expected int32, got bytes"),
        ([{"file": "a.jpg"}, {"file": "z.jpg"}], "string", "[n]", "[1].file: no such file: 'z.jpg'"),
        ([{"file": "../a.jpg"}], "string", "[n]", "[0].file: '../a.jpg' is outside the project "),
        ({"file": "of.tfrecord"}, "float32", "[n]", ": expected float32, got bytes"),
        ({"file": "of.tfrecord", "key": "a"}, "string", "[n]", ".key: unexpected key 'a' for 'of.tfrecord'; only .npz"),
        ({"file": "cut.tfrecord"}, "string", "[n]", ".file: 'cut.tfrecord' is not a .tfrecord file, or is truncated: ends within record 2"),
        ({"file": "length.tfrecord"}, "string", "[n]", "the length of record 0 differs from its checksum"),
        ({"file": "gzip.tfrecord"}, "string", "[n]", "expected uncompressed records, got gzip"),
        ({"file": "zlib.tfrecord"}, "string", "[n]", "expected uncompressed records, got zlib"),
        ({"file": "a.tfrecord"}, "string", "[n]", "ends within record 0"),
        ([{"file": "array.npy"}], "float32", "[n, 3]", "[0]: got a value of shape [2]; expected [3]"),
    ],
)  # fmt: skip
def test_check_reports_invalid_bytes(contents, value, dtype, shape, message):
    for name in ("cut", "length"):
        (contents / f"{name}.tfrecord").write_bytes((contents / "of.tfrecord").read_bytes())
    damaged(contents / "length.tfrecord", 1)
    (contents / "cut.tfrecord").write_bytes((contents / "of.tfrecord").read_bytes()[:-1])
    (contents / "a.tfrecord").write_bytes(b"a record")
    for kind in ("GZIP", "ZLIB"):
        with tf.io.TFRecordWriter(f"{kind.lower()}.tfrecord", options=kind) as writer:
            writer.write(b"record")
    np.save(contents / "array.npy", np.ones(2, np.float32))
    signature = f"+signatures.s={{inputs: {{x: {{shape: {shape}, dtype: {dtype}}}}}}}"
    (contents / "conf" / "verify").mkdir(parents=True)
    text = json.dumps({"examples": {"s": [{"inputs": {"x": value}}]}})
    (contents / "conf" / "verify" / "mine.yaml").write_text(text)
    composition = smdecl.compose(["signatures=none", signature, "verify=mine"], config_dir="conf")

    with pytest.raises(ConfigError) as error:
        check.check(composition, find_project(contents))

    texts = [f"{problem.key}: {problem.message}" for problem in error.value.problems]
    assert any(
        text.startswith("verify.examples.s[0].inputs.x") and message in text for text in texts
    ), texts


def test_a_corrupted_record_is_reported(contents):
    damaged(contents / "of.tfrecord", 13)

    tfrecord.require(contents / "of.tfrecord")
    with pytest.raises(
        ConfigError,
        match="x.file: cannot read 'of.tfrecord': DataLossError: corrupted record at ",
    ):
        example_values.to_array(("x",), {"file": "of.tfrecord"}, Spec((None,), "string"))


def test_yaml_binary_is_refused_with_the_form_for_bytes(project):
    project.write(
        "conf/verify/mine.yaml", "examples: {serving_default: [{inputs: {x: !!binary QQ==}}]}\n"
    )

    with pytest.raises(ConfigError) as error:
        check.check(project.compose("verify=mine"), find_project(project.root))

    assert str(error.value) == (
        "conf/verify/mine.yaml:1: verify.examples.serving_default[0].inputs.x: got !!binary; write it as {b64: TEXT}"
    )


def test_a_file_with_too_few_dims_is_refused_with_a_list_as_the_hint(contents):
    with pytest.raises(ConfigError) as error:
        example_values.to_array(("x",), {"file": "a.jpg"}, Spec((None, 2), "string"))

    assert str(error.value) == (
        "x: got a value of shape []; expected [?, 2]; put several in brackets, such as [{file: a.jpg}, {file: b.jpg}]"
    )


@pytest.mark.parametrize(
    ("values", "cut"),
    [
        ([b"\x01\x02\0", b"\x01\x02\x03"], True),
        ([b"\x01\x02\0"], True),
        ([b"\xff\xd8", b"\xff\xd8\xff"], True),
        ([b"\xff\xd8", b"\xff\xd9"], False),
        ([b"to be", "gr\u00fc\u00df\n".encode()], False),
        (["to be", "or"], False),
        ([1, 2], False),
    ],
)
def test_arrays_that_may_have_lost_zeros_are_found(tmp_path, values, cut):
    np.save(tmp_path / "x.npy", np.array(values))
    np.savez(tmp_path / "x.npz", a=np.array(values), b=np.array(0))

    assert npy_header.may_be_cut(tmp_path / "x.npy", None) is cut
    assert npy_header.may_be_cut(tmp_path / "x.npz", "a") is cut


DECODER = """
import tensorflow as tf

class Net(tf.Module):
    def sizes(self, image_bytes):
        shape = tf.TensorSpec([3], tf.int32)
        return tf.map_fn(lambda one: tf.shape(tf.io.decode_image(one)), image_bytes, fn_output_signature=shape)
"""


def test_encoded_images_are_verified_recorded_and_warmed_up(net):
    net.write("decoder.py", DECODER)
    images = {"a.png": IMAGE, "b.png": IMAGE[:1]}
    for name, image in images.items():
        (net.root / name).write_bytes(tf.io.encode_png(image).numpy())
    encoded = [(net.root / name).read_bytes() for name in images]
    np.savez(net.root / "cut.npz", np.array(encoded))
    overrides = (
        "model._target_=decoder.Net",
        "signatures=none",
        "+signatures.s={method: sizes, inputs: {image_bytes: {shape: [batch], dtype: string}}}",
        "publish.warmup=true",
    )

    with pytest.raises(VerificationError) as error:
        net.export(*overrides)
    cut = "+verify.examples.s=[{inputs: {image_bytes: {file: cut.npz}}}]"
    checked, swept = (
        net.run("check", *overrides, cut),
        net.run("check", "-m", *overrides, cut, "seed=1,2"),
    )
    case = "{inputs: {image_bytes: [{file: a.png}, {file: b.png}]}}, {inputs: {image_bytes: {file: cut.npz}}}"
    release = net.export(*overrides, f"+verify.examples.s=[{case}]")

    lost = r"warning: .*: verify.examples.s\[0\].inputs.image_bytes: NumPy's fixed-width strings in 'cut.npz' may "
    assert [len(re.findall(lost, done.stderr)) for done in (checked, swept)] == [1, 2]
    assert (checked.returncode, swept.returncode) == (0, 0)
    assert "such as - inputs: {image_bytes: [{file: a.jpg}, {b64: TEXT}]}" in str(error.value)
    first, second = stored_examples.read(release.path)
    assert first.inputs["image_bytes"].tolist() == second.inputs["image_bytes"].tolist() == encoded
    assert first.outputs["output_0"].tolist() == [[2, 2, 3], [1, 2, 3]]
    assert {"a.png", "b.png", "cut.npz"} <= set(manifest.read(release.path)["inputs"])
    (warning,) = (warning for warning in release.warnings if warning.path[:1] == ("verify",))
    assert str(warning) == (
        "override '+verify.examples.s=["
        + case
        + "]': verify.examples.s[1].inputs.image_bytes: NumPy's fixed-width"
        " strings in 'cut.npz' may have lost trailing zero bytes; {file: of.tfrecord}, {b64: TEXT}, and lists of these"
        " and of files of single values keep them"
    )
    requests = [
        record.numpy() for record in tf.data.TFRecordDataset(str(release.path / WARMUP_FILE))
    ]
    assert [all(image in request for image in encoded) for request in requests] == [True, True]
