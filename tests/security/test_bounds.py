"""An attacker wants a small file to cost whoever reads it minutes, or all of their memory."""

import io
import json
import subprocess
import zipfile

import numpy as np
import pytest

from smdecl.protos import saved_model_pb2, tensor_bundle_pb2
from tests.security import hostile
from tests.security.limits import Limited

GIBIBYTES = 1 << 35  # far more than any machine of ours has
RULES = "assets.extra/smdecl/"


@pytest.fixture(scope="module")
def limited():
    process = Limited()
    yield process
    process.close()


def done(outcome):
    assert outcome.exit_code == 0, outcome.text[:500]
    return outcome.text


def refused(outcome):
    assert outcome.exit_code == 4, outcome.text[:500]
    assert len(outcome.text) < 2000
    return outcome.text


# Files that claim to be large.


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt"])
def test_a_sparse_model_is_not_read(limited, tmp_path, name):
    hostile.sparse(tmp_path / "net" / name, GIBIBYTES)

    assert f"it has {GIBIBYTES} bytes; expected at most" in refused(limited("inspect", tmp_path / "net"))
    assert "expected at most" in refused(limited("diff", tmp_path / "net", tmp_path / "net"))


def test_a_sparse_index_of_variables_is_not_read(limited, tmp_path):
    hostile.write(hostile.saved_model()[0], tmp_path / "net")
    hostile.sparse(tmp_path / "net/variables/variables.index", GIBIBYTES)

    assert "expected at most" in done(limited("inspect", tmp_path / "net"))  # as damage
    assert "expected at most" in refused(limited("diff", tmp_path / "net", tmp_path / "net"))


def test_a_sparse_manifest_is_not_read(limited, tmp_path):
    release = hostile.release(tmp_path / "1")
    hostile.sparse(release / RULES / "manifest.json", GIBIBYTES)

    assert "expected at most" in refused(limited("manifest", release))


def test_a_sparse_provenance_is_not_read(limited, tmp_path):
    release = hostile.release(tmp_path / "1")
    hostile.sparse(release / RULES / "provenance.json", GIBIBYTES)
    (release / RULES / "model.sig").write_text("")

    assert "provenance.json: was changed" in done(limited("manifest", release))


def test_a_manifest_that_no_provenance_can_be_made_of_is_told(limited, tmp_path):
    release = hostile.release(tmp_path / "1", environment={"smdecl": "1", "tensorflow": "2", "\ud800": "1"})
    (release / RULES / "provenance.json").write_text("{}")
    (release / RULES / "model.sig").write_text("")

    assert "provenance.json: was changed" in done(limited("manifest", release))


def test_a_sparse_signature_is_not_read(limited, tmp_path, public_key):
    hostile.sparse(tmp_path / "1" / RULES / "model.sig", GIBIBYTES)

    assert "expected at most" in refused(limited("signature", tmp_path / "1"))


def test_sparse_examples_are_not_read(limited, tmp_path):
    hostile.sparse(tmp_path / "1" / RULES / "examples.npz", GIBIBYTES)

    assert "expected at most" in refused(limited("examples", tmp_path / "1"))


def test_a_sparse_asset_is_not_compared_with_a_small_one(limited, tmp_path):
    for name in ("a", "b"):
        hostile.write(hostile.saved_model()[0], tmp_path / name)
    hostile.sparse(tmp_path / "a/assets/vocabulary", GIBIBYTES)
    hostile.sparse(tmp_path / "b/assets/vocabulary", 10)

    assert "files assets/vocabulary: has other bytes" in done(limited("diff", tmp_path / "a", tmp_path / "b"))


