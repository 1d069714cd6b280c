"""An untrusted directory is compared or refused, in bounded time and memory."""

import os
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ContractError, SmdeclError
from smdecl.release import diffing
from smdecl.savedmodel.checkpoint_files import checkpoint
from smdecl.savedmodel.checkpoint_files.crc32c import crc32c, masked
from tensorflow.core.protobuf import saved_model_pb2

from tests.security import hostile


class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable([[1.0, 2.0], [3.0, 4.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def ask(self, x):
        return {"a": x @ self.kernel, "b": x}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "net"
    net = Net()
    tf.saved_model.save(net, str(directory), signatures=net.ask)
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    subprocess.run(["cp", "-r", saved, tmp_path / "copy"], check=True)
    return tmp_path / "copy"


def rewrite(directory, change):
    path = directory / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(message)
    path.write_bytes(message.SerializeToString(deterministic=True))


@pytest.mark.parametrize("times", [50, pytest.param(300, marks=pytest.mark.slow)])
def test_flipped_bytes_result_in_a_diff_or_an_error(saved, copy, times):
    drawn = random.Random(0)
    for name in (
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    ):
        before = (copy / name).read_bytes()
        for _ in range(times):
            data = bytearray(before)
            for _ in range(drawn.randint(1, 3)):
                data[drawn.randrange(len(data))] = drawn.randrange(256)
            (copy / name).write_bytes(data)
            try:
                diffing.diff(saved, copy)
            except SmdeclError as error:
                assert error.exit_code == 4
        (copy / name).write_bytes(before)


def test_an_unknown_dtype_is_reported_by_number(saved, copy):
    def change(message):
        (key,) = (key for key in message.meta_graphs[0].signature_def if key == "serving_default")
        message.meta_graphs[0].signature_def[key].inputs["x"].dtype = 999

    rewrite(copy, change)

    assert (
        "signatures serving_default.inputs.x: changed from float32 [?, 2] to dtype 999 [?, 2]"
        in [str(each) for each in diffing.diff(saved, copy).changes]
    )


def test_a_reference_to_a_missing_object_is_an_error(saved, copy):
    def change(message):
        message.meta_graphs[0].object_graph_def.nodes[0].children[0].node_id = 99999

    rewrite(copy, change)

    with pytest.raises(ContractError, match=r"saved_model\.pb' as a SavedModel: "):
        diffing.diff(saved, copy)


def test_what_a_function_returns_is_compared(saved, copy):
    def change(message):
        for function in message.meta_graphs[0].graph_def.library.function:
            if sorted(function.ret) == ["identity", "identity_1"]:
                function.ret["identity"], function.ret["identity_1"] = (
                    function.ret["identity_1"],
                    function.ret["identity"],
                )

    rewrite(copy, change)

    assert any(
        "/return: return has different inputs" in str(each)
        for each in diffing.diff(saved, copy).changes
    )


def test_further_graphs_and_methods_of_signatures_are_compared(saved, copy):
    def change(message):
        added = message.meta_graphs.add()
        added.CopyFrom(message.meta_graphs[0])
        added.meta_info_def.tags[:] = ["serve", "train"]
        message.meta_graphs[0].signature_def[
            "serving_default"
        ].method_name = "tensorflow/serving/regress"

    rewrite(copy, change)

    found = [str(each) for each in diffing.diff(saved, copy).changes if each.verdict != "internal"]
    assert found == [
        "signatures serving_default.method_name: changed from tensorflow/serving/predict to tensorflow/serving/regress",
        "tags serve, train: the graph was added",
    ]
    back = [str(each) for each in diffing.diff(copy, saved).changes if each.part == "tags"]
    assert back == ["tags serve, train: the graph was removed"]


def test_control_characters_in_names_are_escaped(saved, copy):
    (copy / "assets").mkdir(exist_ok=True)
    (copy / "assets" / "x\nsame: the two\x1b[2J").write_text("")

    found = [str(each) for each in diffing.diff(saved, copy).changes if each.part == "files"]
    assert found == ["files assets/x\\nsame: the two\\x1b[2J: was added"]


def test_a_name_that_is_not_unicode_is_escaped(saved, copy):
    (copy / "assets").mkdir(exist_ok=True)
    (copy / "assets" / os.fsdecode(b"\xff")).write_text("")

    assert "files assets/\\udcff: was added" in [
        str(each) for each in diffing.diff(saved, copy).changes
    ]


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"]
)
def test_only_regular_files_are_read(saved, copy, name, make):
    (copy / name).unlink()
    make(copy / name)

    with pytest.raises(ContractError, match="(no|not a) regular file|Invalid argument"):
        diffing.diff(saved, copy)


def varint(value):
    data = b""
    while value >= 0x80:
        data, value = data + bytes([value & 0x7F | 0x80]), value >> 7
    return data + bytes([value])


def trailer(block):
    return b"\0" + struct.pack("<I", masked(crc32c(block + b"\0")))


def index_of(entries, blocks=1):
    """Returns a sorted table with the given entries, whose index lists their block many times."""
    block = b"".join(
        varint(shared) + varint(len(added)) + varint(0) + added for shared, added in entries
    )
    block += struct.pack("<II", 0, 1)
    handle = varint(0) + varint(len(block))
    top = b"".join(
        varint(0) + varint(1) + varint(len(handle)) + b"k" + handle for _ in range(blocks)
    )
    top += struct.pack("<II", 0, 1)
    data = block + trailer(block)
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(top))
    return (
        data + top + trailer(top) + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (index_of([(0, b"a" * 70_000)]), "a key is longer than any that TensorFlow writes"),
        (
            index_of([(64 * number, b"a" * 64) for number in range(1_100)]),
            "its keys share more bytes than",
        ),
        (index_of([(7, b"a")]), "a key is longer than any that TensorFlow writes"),
        (index_of([(0, b"a")], blocks=2_000), "its blocks overlap"),
        (
            b"\xff" * 400_000 + struct.pack("<Q", 0xDB4775248B80FB57),
            "an integer has more than 64 bits",
        ),
    ],
    ids=[
        "a long key",
        "keys that grow",
        "a key of nothing",
        "one block many times",
        "an endless number",
    ],
)
def test_an_index_that_would_take_forever_is_refused(tmp_path, data, expected):
    (tmp_path / "variables.index").write_bytes(data)

    with pytest.raises(ContractError, match=expected):
        checkpoint.read(tmp_path / "variables")


