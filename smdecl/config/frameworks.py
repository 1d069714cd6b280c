"""Decides what of TensorFlow and Keras a config may construct, and with which arguments.

Allowed are constructors that run no code, import no module and use no network. Some of them read
files, or make objects out of plain data. Their arguments are checked here, after interpolation and
before anything is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from smdecl.config.types import NamedFile, Refusal, Values
from smdecl.errors import KeyPath

FRAMEWORKS = ("tensorflow", "keras", "tf_keras")
LOAD_KERAS = "smdecl.models.load_keras"
_KERAS = (
    r"(Model|Sequential|Input|Variable|models\.(Model|Sequential)|activations\.\w+"
    r"|applications\.(\w+\.)?[A-Z]\w*|random\.SeedGenerator|(layers|initializers|regularizers"
    r"|constraints|losses|metrics|optimizers|optimizers\.schedules|dtype_policies|quantizers)\.[A-Z]\w*)"
)
_CONSTRUCTORS = re.compile(
    rf"(?P<keras>keras|tf_keras|tensorflow\.keras)\.{_KERAS}"
    r"|tensorflow\.(Module|Variable|TensorSpec|TensorShape|DType|saved_model\.Asset|train\.Checkpoint"
    r"|train\.experimental\.\w+|\w+_initializer|(initializers|lookup|lookup\.experimental)\.[A-Z]\w*"
    r"|distribute\.(MirroredStrategy|OneDeviceStrategy))"
)
# The names in these namespaces that do more than compute, and what they do.
_REFUSED = {
    "Lambda": "runs code that is stored as data",
    "TFSMLayer": "loads a SavedModel",
    "TorchModuleWrapper": "runs PyTorch, and unpickles the file it loads",
    "deserialize": "makes any object out of data",
    "get": "makes any object out of data",
    "serialize": "turns an object into data",
}


@dataclass(frozen=True)
class FileArgument:
    """An argument that names a file which the constructor reads.

    Attributes:
        keyword: Its name.
        position: Its position among positional arguments.
        expected: The valid values in words.
    """

    keyword: str
    position: int
    expected: str


_PATH = "the path of a file as plain text"
_VOCABULARY = "a list of plain values, or the path of a file as plain text"
READS = {
    "load_keras": FileArgument("path", 0, _PATH),
    "Asset": FileArgument("path", 0, _PATH),
    "TextFileInitializer": FileArgument("filename", 0, _PATH),
    "StringLookup": FileArgument("vocabulary", 4, _VOCABULARY),
    "IntegerLookup": FileArgument("vocabulary", 4, _VOCABULARY),
    "TextVectorization": FileArgument("vocabulary", 7, _VOCABULARY),
}
_ASSET = "tensorflow.saved_model.Asset"
# Keras turns a mapping with one of these keys into an object, and imports what it names.
_SERIALIZED = ("class_name", "module", "registered_name")
_REGISTERED = re.compile(r"[\w.]+>[\w.]+")
# The last word of an argument's name, and the namespace of its values.
_NAMESPACES = {
    "initializer": "initializers",
    "regularizer": "regularizers",
    "constraint": "constraints",
    "activation": "activations",
    "optimizer": "optimizers",
    "layer": "layers",
    "layers": "layers",
    "cell": "layers",
    "cells": "layers",
    "dtype": "dtype_policies",
    "seed": "random",
}


def is_framework(target: str) -> bool:
    """Returns whether a `_target_` names something of TensorFlow or Keras."""
    return target.partition(".")[0] in FRAMEWORKS


def refuse_name(target: str) -> str | None:
    """Returns why a config may not name something of a framework; None if it may."""
    package = target.partition(".")[0]
    name = target.rpartition(".")[2]
    if _CONSTRUCTORS.fullmatch(target) and name not in _REFUSED:
        return None
    reason = f": it {_REFUSED[name]}" if name in _REFUSED else ""
    return f"{target!r} is not a constructor of {package} that a config may name{reason}"


def files(target: str, node: Values) -> Iterator[NamedFile]:
    """Yields place and name of the files that a target reads; the release contains them.

    Args:
        target: The `_target_` of a node.
        node: The node.
    """
    reads = _reads(target)
    if reads is None:
        return
    for place, value in _given(reads, node):
        if isinstance(value, str):
            yield place, value


def refuse_arguments(value: object, path: KeyPath = ()) -> Iterator[Refusal]:
    """Yields key path and reason of each argument that a framework's constructor may not receive.

    Args:
        value: The config, or a part of it.
        path: The key path of that part.
    """
    if isinstance(value, dict):
        target = value.get("_target_")
        if "_target_" not in value and "_recursive_" in value:
            yield (
                (*path, "_recursive_"),
                "expected no such key without _target_",
            )
        if isinstance(target, str) and _is_checked(target):
            for place, reason in _refuse_node(target, value):
                yield (*path, *place), reason
        for key, item in value.items():
            yield from refuse_arguments(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from refuse_arguments(item, (*path, index))


def _is_checked(target: str) -> bool:
    return target == LOAD_KERAS or is_framework(target)


def _refuse_node(target: str, node: Values) -> Iterator[Refusal]:
    positional = node.get("_args_", [])
    if not isinstance(positional, list):
        yield ("_args_",), f"expected a list, got {positional!r}"
    recursive = node.get("_recursive_", True)
    if recursive is not True:
        # A nested target would stay a mapping, and the constructor would receive it as data.
        message = f"expected true inside {target!r}, got {recursive!r}"
        yield ("_recursive_",), message
    for place, value in _arguments(node):
        if isinstance(value, str) and _REGISTERED.fullmatch(value):
            expected = "expected a built-in name or a _target_"
            yield (
                place,
                f"{value!r} names an object registered in Keras; {expected}",
            )
        yield from _refuse_serialized(target, value, place)
    yield from _refuse_files(target, node)


def _arguments(node: Values) -> Iterator[tuple[KeyPath, object]]:
    """Yields place and value of each argument of a target."""
    for key, value in node.items():
        if key not in ("_target_", "_args_"):
            yield (key,), value
    positional = node.get("_args_")
    if isinstance(positional, list):
        for index, value in enumerate(positional):
            yield ("_args_", index), value


def _refuse_serialized(
    target: str, value: object, place: KeyPath
) -> Iterator[Refusal]:
    """Yields the mappings in an argument that Keras would deserialize, except in nested targets."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _refuse_serialized(target, item, (*place, index))
    elif isinstance(value, dict) and "_target_" not in value:
        found = [key for key in _SERIALIZED if key in value]
        if found:
            reason = (
                f"a mapping with the key {found[0]!r} makes {target!r} import and call"
                " what it names"
            )
            meant = _as_target(target, value, place)
            expected = f"{{_target_: {meant}, ARGUMENT: VALUE}}"
            yield place, f"{reason}; expected {expected}"
            return
        for key, item in value.items():
            yield from _refuse_serialized(target, item, (*place, key))