@pytest.fixture
def public_key(tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(text)
    return text


# Graphs of objects and functions.


def test_one_trace_that_a_function_lists_many_times_is_one(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    hostile.trace(objects, "t", 2)
    hostile.function(objects, "f", ["t"] * 30_000)
    net = hostile.write(message, tmp_path / "net")

    assert done(limited("inspect", net)).count("(0: float32 [2])") == 1
    assert done(limited("diff", net, net)).startswith("same")


def test_many_functions_that_share_all_traces_are_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    names = [f"t{number}" for number in range(500)]
    for name in names:
        hostile.trace(objects, name, 2)
    for number in range(2000):
        hostile.function(objects, f"f{number}", names)

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "bytes of traces that several functions have: more than" in found


def test_many_names_of_a_function_with_many_traces_are_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    names = [f"t{number}" for number in range(500)]
    for name in names:
        hostile.trace(objects, name, 2)
    function = hostile.function(objects, "f", names)
    for number in range(900):
        objects.nodes[0].children.add(local_name=f"a{number}", node_id=function)

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "traces of its functions: more than" in found


def test_a_large_trace_that_many_functions_share_is_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    inputs = hostile.trace(objects, "t").canonicalized_input_signature.tuple_value.values[0].tuple_value.values
    for _ in range(20_000):
        inputs.add().none_value.SetInParent()
    for number in range(200):
        hostile.function(objects, f"f{number}", ["t"])

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "bytes of traces that several functions have: more than" in found


def test_a_long_chain_of_objects_is_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    parent = 0
    for _ in range(60_000):
        parent = hostile.child(objects, parent, "x")
        objects.nodes[parent].variable.dtype = hostile.FLOAT

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "characters in the names of its objects: more than" in found


def test_many_names_of_an_object_with_many_children_are_bounded(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    shared = hostile.child(objects, 0, "shared")
    hostile.trace(objects, "t")
    hostile.function(objects, "f", ["t"], parent=shared)
    for number in range(30_000):
        hostile.child(objects, shared, f"v{number}")
    for number in range(1500):
        objects.nodes[0].children.add(local_name=f"a{number}", node_id=shared)

    assert "function shared.f" in done(limited("inspect", hostile.write(message, tmp_path)))


def test_a_nest_whose_places_have_long_names_is_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    hostile.function(objects, "f", ["t"])
    keywords = hostile.trace(objects, "t").canonicalized_input_signature.tuple_value.values[1].dict_value
    values = keywords.fields["x" * 100_000].list_value.values
    for _ in range(50_000):
        values.add().none_value.SetInParent()

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "characters in the places of arguments and results: more than" in found


def test_traces_of_other_shapes_are_compared_in_bounds(limited, tmp_path):
    for name, first in (("a", 1), ("b", 10_000)):
        message, _, objects = hostile.saved_model()
        names = [f"t{number}" for number in range(1200)]
        for number, each in enumerate(names):
            hostile.trace(objects, each, first + number)
        hostile.function(objects, "f", names)
        hostile.write(message, tmp_path / name)

    found = refused(limited("diff", tmp_path / "a", tmp_path / "b"))
    assert "pairs of tensors in their traces: more than" in found
    assert done(limited("diff", tmp_path / "a", tmp_path / "a")).startswith("same")


def test_many_traces_that_are_new_are_told(limited, tmp_path):
    for name, kind in (("a", "x"), ("b", "y")):
        message, _, objects = hostile.saved_model()
        names = [f"t{number}" for number in range(1000)]
        for number, each in enumerate(names):
            arguments = hostile.trace(objects, each, 2).canonicalized_input_signature.tuple_value.values
            arguments[0].tuple_value.values.add().string_value = f"{kind}{number}"
        hostile.function(objects, "f", names)
        hostile.write(message, tmp_path / name)

    found = done(limited("diff", tmp_path / "a", tmp_path / "b"))
    assert found.count("can no longer be called as") == found.count(" now\n") == 1000


def test_many_renamed_inputs_are_compared(limited, tmp_path):
    for name in ("a", "b"):
        message, graph, _ = hostile.saved_model()
        inputs = [f"{name}{number}" for number in range(3000)]
        hostile.signature(graph, "alike", inputs)
        hostile.signature(graph, "unlike", inputs, **{each: int(each[1:]) for each in inputs})
        for number in range(3000):
            hostile.signature(graph, f"{name}{number}", [f"x{number}"])
        hostile.write(message, tmp_path / name)

    found = done(limited("diff", tmp_path / "a", tmp_path / "b"))
    assert found.count("was renamed to") == 6000
    assert found.count("is gone") == 3000


def test_many_graphs_are_compared(limited, tmp_path):
    for name in ("a", "b"):
        message = saved_model_pb2.SavedModel()
        for number in range(4000):
            message.meta_graphs.add().meta_info_def.tags.append(f"{name}{number}")
        hostile.write(message, tmp_path / name)

    assert done(limited("diff", tmp_path / "a", tmp_path / "b")).count("the graph is gone") == 4000


def test_a_graph_without_tags_is_described(limited, tmp_path):
    message, graph, _ = hostile.saved_model()
    graph.meta_info_def.ClearField("tags")

    assert "tags -" in done(limited("inspect", hostile.write(message, tmp_path)))


def test_nodes_of_a_function_with_a_long_name_are_compared(limited, tmp_path):
    for name in ("a", "b"):
        message, graph, _ = hostile.saved_model()
        function = graph.graph_def.library.function.add()
        function.signature.name = "f" * 200_000
        for number in range(20_000):
            function.node_def.add(name=f"{name}{number}", op="NoOp")
        hostile.write(message, tmp_path / name)

    found = done(limited("diff", tmp_path / "a", tmp_path / "b"))
    assert "19997 more, each is gone" in found
    assert len(found) < 10_000


def test_functions_that_call_themselves_or_each_other_in_a_long_chain_are_compared(limited, tmp_path):
    for name in ("a", "b"):
        message, graph, _ = hostile.saved_model()
        for number in range(10_000):
            function = graph.graph_def.library.function.add()
            function.signature.name = f"f_{number}"
            called = f"f_{number if name == 'a' else number + 1}"
            function.node_def.add(name="call", op="PartitionedCall").attr["f"].func.name = called
        hostile.write(message, tmp_path / name)

    assert "nodes" in done(limited("diff", tmp_path / "a", tmp_path / "b"))
    done(limited("inspect", tmp_path / "a"))


def test_a_number_of_thousands_of_digits_in_the_name_of_a_function_is_a_name(limited, tmp_path):
    message, graph, _ = hostile.saved_model()
    graph.graph_def.library.function.add().signature.name = "f_" + "1" * 5000
    hostile.write(message, tmp_path)

    assert done(limited("diff", tmp_path, tmp_path)).startswith("same")


def nested_text(depth):
    inner = "none_value {}"
    for _ in range(depth):
        inner = f"list_value {{ values {{ {inner} }} }}"
    traces = f'concrete_functions {{ key: "t" value {{ output_signature {{ {inner} }} }} }}'
    function = 'nodes { function { concrete_functions: "t" } }'
    root = 'nodes { children { node_id: 1 local_name: "f" } }'
    return f'meta_graphs {{ meta_info_def {{ tags: "serve" }} object_graph_def {{ {root} {function} {traces} }} }}'


@pytest.mark.parametrize("depth", [60, 150, 5000])
def test_deep_nests_in_a_model_of_text_are_refused(limited, tmp_path, depth):
    (tmp_path / "saved_model.pbtxt").write_text(nested_text(depth))

    assert "cannot be read as a SavedModel" in refused(limited("inspect", tmp_path))
    assert "cannot be read as a SavedModel" in refused(limited("diff", tmp_path, tmp_path))


def test_a_nest_as_deep_as_a_message_may_be_is_read(limited, tmp_path):
    (tmp_path / "saved_model.pbtxt").write_text(nested_text(20))

    assert limited("diff", tmp_path, tmp_path).exit_code in (0, 4)
    assert limited("inspect", tmp_path).exit_code in (0, 4)


def test_long_names_are_cut_where_they_are_printed(limited, tmp_path):
    long = "n" * 5000
    for name in ("a", "b"):
        message, graph, objects = hostile.saved_model()
        hostile.signature(graph, f"s{name}{long}", [f"i{name}{long}"])
        hostile.trace(objects, "t")
        hostile.function(objects, f"f{name}{long}", ["t"])
        objects.nodes[hostile.child(objects, 0, f"v{name}{long}")].variable.dtype = hostile.FLOAT
        graph.graph_def.node.add(name=f"n{long}", op=f"Op{name}{long}", device=f"/d{name}{long}")
        hostile.write(message, tmp_path / name)

    found = done(limited("diff", tmp_path / "a", tmp_path / "b")) + done(limited("inspect", tmp_path / "a"))
    assert max(map(len, found.splitlines())) < 2500
    assert "...(5002 characters)" in found


# Checkpoints.


def test_keys_that_repeat_a_long_one_are_refused(limited, tmp_path):
    first = b"k" * 60_000
    entries = [(0, b"", hostile.header()), (0, first, b"")]
    entries += [(len(first), number.to_bytes(3, "big"), b"") for number in range(50_000)]
    (tmp_path / "variables.index").write_bytes(hostile.table([entries]))

    found = refused(limited("checkpoint", tmp_path / "variables"))
    assert "its keys repeat each other more often than TensorFlow lets them" in found


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

    assert "cannot be read as the index" in refused(limited("checkpoint", tmp_path / "variables"))


def entry(offset, size):
    return tensor_bundle_pb2.BundleEntryProto(dtype=hostile.FLOAT, offset=offset, size=size).SerializeToString()


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


# Manifests.


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
    path.write_text(text.replace('"config": {}', '"config": ' + '{"x":' * depth + "1" + "}" * depth))

    assert "manifest.json: was changed" in refused(limited("manifest", release))
    assert "manifest.json: was changed" in refused(limited("inspect", release))


@pytest.mark.parametrize(("changed", "told"), [
    ({"config": nest(150)}, "it is nested more than 100 deep"),
    ({"environment": []}, "is not as this version writes it; it was made by smdecl another version"),
    ({"files": {"\ud800": {"size": 1, "sha256": "0" * 64}}}, "lists what no file is called"),
    ({f"k{number}": 1 for number in range(100_000)}, "is not as this version writes it"),
    ({"files": {f"k{number}": number for number in range(100_000)}}, "is not as this version writes it"),
], ids=["nests", "another environment", "half a character", "unknown keys", "no entries"])  # fmt: skip
def test_a_manifest_whose_checksum_was_made_to_fit_is_refused(limited, tmp_path, changed, told):
    release = hostile.release(tmp_path / "1", **changed)

    assert told in refused(limited("manifest", release))


def test_a_config_of_long_keys_is_not_compared(limited, tmp_path):
    config = {"k" * 100_000: {f"{number}": 1 for number in range(5_000)}}
    a = hostile.release(tmp_path / "a")
    b = hostile.release(tmp_path / "b", config=config)

    assert "characters in the keys of its config: more than" in refused(limited("diff", a, b))


# Signatures.


def test_a_signature_reads_no_file_that_is_not_in_the_release(tmp_path):
    from smdecl import signing

    (tmp_path / "secret").write_text("x")
    (tmp_path / "1").mkdir()

    signed = {"../secret": "0" * 64, str(tmp_path / "secret"): "0" * 64, "a\0b": "0" * 64}
    found = [str(problem) for problem in signing.changed(tmp_path / "1", signed)]

    assert len(found) == 3
    assert all("is missing, and was signed" in problem for problem in found)


# Examples.


def npy(array, shape=None):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    data = buffer.getvalue()
    if shape is not None:
        head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape},), }}".ljust(117).encode() + b"\n"
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
    hostile.examples(tmp_path, [example(x=tensor("a", shape=[1 << 26]))], zipfile.ZIP_DEFLATED, a=data)

    assert "is compressed" in refused(limited("examples", tmp_path))