def test_the_slices_of_a_variable_are_read(tmp_path):
    whole = np.arange(6, dtype=np.float32)
    for name, values in (("one", whole), ("two", whole + np.float32([0, 0, 0, 0, 5, 0]))):
        tf.raw_ops.SaveV2(
            prefix=str(tmp_path / name), tensor_names=["w", "w"], shape_and_slices=["6 0,3", "6 3,3"],
            tensors=[values[:3], values[3:]],
        )  # fmt: skip

    tensors = {name: checkpoint.read(tmp_path / name) for name in ("one", "two")}

    for found in tensors.values():
        assert [(each.name, each.shape) for each in found] == [
            ("w (slice, entry 0)", (3,)),
            ("w (slice, entry 1)", (3,)),
        ]
    differing = [
        a.name
        for a, b in zip(*tensors.values(), strict=True)
        if a.read().tolist() != b.read().tolist()
    ]
    assert differing == ["w (slice, entry 1)"]
    assert [value for each in tensors["one"] for value in each.read().tolist()] == whole.tolist()


@pytest.mark.parametrize("name", ["same", "other"])
def test_large_variables_are_compared_block_by_block(tmp_path, name):
    values = {"same": 1.0, "other": 2.0}
    for side, value in (("a", 1.0), ("b", values[name])):
        numbers = np.full(1 << 24, 1, np.float32)
        numbers[-1] = value
        hostile.release(tmp_path / side, variables={"v": numbers.tobytes()})
    code = f"""
import resource
from pathlib import Path
from smdecl.release import diffing
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print([change.message for change in diffing.diff(Path({str(tmp_path / "a")!r}), Path({str(tmp_path / "b")!r})).changes])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    change, grown = done.stdout.splitlines()
    assert int(grown) < 50_000  # KiB, of 64 MiB each
    assert ("values differ by at most 1" in change) == (name == "other")