def _as_target(target: str, value: Values, place: KeyPath) -> str:
    """Returns the `_target_` that a serialized object probably stands for.

    Args:
        target: The constructor that it is an argument of.
        value: The serialized object.
        place: Its place among the arguments.
    """
    name = value.get("class_name")
    if name == "function":
        name = value.get("config")
    if not (isinstance(name, str) and name.isidentifier()):
        return "MODULE.CLASS"
    module = value.get("module")
    if isinstance(module, str) and not is_framework(module):
        return f"{module}.{name}"
    known = _CONSTRUCTORS.fullmatch(target)
    keras = (known["keras"] if known else None) or "keras"
    for meant in (f"{module}.{name}", f"{keras}.{_namespace(place)}.{name}"):
        if is_framework(meant) and refuse_name(meant) is None:
            return meant
    return "MODULE.CLASS"


def _namespace(place: KeyPath) -> str | None:
    """Returns the namespace of the values that an argument accepts, by its name."""
    names = [part for part in place if isinstance(part, str)]
    if not names:
        return None
    _, _, last_word = names[-1].rpartition("_")
    return _NAMESPACES.get(last_word)


def _reads(target: str) -> FileArgument | None:
    return (
        READS.get(target.rpartition(".")[2]) if _is_checked(target) else None
    )


def _given(
    reads: FileArgument, node: Values
) -> Iterator[tuple[KeyPath, object]]:
    if reads.keyword in node:
        yield (reads.keyword,), node[reads.keyword]
    positional = node.get("_args_")
    if isinstance(positional, list) and len(positional) > reads.position:
        yield ("_args_", reads.position), positional[reads.position]


def _refuse_files(target: str, node: Values) -> Iterator[Refusal]:
    """Yields the arguments that name files by anything but text, which could become any name."""
    reads = _reads(target)
    if reads is None:
        return
    if node.get("_partial_"):
        message = f"expected false for {target!r}, which reads files, got true"
        yield ("_partial_",), message
    for place, value in _given(reads, node):
        if not _is_literal(reads, value):
            yield place, f"expected {reads.expected}, got {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, dict) and "_target_" in value:
        return f"the target {value['_target_']!r}"
    return repr(value)


def _is_literal(reads: FileArgument, value: object) -> bool:
    """Returns whether a value is a file name, or other data that cannot become one."""
    if isinstance(value, str):
        return True
    if reads.expected == _VOCABULARY:
        return value is None or _is_flat_list(value)
    # A table may also read the file of an asset, which is checked as a target.
    is_asset = isinstance(value, dict) and value.get("_target_") == _ASSET
    return reads.keyword == "filename" and is_asset


def _is_flat_list(value: object) -> bool:
    if not isinstance(value, list):
        return False
    return not any(isinstance(item, (dict, list)) for item in value)
