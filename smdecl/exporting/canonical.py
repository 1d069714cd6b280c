"""Makes the bytes of a SavedModel the same each time: settles what TensorFlow draws or takes from the machine."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorflow.core.framework import graph_debug_info_pb2
from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

from smdecl.names import CHECKPOINT_PREFIX, FINGERPRINT_FILE, MESSAGE_FILE

SavedModel = Any  # saved_model_pb2.SavedModel, which has no type stubs
_TABLES = {
    f"{kind}{version}"
    for kind in (
        "HashTable",
        "MutableHashTable",
        "MutableHashTableOfTensors",
        "MutableDenseHashTable",
    )
    for version in ("", "V2")
}


def settle(directory: Path, method_names: Mapping[str, str]) -> None:
    """Rewrites what would differ the next time; the model computes the same, and loads in every loader.

    Args:
        directory: Of the SavedModel.
        method_names: Signature key to the API that it is for; TensorFlow writes that of predict for all.
    """
    _settle_graph(directory, method_names)
    _settle_debug_info(directory)
    _settle_fingerprint(directory)


def _settle_graph(directory: Path, method_names: Mapping[str, str]) -> None:
    path = directory / MESSAGE_FILE
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    named = _name_methods(message, method_names)
    if not _number_tables(message) and not named:
        return
    path.write_bytes(message.SerializeToString(deterministic=True))
    if (
        directory / FINGERPRINT_FILE
    ).is_file():  # where fingerprinting is off there is none
        fingerprinting_utils.write_fingerprint(str(directory))


def _name_methods(message: SavedModel, method_names: Mapping[str, str]) -> bool:
    """Sets the method names of signatures, and tells whether any was another one."""
    changed = False
    for meta_graph in message.meta_graphs:
        for key, name in method_names.items():
            if meta_graph.signature_def[key].method_name != name:
                meta_graph.signature_def[key].method_name = name
                changed = True
    return changed


def _number_tables(message: SavedModel) -> bool:
    """Numbers the names that tables share their contents by, in the order of the graph; tells whether there are any.

    TensorFlow makes them of the path of the vocabulary, of an object's address, or at random. What matters of them is
    which are equal: the graph, and the functions that make the tables for `tf.saved_model.load`, name one table alike.
    """
    names: dict[bytes, bytes] = {}
    for meta_graph in message.meta_graphs:
        graph = meta_graph.graph_def
        for nodes in (
            graph.node,
            *(function.node_def for function in graph.library.function),
        ):
            for node in nodes:
                # To ask a map of protobuf for a key that it lacks is to make it.
                if (
                    node.op in _TABLES
                    and "shared_name" in node.attr
                    and node.attr["shared_name"].s
                ):
                    name = node.attr["shared_name"]
                    name.s = names.setdefault(name.s, b"table_%d" % len(names))
    return bool(names)


def _settle_debug_info(directory: Path) -> None:
    """Numbers files, frames and traces by the sorted names of the nodes; TensorFlow does as a hash table has them.

    A file is named as it is imported: where the project and Python's packages lie is the machine's.
    """
    path = directory / "debug" / "saved_model_debug_info.pb"
    if not path.is_file():
        return
    before = graph_debug_info_pb2.GraphDebugInfo.FromString(path.read_bytes())
    names = [_imported_name(file) for file in before.files]
    after = graph_debug_info_pb2.GraphDebugInfo(files=sorted(set(names)))
    places = {name: index for index, name in enumerate(after.files)}
    frames: dict[bytes, int] = {}
    traces: dict[tuple[int, ...], int] = {}
    for name, number in sorted(before.name_to_trace_id.items()):
        ids = []
        for frame_id in before.traces_by_id[number].frame_id:
            frame = graph_debug_info_pb2.GraphDebugInfo.FileLineCol()
            frame.CopyFrom(before.frames_by_id[frame_id])
            frame.file_index = places[names[frame.file_index]]
            ids.append(
                frames.setdefault(
                    frame.SerializeToString(deterministic=True), len(frames)
                )
            )
            after.frames_by_id[ids[-1]].CopyFrom(frame)
        trace = traces.setdefault(tuple(ids), len(traces))
        after.traces_by_id[trace].frame_id[:] = ids
        after.name_to_trace_id[name] = trace
    path.write_bytes(after.SerializeToString(deterministic=True))


def _imported_name(file: str) -> str:
    """Returns the path of a source file below the deepest place that modules are imported from."""
    places = [
        place.rstrip("/") + "/"
        for place in sys.path
        if file.startswith(place.rstrip("/") + "/")
    ]
    # What lies below none was written while the model was built, into a temporary directory of a random name.
    return (
        file.removeprefix(max(places, key=len)) if places else file.rpartition("/")[2]
    )


def _settle_fingerprint(directory: Path) -> None:
    """Replaces the random part of fingerprint.pb, its uuid, by one made from what was saved."""
    path = directory / FINGERPRINT_FILE
    # Where fingerprinting is off there is none; before TensorFlow 2.17 it had no uuid.
    if (
        not path.is_file()
        or "uuid" not in fingerprint_pb2.FingerprintDef.DESCRIPTOR.fields_by_name
    ):
        return
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    saved = hashlib.sha256((directory / MESSAGE_FILE).read_bytes())
    index = directory / f"{CHECKPOINT_PREFIX}.index"
    saved.update(index.read_bytes() if index.is_file() else b"")
    fingerprint.uuid = str(int.from_bytes(saved.digest()[:8], "big"))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