def test_an_array_that_claims_to_be_large_is_refused(limited, tmp_path):
    hostile.examples(tmp_path, [example(x=tensor("a"))], a=npy(np.zeros(4, np.uint8), shape=1 << 45))

    assert "cannot be read" in refused(limited("examples", tmp_path))


def test_texts_that_share_their_bytes_are_refused(limited, tmp_path):
    lengths = np.array([1_000_000, -1_000_000] * 20_000, np.int64)
    index = [example(x=tensor("a", "string", [40_000]))]
    hostile.examples(tmp_path, index, a=npy(np.zeros(1_000_000, np.uint8)), **{"a.lengths": npy(lengths)})

    assert "the lengths of texts are not a list of sizes" in refused(limited("examples", tmp_path))


def test_an_index_of_examples_that_is_nested_deep_is_refused(limited, tmp_path):
    path = hostile.examples(tmp_path, []) / RULES / "examples.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("examples.json", "[" * 200_000)

    assert "cannot be read" in refused(limited("examples", tmp_path))


# Directories.


def test_a_directory_that_is_nested_deep_is_told(limited, tmp_path):
    net = hostile.write(hostile.saved_model()[0], tmp_path / "net")
    place = net
    for _ in range(1200):
        place = place / "d"
        place.mkdir()

    try:
        inspected, compared = limited("inspect", net), limited("diff", net, net)
    finally:
        subprocess.run(["rm", "-r", net / "d"], check=True)  # Python's own removal recurses
    assert "saved by TensorFlow" in done(inspected)
    assert done(compared).startswith("same")


# Names.


EVIL = "a\nsame: \x1b[2J\x9b\u202eb"


def test_what_names_hold_ends_no_line_and_speaks_to_no_terminal(limited, tmp_path):
    for name in ("a", "b"):
        message, graph, objects = hostile.saved_model()
        hostile.signature(graph, f"{EVIL}{name}", [EVIL])
        hostile.trace(objects, "t")
        hostile.function(objects, f"{EVIL}{name}", ["t"])
        net = hostile.write(message, tmp_path / name)
        (net / f"{EVIL}{name}").write_text("")

    found = done(limited("diff", tmp_path / "a", tmp_path / "b")) + done(limited("inspect", tmp_path / "a"))
    assert all(line.isprintable() for line in found.splitlines())
    assert r"a\nsame: \x1b[2J\x9b\u202eba" in found


def test_json_is_escaped_and_says_the_same():
    from smdecl.printing import as_json

    text = as_json({EVIL: "é\x7f\U000e0001"})

    assert all(line.isprintable() for line in text.splitlines())
    assert json.loads(text) == {EVIL: "é\x7f\U000e0001"}
    assert "é" in text
