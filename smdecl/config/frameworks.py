"""What of TensorFlow and Keras a config may construct, and with which arguments.

Allowed are constructors that run no code, import no module and reach no network. Some of them read
files, or make objects of plain data that they are given: their arguments are judged here, as the
config has them after interpolation and before anything is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
# What these namespaces hold beside constructors that only compute, and what each of it does.
_REFUSED = {
    "Lambda": "runs code that is kept as data",
    "TFSMLayer": "loads a SavedModel",
    "TorchModuleWrapper": "runs PyTorch, and unpickles what it is loaded from",
    "deserialize": "makes any object out of data",
    "get": "makes any object out of data",
    "serialize": "makes data of an object",
}


@dataclass(frozen=True)
class FileArgument:
    """The argument by which a constructor reads a file.

    Attributes:
        keyword: Its name.
        position: Its place among positional arguments.
        expected: What it takes.
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
# Keras makes an object of a mapping that has one of these keys, and imports what it names.
_SERIALIZED = ("class_name", "module", "registered_name")
_REGISTERED = re.compile(r"[\w.]+>[\w.]+")
# The end of an argument's name, and the namespace of what it takes.
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
    """Tells whether a `_target_` names something of TensorFlow or Keras."""
    return target.partition(".")[0] in FRAMEWORKS


def refuse_name(target: str) -> str | None:
    """Says why a config may not name something of a framework, or returns None where it may."""
    package, name = target.partition(".")[0], target.rpartition(".")[2]
    if _CONSTRUCTORS.fullmatch(target) and name not in _REFUSED:
        return None
    why = f": it {_REFUSED[name]}" if name in _REFUSED else ""
    return f"{target!r} is none of the constructors of {package} that a config may name{why}"


def files(target: str, node: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Yields place and name of the files that a target reads; their contents go into the release."""
    reads = _reads(target)
    if reads is None:
        return
    for place, value in _given(reads, node):
        if isinstance(value, str):
            yield place, value


def refuse_arguments(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yields key path and reason of arguments that may not reach a framework's constructor.

    Args:
        value: The config, or a part of it.
        path: The key of that part.
    """
    if isinstance(value, dict):
        target = value.get("_target_")
        if "_target_" not in value and "_recursive_" in value:
            yield (*path, "_recursive_"), "expected no such key without _target_"
        if isinstance(target, str) and (target == LOAD_KERAS or is_framework(target)):
            for place, reason in _refuse_node(target, value):
                yield (*path, *place), reason
        for key, item in value.items():
            yield from refuse_arguments(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from refuse_arguments(item, (*path, index))


def _refuse_node(target: str, node: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    positional = node.get("_args_", [])
    if not isinstance(positional, list):
        yield ("_args_",), f"got {positional!r}; expected a list"
    if node.get("_recursive_", True) is not True:
        # A nested target would stay a mapping, and reach the constructor as data.
        yield (
            ("_recursive_",),
            f"got {node['_recursive_']!r}; expected true for what is in {target!r}",
        )
    given: list[tuple[KeyPath, Any]]
    given = [
        ((key,), value)
        for key, value in node.items()
        if key not in ("_target_", "_args_")
    ]
    if isinstance(positional, list):
        given += [(("_args_", index), value) for index, value in enumerate(positional)]
    for place, value in given:
        if isinstance(value, str) and _REGISTERED.fullmatch(value):
            message = f"{value!r} names an object that is registered in Keras"
            yield (
                place,
                f"{message}; expected the name of a built-in one, or a _target_",
            )
        yield from _refuse_serialized(target, value, place)
    yield from _refuse_files(target, node)


def _refuse_serialized(
    target: str, value: Any, place: KeyPath
) -> Iterator[tuple[KeyPath, str]]:
    """Yields the mappings in an argument that Keras would deserialize; a target among them has its own turn."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _refuse_serialized(target, item, (*place, index))
    elif isinstance(value, dict) and "_target_" not in value:
        if found := [key for key in _SERIALIZED if key in value]:
            message = f"a mapping with the key {found[0]!r} makes {target!r} import and call what it names"
            yield (
                place,
                f"{message}; expected {{_target_: {_as_target(target, value, place)}, ARGUMENT: VALUE}}",
            )
            return
        for key, item in value.items():
            yield from _refuse_serialized(target, item, (*place, key))


def _as_target(target: str, value: Mapping[str, Any], place: KeyPath) -> str:
    """Returns the `_target_` that a serialized object must have meant."""
    known = _CONSTRUCTORS.fullmatch(target)
    keras = (known and known["keras"]) or "keras"
    argument = next((part for part in reversed(place) if isinstance(part, str)), "")
    namespace = _NAMESPACES.get(argument.rpartition("_")[2])
    name, module = value.get("class_name"), value.get("module")
    if name == "function":
        name = value.get("config")
    if not (isinstance(name, str) and name.isidentifier()):
        return "MODULE.CLASS"
    if isinstance(module, str) and not is_framework(module):
        return f"{module}.{name}"
    for meant in (f"{module}.{name}", f"{keras}.{namespace}.{name}"):
        if is_framework(meant) and refuse_name(meant) is None:
            return meant
    return "MODULE.CLASS"


def _reads(target: str) -> FileArgument | None:
    is_known = target == LOAD_KERAS or is_framework(target)
    return READS.get(target.rpartition(".")[2]) if is_known else None


def _given(
    reads: FileArgument, node: Mapping[str, Any]
) -> Iterator[tuple[KeyPath, Any]]:
    if reads.keyword in node:
        yield (reads.keyword,), node[reads.keyword]
    positional = node.get("_args_")
    if isinstance(positional, list) and len(positional) > reads.position:
        yield ("_args_", reads.position), positional[reads.position]


def _refuse_files(
    target: str, node: Mapping[str, Any]
) -> Iterator[tuple[KeyPath, str]]:
    """Yields the arguments that name files by something else than text, which could become any name."""
    reads = _reads(target)
    if reads is None:
        return
    if node.get("_partial_"):
        yield (
            ("_partial_",),
            f"got true; expected false for {target!r}, which reads files",
        )
    for place, value in _given(reads, node):
        if not _is_literal(reads, value):
            got = (
                f"the target {value['_target_']!r}"
                if _is_target(value)
                else repr(value)
            )
            yield place, f"expected {reads.expected}, got {got}"


def _is_literal(reads: FileArgument, value: Any) -> bool:
    if isinstance(value, str):
        return True
    if reads.expected == _VOCABULARY:
        return value is None or (
            isinstance(value, list)
            and not any(isinstance(item, (dict, list)) for item in value)
        )
    return (
        reads.keyword == "filename"
        and _is_target(value)
        and value["_target_"] == _ASSET
    )


def _is_target(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value
