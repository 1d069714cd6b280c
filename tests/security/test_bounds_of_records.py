"""An attacker writes a small manifest, index or array that costs a reader minutes or all memory."""

import io
import zipfile

import numpy as np
import pytest
from smdecl.savedmodel.protos import tensor_bundle_pb2

from tests.security import hostile
from tests.security.bounds import RULES, refused


def test_keys_that_repeat_a_long_one_are_refused(limited, tmp_path):
    first = b"k" * 60_000
    entries = [(0, b"", hostile.header()), (0, first, b"")]
    entries += [(len(first), number.to_bytes(3, "big"), b"") for number in range(50_000)]
    (tmp_path / "variables.index").write_bytes(hostile.table([entries]))

    found = refused(limited("checkpoint", tmp_path / "variables"))
    assert "its keys share more bytes than TensorFlow allows" in found


def test_keys_that_are_not_in_order_are_refused(limited, tmp_path):
    entries = [(0, b"", hostile.header()), (0, b"b", b""), (0, b"a", b"")]
    (tmp_path / "variables.index").write_bytes(hostile.table([entries]))

    assert "its keys are not in order" in refused(limited("checkpoint", tmp_path / "variables"))


def test_a_snappy_block_that_copies_from_far_away_takes_no_time(limited, tmp_path):
    def compress(entries):
        content = hostile.block(entries)
        size = len(content)
        parts = [content[start : start + (1 << 16)] for start in range(0, size, 1 << 16)]
        literals = [b"\xf4" + (len(part) - 1).to_bytes(2, "little") + part for part in parts]
        copies = 200_000
        far = bytes([3]) + size.to_bytes(4, "little")  # one byte, from the first
        return hostile.varint(size + copies) + b"".join(literals) + far * copies

    entries = [(0, b"", hostile.header()), (0, b"w", b"\0" * 1_000_000)]
    (tmp_path / "variables.index").write_bytes(hostile.table([entries], compress))

    assert "as the index" in refused(limited("checkpoint", tmp_path / "variables"))


def entry(offset, size):
    return tensor_bundle_pb2.BundleEntryProto(
        dtype=hostile.FLOAT, offset=offset, size=size
    ).SerializeToString()


def test_variables_that_share_their_bytes_are_refused(limited, tmp_path):
    entries = [(0, b"", hostile.header())]
    entries += [(0, f"v{number:06}".encode(), entry(4, 4_000_000)) for number in range(5_000)]
    net = hostile.write(hostile.saved_model()[0], tmp_path / "net")
    (net / "variables/variables.index").write_bytes(hostile.table([entries]))
    (net / "variables/variables.data-00000-of-00001").write_bytes(bytes(5_000_000))

    assert "'v000000' and 'v000001' overlap" in refused(limited("diff", net, net))


def test_a_shape_of_many_dims_is_refused(limited, tmp_path):
    shaped = tensor_bundle_pb2.BundleEntryProto(dtype=hostile.FLOAT)
    for _ in range(100_000):
        shaped.shape.dim.add(size=2**62)
    entries = [(0, b"", hostile.header()), (0, b"v", shaped.SerializeToString())]
    (tmp_path / "variables.index").write_bytes(hostile.table([entries]))

    assert "v has 100000 dims" in refused(limited("checkpoint", tmp_path / "variables"))


def nest(depth):
    value = 1
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize("depth", [150, 900, 100_000])
def test_a_manifest_that_is_nested_deep_is_refused(limited, tmp_path, depth):
    release = hostile.release(tmp_path / "1", config={})
    path = release / RULES / "manifest.json"
    text = path.read_text()
    path.write_text(
        text.replace('"config": {}', '"config": ' + '{"x":' * depth + "1" + "}" * depth)
    )

    assert "manifest.json: changed since" in refused(limited("manifest", release))
    assert "manifest.json: changed since" in refused(limited("inspect", release))


