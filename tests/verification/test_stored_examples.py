"""Examples round-trip through a release; unreadable ones are reported."""

import io
import json
import zipfile

import ml_dtypes
import numpy as np
import pytest
from smdecl.errors import VerificationError
from smdecl.verification import stored_examples
from smdecl.verification.stored_examples import Example

from tests.verification.example_making import assert_same

ODD = [
    Example(
        "odd",
        {
            "bytes": np.array([b"a\0", b"\0", b"", b"\xff\xfe", "grüß".encode()], dtype=object),
            "scalar": np.array(b"tail\0\0", dtype=object),
            "empty scalar": np.array(b"", dtype=object),
            "no text": np.empty((0, 2), dtype=object),
            "matrix": np.array([[b"a", b"bc"], [b"", b"d"]], dtype=object),
        },
        {
            "empty": np.empty((2, 0), np.float32),
            "empty bfloat16": np.empty((0,), ml_dtypes.bfloat16),
            "transposed": np.arange(6, dtype=np.int64).reshape(2, 3).T,
            "bfloat16": np.array([[1.5], [-2]], ml_dtypes.bfloat16),
            "int4 scalar": np.array(-3, ml_dtypes.int4),
            "a/name with/slashes": np.array([1 + 2j]),
        },
    )
]


def test_unusual_values_round_trip(tmp_path):
    stored_examples.write(ODD, tmp_path)
    (read,) = stored_examples.read(tmp_path)

    assert read.signature == "odd"
    assert list(read.inputs) == list(ODD[0].inputs)
    assert_same(read.inputs, ODD[0].inputs)
    assert_same(read.outputs, ODD[0].outputs)


def test_the_same_examples_make_the_same_bytes(tmp_path):
    stored_examples.write(ODD, tmp_path / "a")
    stored_examples.write(ODD, tmp_path / "b")

    assert (tmp_path / "a" / stored_examples.FILE).read_bytes() == (
        tmp_path / "b" / stored_examples.FILE
    ).read_bytes()


def test_numpy_can_read_the_file_without_pickle(tmp_path):
    stored_examples.write(ODD, tmp_path)

    with np.load(tmp_path / stored_examples.FILE, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if not name.endswith(".json")}
    assert arrays
    assert not [name for name, array in arrays.items() if array.dtype.hasobject]
    with zipfile.ZipFile(tmp_path / stored_examples.FILE) as archive:
        assert archive.testzip() is None


def broken(index=None, **members):
    """Returns a function that writes an archive whose members do not fit its index."""

    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            if index is not None:
                archive.writestr(
                    "examples.json", index if isinstance(index, str) else json.dumps(index)
                )
            for name, array in members.items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                archive.writestr(f"{name}.npy", buffer.getvalue())

    return write


def entry(**changed):
    tensor = {"file": "a", "dtype": "float32", "shape": [2]} | changed
    return [{"signature": "s", "inputs": {"x": tensor}, "outputs": {}}]


PAIR = np.zeros(2, np.float32)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no zip"),
        lambda path: (
            np.save(path.with_suffix(".npy"), PAIR) or path.with_suffix(".npy").rename(path)
        ),
        broken(),
        broken("[1,"),
        broken("[" * 100_000),
        broken(3),
        broken({}),
        broken([3]),
        broken([{}]),
        broken([{"signature": "s", "inputs": {}}]),
        broken([{"signature": 3, "inputs": {}, "outputs": {}}]),
        broken([{"signature": "s", "inputs": [], "outputs": {}}]),
        broken(entry()),
        broken(entry(file=3), a=PAIR),
        broken(entry(file="examples.json"), a=PAIR),
        broken(entry(more=1), a=PAIR),
        broken(entry(dtype="float3"), a=PAIR),
        broken(entry(dtype="variant"), a=PAIR),
        broken(entry(dtype="string"), a=PAIR),
        broken(entry(dtype="string"), **{"a": np.zeros(2, np.uint8), "a.lengths": np.array([1])}),
        broken(
            entry(dtype="string"), **{"a": np.zeros(2, np.uint8), "a.lengths": np.array([0.5, 1.5])}
        ),
        broken(entry(shape=[3]), a=PAIR),
        broken(entry(shape="x"), a=PAIR),
        broken(entry(shape=None), a=PAIR),
        broken(entry(), a=np.zeros(3, np.uint8)),
    ],
)
def test_unreadable_examples_are_reported_with_their_file(tmp_path, write):
    path = tmp_path / stored_examples.FILE
    path.parent.mkdir(parents=True)
    write(path)

    with pytest.raises(VerificationError) as error:
        stored_examples.read(tmp_path)

    assert str(error.value).startswith(f"cannot read {path}: ")
