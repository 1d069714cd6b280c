"""The variables of a checkpoint are read from its files, as by TensorFlow."""

import shutil
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ContractError
from smdecl.savedmodel.checkpoint_files import checkpoint

DTYPES = [
    "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64", "bool", "complex64", "complex128", "string", "qint8", "quint8", "qint32", "float8_e5m2", "float8_e4m3fn",
    "int4", "uint4",
]  # fmt: skip
SHAPES = [(), (0,), (3,), (2, 0), (2, 3)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The prefix of a bundle with every dtype in several shapes, in two data files."""
    prefix = tmp_path_factory.mktemp("bundle") / "ckpt"
    tensors = {
        f"{dtype}/{index}": value(dtype, shape)
        for dtype in DTYPES
        for index, shape in enumerate(SHAPES)
    }
    names = sorted(tensors)
    prefixes = [f"{prefix}_{part}" for part in range(2)]
    for part, place in enumerate(prefixes):
        mine = names[part::2]
        tf.raw_ops.SaveV2(
            prefix=place,
            tensor_names=mine,
            shape_and_slices=[""] * len(mine),
            tensors=[tensors[name] for name in mine],
        )
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(prefix))
    return prefix


def value(dtype, shape):
    numbers = np.arange(1, 1 + int(np.prod(shape))).reshape(shape)
    if dtype == "string":
        return tf.constant(
            np.array([b"", b"a", "ü".encode() * 200, b"\0b", b"c", b"d"], dtype=object)[numbers - 1]
        )
    return tf.constant(
        np.asarray(numbers).astype(tf.as_dtype(dtype).as_numpy_dtype), tf.as_dtype(dtype)
    )


def test_every_dtype_and_shape_is_read_as_by_tensorflow(written):
    reader = tf.train.load_checkpoint(str(written))
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()

    tensors = checkpoint.read(written)

    assert [tensor.name for tensor in tensors] == sorted(shapes)
    assert {tensor.name: (tensor.dtype, list(tensor.shape)) for tensor in tensors} == {
        name: (dtypes[name].name, shapes[name]) for name in shapes
    }
    assert len({tensor.file for tensor in tensors}) == 2
    for tensor in tensors:
        kind = tf.as_dtype(tensor.dtype)
        stored = tf.raw_ops.RestoreV2(
            prefix=str(written), tensor_names=[tensor.name], shape_and_slices=[""], dtypes=[kind]
        )[0]
        expected = np.asarray(stored.numpy(), dtype=object if kind == tf.string else None)
        if kind != tf.string:
            assert tensor.read().tobytes() == expected.tobytes()
        else:
            assert tensor.read().tolist() == expected.tolist()
        assert tensor.read().shape == tuple(tensor.shape)


def test_dtypes_that_numpy_lacks_come_from_ml_dtypes(written):
    (found,) = (tensor for tensor in checkpoint.read(written) if tensor.name == "bfloat16/4")

    assert found.read().dtype == ml_dtypes.bfloat16
    assert found.read().astype(int).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_names_with_common_prefixes_are_all_read(tmp_path):
    names = [
        f"layers/{number}/.ATTRIBUTES/VARIABLE_VALUE" for number in range(3000)
    ]  # an index of several blocks
    path = str(tmp_path / "ckpt")
    values = [tf.constant(float(number)) for number in range(3000)]
    tf.raw_ops.SaveV2(prefix=path, tensor_names=names, shape_and_slices=[""] * 3000, tensors=values)

    tensors = {tensor.name: tensor for tensor in checkpoint.read(tmp_path / "ckpt")}

    assert len(tensors) == len(tf.train.list_variables(path))
    assert [float(tensors[f"layers/{number}"].read()) for number in (0, 1234, 2999)] == [
        0,
        1234,
        2999,
    ]


def test_a_missing_or_truncated_index_is_an_error(written, tmp_path):
    assert not checkpoint.exists(tmp_path / "ckpt")
    with pytest.raises(ContractError, match=r"ckpt\.index: no such file"):
        checkpoint.read(tmp_path / "ckpt")
    data = written.with_name("ckpt.index").read_bytes()
    for size in range(0, len(data), 97):
        (tmp_path / "ckpt.index").write_bytes(data[:size])
        with pytest.raises(ContractError, match="as the index of a checkpoint"):
            checkpoint.read(tmp_path / "ckpt")
    assert checkpoint.exists(tmp_path / "ckpt")


def copied(written, directory):
    for file in written.parent.glob("ckpt.*"):
        shutil.copy(file, directory)
    return directory / "ckpt"


def test_every_missing_or_truncated_data_file_is_reported(written, tmp_path):
    prefix = copied(written, tmp_path)
    first, second = sorted(tmp_path.glob("ckpt.data-*"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:10])

    with pytest.raises(ContractError) as error:
        checkpoint.read(prefix)

    missing, cut = map(str, error.value.problems)
    assert missing.startswith(f"{first}: no such file; expected the values of '")
    assert cut.startswith(f"{second}: is truncated: it has 10 bytes, but '")


def test_a_changed_byte_is_reported_with_the_name_of_its_tensor(written, tmp_path):
    prefix = copied(written, tmp_path)
    for tensor in checkpoint.read(prefix):
        if not tensor.size:
            continue
        data = tensor.file.read_bytes()
        changed = bytearray(data)
        changed[tensor.end - 1] ^= 1
        tensor.file.write_bytes(changed)
        with pytest.raises(ContractError) as error:
            tensor.read()
        assert f"{tensor.file}: " in str(error.value)
        assert tensor.name in str(error.value)
        tensor.file.write_bytes(data)


def test_an_index_that_differs_from_its_checksum_is_an_error(written, tmp_path):
    prefix = copied(written, tmp_path)
    index = tmp_path / "ckpt.index"
    data = bytearray(index.read_bytes())
    data[len(data) // 3] ^= 1
    index.write_bytes(data)

    with pytest.raises(
        ContractError, match="content of the block at byte 0 differs from its checksum"
    ):
        checkpoint.read(prefix)


@pytest.mark.slow
def test_reading_does_not_import_tensorflow_or_prevent_its_import():
    code = """
import sys
from smdecl.savedmodel import inspection
from smdecl.savedmodel.checkpoint_files import checkpoint
assert "tensorflow" not in sys.modules
import tensorflow as tf
assert tf.constant(1).numpy() == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