@pytest.mark.parametrize(("changed", "expected"), [
    ({"config": nest(150)}, "it is nested more than 100 deep"),
    ({"environment": []}, "does not match the schema of manifests; the release was made by an unknown version of smdecl"),
    ({"files": {"\ud800": {"size": 1, "sha256": "0" * 64}}}, "lists a name that no file can have"),
    ({f"k{number}": 1 for number in range(100_000)}, "does not match the schema of manifests"),
    ({"files": {f"k{number}": number for number in range(100_000)}}, "does not match the schema of manifests"),
], ids=["nests", "another environment", "half a character", "unknown keys", "no entries"])  # fmt: skip
def test_a_forged_manifest_with_a_correct_checksum_is_refused(limited, tmp_path, changed, expected):
    release = hostile.release(tmp_path / "1", **changed)

    assert expected in refused(limited("manifest", release))


def test_a_config_of_long_keys_is_not_compared(limited, tmp_path):
    config = {"k" * 100_000: {f"{number}": 1 for number in range(5_000)}}
    a = hostile.release(tmp_path / "a")
    b = hostile.release(tmp_path / "b", config=config)

    assert "characters in the keys of its config: more than" in refused(limited("diff", a, b))


def test_a_signature_reads_no_file_that_is_not_in_the_release(tmp_path):
    from smdecl.release import signing

    (tmp_path / "secret").write_text("x")
    (tmp_path / "1").mkdir()

    signed = {"../secret": "0" * 64, str(tmp_path / "secret"): "0" * 64, "a\0b": "0" * 64}
    found = [str(problem) for problem in signing.changed(tmp_path / "1", signed)]

    assert len(found) == 3
    assert all("no such file, although it was signed" in problem for problem in found)


def npy(array, shape=None):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    data = buffer.getvalue()
    if shape is not None:
        head = (
            f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape},), }}".ljust(117).encode()
            + b"\n"
        )
        data = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data[-4:]
    return data


def example(**tensors):
    return {"signature": "s", "inputs": tensors, "outputs": {}}


def tensor(file, dtype="uint8", shape=(4,)):
    return {"file": file, "dtype": dtype, "shape": list(shape)}


def test_examples_that_name_one_array_many_times_are_refused(limited, tmp_path):
    data = np.zeros(1_000_000, np.uint8)
    index = [example(x=tensor("a", shape=[1_000_000]))] * 2000
    hostile.examples(tmp_path, index, a=npy(data))

    assert "'a.npy' is used twice" in refused(limited("examples", tmp_path))


def test_examples_that_are_a_zip_bomb_are_refused(limited, tmp_path):
    data = npy(np.zeros(1 << 26, np.uint8))
    hostile.examples(
        tmp_path, [example(x=tensor("a", shape=[1 << 26]))], zipfile.ZIP_DEFLATED, a=data
    )

    assert "is compressed" in refused(limited("examples", tmp_path))


def test_an_array_that_claims_to_be_large_is_refused(limited, tmp_path):
    hostile.examples(
        tmp_path, [example(x=tensor("a"))], a=npy(np.zeros(4, np.uint8), shape=1 << 45)
    )

    assert "cannot read" in refused(limited("examples", tmp_path))


def test_texts_that_share_their_bytes_are_refused(limited, tmp_path):
    lengths = np.array([1_000_000, -1_000_000] * 20_000, np.int64)
    index = [example(x=tensor("a", "string", [40_000]))]
    hostile.examples(
        tmp_path, index, a=npy(np.zeros(1_000_000, np.uint8)), **{"a.lengths": npy(lengths)}
    )

    assert "the lengths of texts are not a list of sizes" in refused(limited("examples", tmp_path))


def test_an_index_of_examples_that_is_nested_deep_is_refused(limited, tmp_path):
    path = hostile.examples(tmp_path, []) / RULES / "examples.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("examples.json", "[" * 200_000)

    assert "cannot read" in refused(limited("examples", tmp_path))
