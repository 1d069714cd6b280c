"""Makes the bytes of a SavedModel repeatable: replaces what depends on chance or the machine."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tensorflow.core.framework import graph_debug_info_pb2
from tensorflow.core.protobuf import config_pb2, fingerprint_pb2
from tensorflow.python.saved_model import fingerprinting_utils

from smdecl.names import (
    CALLS,
    CHECKPOINT_PREFIX,
    FINGERPRINT_FILE,
    MESSAGE_FILE,
)
from smdecl.resources import PACKAGE
from smdecl.savedmodel.protos import (
    MetaGraphDef,
    NodeDef,
    SavedModel,
    TensorProto,
)

ConfigProto: TypeAlias = config_pb2.ConfigProto
GPUOptions: TypeAlias = config_pb2.GPUOptions
GraphDebugInfo: TypeAlias = graph_debug_info_pb2.GraphDebugInfo
FingerprintDef: TypeAlias = fingerprint_pb2.FingerprintDef

_MODELS = PACKAGE / "models.py"
_TABLES = (
    "HashTable",
    "MutableHashTable",
    "MutableHashTableOfTensors",
    "MutableDenseHashTable",
)
_TABLE_OPS = {*_TABLES, *(f"{table}V2" for table in _TABLES)}


@dataclass(frozen=True)
class Facts:
    """What TensorFlow does not write of a signature, because it sees only a concrete function.

    Attributes:
        method_name: The API of TensorFlow Serving; TensorFlow writes that of predict.
        defaults: The value of each input that a request may omit, by name.
    """

    method_name: str
    defaults: Mapping[str, TensorProto]


def settle(directory: Path, signatures: Mapping[str, Facts]) -> None:
    """Rewrites what would differ between exports, and completes the signatures.

    Args:
        directory: The SavedModel.
        signatures: Signature key to its facts.
    """
    _settle_graph(directory, signatures)
    _settle_debug_info(directory)
    _settle_fingerprint(directory)


def _settle_graph(directory: Path, signatures: Mapping[str, Facts]) -> None:
    path = directory / MESSAGE_FILE
    message = SavedModel.FromString(path.read_bytes())
    has_new_facts = _set_facts(message, signatures)
    has_tables = _number_tables(message)
    had_gpus = _forget_gpus(message)
    if not has_new_facts and not has_tables and not had_gpus:
        return
    path.write_bytes(message.SerializeToString(deterministic=True))
    # Fingerprinting can be switched off.
    if (directory / FINGERPRINT_FILE).is_file():
        fingerprinting_utils.write_fingerprint(str(directory))


def _set_facts(message: SavedModel, signatures: Mapping[str, Facts]) -> bool:
    """Completes the signatures; returns True if any of them changed."""
    changed = False
    for meta_graph in message.meta_graphs:
        for key, facts in signatures.items():
            signature = meta_graph.signature_def[key]
            if signature.method_name != facts.method_name:
                signature.method_name = facts.method_name
                changed = True
            for name, default in facts.defaults.items():
                signature.defaults[name].CopyFrom(default)
                changed = True
    return changed


def _number_tables(message: SavedModel) -> bool:
    """Numbers the shared names of tables in graph order; returns True if there are any.

    TensorFlow derives these names from the path of the vocabulary, the address of an object, or at
    random. All that matters is which are equal: the graph, and the functions that create tables for
    `tf.saved_model.load`, give one table the same name.
    """
    names: dict[bytes, bytes] = {}
    for meta_graph in message.meta_graphs:
        for node in _nodes(meta_graph):
            # Reading a missing key of a protobuf map would create it.
            if node.op not in _TABLE_OPS or "shared_name" not in node.attr:
                continue
            name = node.attr["shared_name"]
            if name.s:
                name.s = names.setdefault(name.s, b"table_%d" % len(names))
    return bool(names)


def _forget_gpus(message: SavedModel) -> bool:
    """Removes the GPUs of this machine from calls of functions; returns True if there were any.

    TensorFlow writes how many it has and how it shares their memory. Nothing reads that later.
    """
    settled: dict[bytes, bytes] = {}
    for meta_graph in message.meta_graphs:
        for node in _nodes(meta_graph):
            if node.op not in CALLS or "config_proto" not in node.attr:
                continue
            config = node.attr["config_proto"]
            if config.s not in settled:
                settled[config.s] = _without_gpus(config.s)
            if config.s != settled[config.s]:
                config.s = settled[config.s]
    return any(before != after for before, after in settled.items())


def _without_gpus(config: bytes) -> bytes:
    """Returns a serialized ConfigProto as it is on a machine without GPUs."""
    proto = ConfigProto.FromString(config)
    if not proto.device_count.get("GPU"):
        return config
    proto.device_count["GPU"] = 0
    proto.gpu_options.CopyFrom(GPUOptions(experimental={}))
    settled: bytes = proto.SerializeToString(deterministic=True)
    return settled


def _nodes(meta_graph: MetaGraphDef) -> Iterator[NodeDef]:
    graph = meta_graph.graph_def
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _settle_debug_info(directory: Path) -> None:
    path = directory / "debug" / "saved_model_debug_info.pb"
    if not path.is_file():
        return
    info = GraphDebugInfo.FromString(path.read_bytes())
    path.write_bytes(_renumbered(info).SerializeToString(deterministic=True))


def _renumbered(before: GraphDebugInfo) -> GraphDebugInfo:
    """Numbers files, frames and traces by sorted node names instead of by hash table order.

    Files get the names they are imported by, because the paths of the project and of Python's
    packages depend on the machine. Frames of smdecl itself are left out: their lines change with
    its version, and do not lead to the user's code.
    """
    own = {index for index, file in enumerate(before.files) if _is_own(file)}
    names = [_imported_name(file) for file in before.files]
    others = {name for index, name in enumerate(names) if index not in own}
    after = GraphDebugInfo(files=sorted(others))
    places = {name: index for index, name in enumerate(after.files)}
    frames: dict[bytes, int] = {}
    traces: dict[tuple[int, ...], int] = {}
    for node, number in sorted(before.name_to_trace_id.items()):
        frame_ids = []
        for old_id in before.traces_by_id[number].frame_id:
            old_frame = before.frames_by_id[old_id]
            if old_frame.file_index in own:
                continue
            frame = GraphDebugInfo.FileLineCol()
            frame.CopyFrom(old_frame)
            frame.file_index = places[names[frame.file_index]]
            content = frame.SerializeToString(deterministic=True)
            frame_id = frames.setdefault(content, len(frames))
            after.frames_by_id[frame_id].CopyFrom(frame)
            frame_ids.append(frame_id)
        trace_id = traces.setdefault(tuple(frame_ids), len(traces))
        after.traces_by_id[trace_id].frame_id[:] = frame_ids
        after.name_to_trace_id[node] = trace_id
    return after


def _is_own(file: str) -> bool:
    """Returns whether a source file is part of smdecl; its example models count as the user's."""
    return Path(file).is_relative_to(PACKAGE) and file != str(_MODELS)


def _imported_name(file: str) -> str:
    """Returns the path of a source file below the deepest directory of `sys.path`."""
    places = [f"{place.rstrip('/')}/" for place in sys.path]
    above = [place for place in places if file.startswith(place)]
    if above:
        return file.removeprefix(max(above, key=len))
    # AutoGraph writes other files into temporary directories with random names.
    return file.rpartition("/")[2]


def _settle_fingerprint(directory: Path) -> None:
    """Replaces the random part of fingerprint.pb, its uuid, by a hash of what was saved."""
    path = directory / FINGERPRINT_FILE
    # Fingerprinting can be switched off, and TensorFlow writes a uuid only from 2.17 on.
    has_uuid = "uuid" in FingerprintDef.DESCRIPTOR.fields_by_name
    if not has_uuid or not path.is_file():
        return
    fingerprint = FingerprintDef.FromString(path.read_bytes())
    saved = hashlib.sha256((directory / MESSAGE_FILE).read_bytes())
    index = directory / f"{CHECKPOINT_PREFIX}.index"
    if index.is_file():
        saved.update(index.read_bytes())
    fingerprint.uuid = str(int.from_bytes(saved.digest()[:8], "big"))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
