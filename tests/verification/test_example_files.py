"""Values of examples are read from files of the project."""

import numpy as np
import pytest
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError
from smdecl.verification import stored_examples

from tests.verification.example_projects import write_net


@pytest.fixture
def net(project):
    return write_net(project)


def export(net, method, inputs, example):
    return net.export(
        "model=net",
        "signatures=none",
        f"+signatures.s={{method: {method}, inputs: {inputs}}}",
        f"+verify.examples.s=[{example}]",
    )


# By signature: its method, its inputs, and the value that each file is read as.
READ = {
    "numbers": (
        "double", "{x: {shape: [n], dtype: float32}}",
        {
            "x: {file: arrays.npz, key: a}": [2, 4],
            "x: {file: one.npz}": [10],
            "x: {file: array.npy}": [14, 16],
            "x: {file: values.json}": [3, 5],
        },
    ),
    "text": ("upper", "{text: {shape: [], dtype: string}}", {"text: {file: words.txt}": b"TO BE\nOR NOT\n"}),
    "lines": ("upper", "{text: {shape: [n], dtype: string}}", {"text: {file: words.txt}": [b"TO BE", b"OR NOT"]}),
    "bytes": ("size", "{encoded: {shape: [], dtype: string}}", {"encoded: {file: image.png}": [2, 2, 3]}),
    "image": (
        "brightest", "{image: {shape: [n, null, null, 3], dtype: uint8}}", {"image: {file: image.png}": [[9, 10, 11]]},
    ),
}  # fmt: skip


def test_values_are_read_from_files(net):
    signatures = [
        f"{key}: {{method: {method}, inputs: {inputs}}}"
        for key, (method, inputs, _) in READ.items()
    ]
    given = {
        key: ", ".join(f"{{inputs: {{{value}}}}}" for value in values)
        for key, (_, _, values) in READ.items()
    }
    examples = [f"{key}: [{cases}]" for key, cases in given.items()]

    release = net.export(
        "model=net",
        "signatures=none",
        f"+signatures={{{', '.join(signatures)}}}",
        f"+verify.examples={{{', '.join(examples)}}}",
    )

    found = [
        (example.signature, example.outputs["output_0"].tolist())
        for example in stored_examples.read(release.path)
    ]
    expected = [(key, output) for key, (_, _, values) in READ.items() for output in values.values()]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_expected_outputs_are_read_from_a_file(net):
    example = "{inputs: {x: [1, 2]}, outputs: {output_0: {file: arrays.npz, key: a}}}"

    with pytest.raises(
        Exception, match="output_0: \\[1\\] is 4.0 in the model in memory, expected 2.0"
    ):
        export(net, "double", "{x: {shape: [n], dtype: float32}}", example)


SQUARE = "{x: {shape: [n, 2], dtype: float32}}"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("{file: of.npz, key: ints}", None),
        ("{file: of.npz, key: none}", None),
        ("{file: of.npz, key: wide}", ": got a value of shape [1, 3]; expected [n, 2]"),
        ("{file: of.npz, key: text}", ": expected float32, got text"),
        ("{file: of.npz, key: intz}", ".key: unknown array 'intz' in 'of.npz'; expected one of ints, none, wide, text (did you mean 'ints'?)"),
        ("{file: of.npz}", ".key: is missing; expected one of ints, none, wide, text"),
        ("{file: cut.npz}", ".file: 'cut.npz' is not a .npz file, or is truncated: File is not a zip file"),
        ("{file: array.npy}", ": got a value of shape [2]; expected [n, 2]"),
        ("{file: words.txt, key: a}", ".key: unexpected key 'a' for 'words.txt'; only .npz files have keys"),
    ],
)  # fmt: skip
def test_check_reads_the_headers_of_arrays(net, file, message):
    np.savez(
        net.root / "of.npz",
        ints=np.ones([1, 2], np.int64),
        none=np.ones([0, 2], bool),
        wide=np.ones([1, 3]),
        text=np.array([["a", "b"]]),
    )
    (net.root / "cut.npz").write_bytes((net.root / "of.npz").read_bytes()[:300])
    net.write(
        "conf/verify/mine.yaml",
        f"defaults: [default]\nexamples:\n  s:\n    - inputs:\n        x: {file}\n",
    )
    composition = net.compose(
        "signatures=none", f"+signatures.s={{inputs: {SQUARE}}}", "verify=mine"
    )

    if message is None:
        check.check(composition, find_project(net.root))
        return
    with pytest.raises(ConfigError) as error:
        check.check(composition, find_project(net.root))

    assert str(error.value) == f"conf/verify/mine.yaml:5: verify.examples.s[0].inputs.x{message}"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("{file: nothing.npz}", ".file: no such file: 'nothing.npz'"),
        ("{file: ../outside.json}", ".file: '../outside.json' is outside the project "),
        ("{file: /etc/hostname.txt}", ".file: '/etc/hostname.txt' is outside the project "),
        ("{file: link.txt}", ".file: 'link.txt' is outside the project "),
        (
            "{file: mynet.py}",
            ".file: invalid file 'mynet.py'; expected a .npz, .npy, .json, .txt, .tfrecord, .bin, .png, .jpg, .webp,"
            " .bmp or .gif file",
        ),
        (
            "{file: arrays.npz, key: aa}",
            ".key: unknown array 'aa' in 'arrays.npz'; expected one of a, b (did you mean 'a'?)",
        ),
        (
            "{file: arrays.npz}",
            ".key: is missing; expected one of a, b",
        ),
        (
            "{file: pickled.npz}",
            ".file: 'pickled.npz' has Python objects, which are not unpickled",
        ),
        (
            "{file: broken.json}",
            ".file: 'broken.json' is not valid JSON: Expecting value: line 1 column 4 (char 3)",
        ),
        ("{file: latin.txt}", ".file: 'latin.txt' is not UTF-8: invalid start byte at byte 2"),
        (
            "{file: broken.png}",
            ".file: cannot read 'broken.png': InvalidArgumentError: Unknown image file format. One of ",
        ),
        ("{file: image.png}", ": got a value of shape [2, 2, 3]; expected [n]"),
        (
            "{path: values.json}",
            ".path: unknown key 'path' in verify.examples.s[0].inputs.x; expected one of b64, file, key",
        ),
    ],
)
def test_an_invalid_file_is_reported_with_its_key(net, file, message):
    (net.root / "link.txt").symlink_to("/etc/hostname")
    with pytest.raises(ConfigError) as error:
        export(net, "double", "{x: {shape: [n], dtype: float32}}", f"{{inputs: {{x: {file}}}}}")

    texts = [f"{problem.key}: {problem.message}" for problem in error.value.problems]
    assert any(f"verify.examples.s[0].inputs.x{message}" in text for text in texts), texts
    assert not (net.root / "exports").exists()
