"""Builds SavedModels, checkpoints and releases byte by byte, as an attacker would."""

import contextlib
import hashlib
import json
import struct
import zipfile
from pathlib import Path

from smdecl.savedmodel.checkpoint_files.crc32c import crc32c, masked
from smdecl.savedmodel.protos import saved_model_pb2, tensor_bundle_pb2

FLOAT = 1
_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)


def saved_model():
    """Returns a SavedModel with a root object, its graph, and that one's objects."""
    message = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    graph = message.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    root = graph.object_graph_def.nodes.add()
    root.user_object.identifier = "_generic_user_object"
    return message, graph, graph.object_graph_def


def write(message, directory: Path, name="saved_model.pb") -> Path:
    """Writes a message, and the empty checkpoint that its objects call for."""
    (directory / "variables").mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(message.SerializeToString())
    (directory / "variables" / "variables.index").write_bytes(table([[(0, b"", header())]]))
    return directory


def child(objects, parent, name):
    """Adds an object below another; returns its number."""
    number = len(objects.nodes)
    objects.nodes.add()
    objects.nodes[parent].children.add(local_name=name, node_id=number)
    return number


def function(objects, name, traces, parent=0):
    """Adds a function with traces below an object."""
    number = child(objects, parent, name)
    objects.nodes[number].function.concrete_functions.extend(traces)
    return number


def trace(objects, name, *sizes):
    """Adds a trace that takes one tensor and returns one."""
    added = objects.concrete_functions[name]
    arguments = added.canonicalized_input_signature.tuple_value.values
    positional, keywords = arguments.add(), arguments.add()
    keywords.dict_value.SetInParent()
    for value in (positional.tuple_value.values.add(), added.output_signature):
        value.tensor_spec_value.dtype = FLOAT
        for size in sizes:
            value.tensor_spec_value.shape.dim.add(size=size)
    return added


def signature(graph, key="serving_default", inputs=("x",), **sizes):
    """Adds a signature; `sizes` are those of inputs by their names."""
    added = graph.signature_def[key]
    added.method_name = "tensorflow/serving/predict"
    for name in inputs:
        added.inputs[name].name, added.inputs[name].dtype = f"{name}:0", FLOAT
        added.inputs[name].tensor_shape.dim.add(size=sizes.get(name, 1))
    return added


def varint(value):
    data = b""
    while value >= 0x80:
        data, value = data + bytes([value & 0x7F | 0x80]), value >> 7
    return data + bytes([value])


def header(shards=1):
    return tensor_bundle_pb2.BundleHeaderProto(num_shards=shards).SerializeToString()


def block(entries):
    """Returns a block of entries: how much of the key before each shares, what it adds, and the value."""
    parts = [
        varint(shared) + varint(len(added)) + varint(len(value)) + added + value
        for shared, added, value in entries
    ]
    return b"".join(parts) + struct.pack("<II", 0, 1)


def trailed(content, compression=0):
    kind = bytes([compression])
    return content + kind + struct.pack("<I", masked(crc32c(content + kind)))


def table(blocks, compress=None):
    """Returns a sorted table of blocks; `compress` makes Snappy of each."""
    data, handles = b"", []
    for number, entries in enumerate(blocks):
        content = block(entries) if compress is None else compress(entries)
        handles.append((0, struct.pack(">I", number), varint(len(data)) + varint(len(content))))
        data += trailed(content, 0 if compress is None else 1)
    top = block(handles)
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(top))
    return data + trailed(top) + footer.ljust(40, b"\0") + _MAGIC


def sparse(path: Path, size: int) -> Path:
    """Makes a file that claims a size, and takes up no space."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def release(directory: Path, message=None, variables=None, **changed) -> Path:
    """Writes a release whose manifest fits: of a model that computes nothing.

    Args:
        directory: To write into.
        message: The SavedModel; one with a signature by default.
        variables: Name to bytes.
        changed: Values of the manifest that are to be others.
    """
    if message is None:
        message, graph, _ = saved_model()
        signature(graph)
    write(message, directory)
    write_variables(directory, variables or {})
    write_manifest(directory, {**_MANIFEST, "files": entries(directory), **changed})
    return directory


_MANIFEST = {
    "manifest_version": 1, "digest": "0" * 64, "name": "net", "config": {"seed": 0}, "signatures": {}, "inputs": {}, "source": None,
    "environment": {"smdecl": "1", "tensorflow": "2"},
}  # fmt: skip
_OWN = ("manifest.json", "provenance.json", "model.sig")


def write_variables(directory: Path, variables) -> None:
    """Writes a checkpoint of floats."""
    data, rows = b"", [(0, b"", header())]
    for name, content in sorted(variables.items()):
        made = tensor_bundle_pb2.BundleEntryProto(dtype=FLOAT, offset=len(data), size=len(content))
        made.shape.dim.add(size=len(content) // 4)
        made.crc32c = masked(crc32c(content))
        rows.append((0, name.encode(), made.SerializeToString()))
        data += content
    (directory / "variables" / "variables.index").write_bytes(table([rows]))
    (directory / "variables" / "variables.data-00000-of-00001").write_bytes(data)


def entries(directory: Path):
    """Returns what a manifest lists: the regular files of a release but those that are made of it."""
    found = {}
    for path in sorted(directory.rglob("*")):
        is_own = path.parent.name == "smdecl" and path.name in _OWN
        if (
            path.is_file()
            and not path.is_symlink()
            and not is_own
            and path.stat().st_size < 1 << 24
        ):
            content = path.read_bytes()
            entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            found[path.relative_to(directory).as_posix()] = entry
    return found


def fit_manifest(directory: Path) -> None:
    """Makes the manifest of a changed release anew where it still has one."""
    write_manifest(directory, {**_MANIFEST, "files": entries(directory)})


def write_manifest(directory: Path, manifest, digest=True) -> None:
    """Writes a manifest with the checksum that fits, and with the digest where one can be made."""
    path = directory / "assets.extra/smdecl/manifest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    manifest = {key: value for key, value in manifest.items() if key != "checksum"}
    if digest:
        with contextlib.suppress(AttributeError, KeyError, TypeError, UnicodeEncodeError):
            manifest["digest"] = _digest(manifest["files"])
    checksum = hashlib.sha256(_json(manifest).encode()).hexdigest()
    if path.is_file() or (not path.exists() and not path.is_symlink()):
        path.write_text(_json({**manifest, "checksum": checksum}))


def _digest(files) -> str:
    names = sorted(files, key=lambda name: f"./{name}".encode())
    lines = "".join(f"{files[name]['sha256']}  ./{name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def _json(manifest) -> str:
    return json.dumps(manifest, indent=2, sort_keys=True) + "\n"


def examples(directory: Path, index, compression=zipfile.ZIP_STORED, **arrays: bytes) -> Path:
    """Writes examples as they are given: their index, and arrays by the names of their files."""
    path = directory / "assets.extra/smdecl/examples.npz"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
        archive.writestr("examples.json", json.dumps(index))
    return directory
