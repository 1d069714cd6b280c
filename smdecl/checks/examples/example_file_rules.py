"""Checks the files and the base64 in `verify.examples`, which become part of the release."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from smdecl import files
from smdecl.checks.examples import (
    declared,
    inline_values,
    npy_header,
    tfrecord,
)
from smdecl.checks.types import Problems, Specs
from smdecl.config import settings, trust
from smdecl.config.project import Project
from smdecl.config.settings import Spec
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem, nearest

_KINDS = {
    "b": "booleans",
    "i": "integers",
    "u": "integers",
    "f": "floats",
    "c": "complex",
    "S": "text",
    "U": "text",
}
_JSON = ".json"
_LARGEST_JSON = 1 << 20  # bytes; the build parses larger files
_READ = (*npy_header.SUFFIXES, tfrecord.SUFFIX, _JSON)
_KEEP_ZEROS = "{file: of.tfrecord}, {b64: TEXT}, and lists of these and of files of single values"


def check(values: Values, project: Project) -> Problems:
    """Yields files and base64 texts that cannot be read or do not fit their declared spec."""
    specs = {
        "inputs": declared.inputs(values),
        "outputs": declared.outputs(values),
    }
    for path, content in settings.example_contents(
        values["verify"]["examples"]
    ):
        spec = _spec_of(path, specs)
        if "b64" in content:
            yield from _check_base64(path, content["b64"], spec)
        else:
            yield from _check_file(path, content, spec, project)


def _spec_of(
    path: KeyPath, specs: Mapping[str, Mapping[str, Specs]]
) -> Spec | None:
    """Returns the spec of an item at a key path in the examples; None if it is unknown.

    Args:
        path: The key path.
        specs: The declared specs of `inputs` and of `outputs`, by signature key and name.
    """
    _, _, key, _, part, name, *indices = path
    spec = specs[str(part)].get(str(key), {}).get(str(name))
    if spec is None or not inline_values.is_dtype(spec.dtype):
        return None  # the schema reports the dtype
    if not indices:
        return spec
    if spec.kind == "ragged":
        return None
    depth = len(indices)
    shape = None if spec.shape is None else spec.shape[depth:]
    return dataclasses.replace(spec, shape=shape)


def _check_base64(path: KeyPath, text: str, spec: Spec | None) -> Problems:
    try:
        base64.b64decode(text, validate=True)
    except ValueError as error:
        yield Problem((*path, "b64"), f"is not base64: {error}")
    yield from _check_bytes(path, spec)


def _check_bytes(path: KeyPath, spec: Spec | None) -> Problems:
    if spec is not None and spec.dtype != "string":
        yield Problem(path, f"expected {spec.dtype}, got bytes")


def _check_file(
    path: KeyPath, content: Values, spec: Spec | None, project: Project
) -> Problems:
    name, key = content["file"], content.get("key")
    suffix = Path(name).suffix
    reason = trust.refuse_file(name, project) or files.refuse_holes(name)
    if reason is not None:
        yield Problem((*path, "file"), reason)
    elif key is not None and suffix not in npy_header.SUFFIXES:
        message = (
            f"unexpected key {key!r} for {name!r}; only .npz files have keys"
        )
        yield Problem((*path, "key"), message)
    elif suffix in _READ:
        try:
            yield from _check_content(path, Path(name), key, spec)
        except Exception as error:
            # zipfile raises many types for broken archives.
            message = (
                f"{name!r} is not a {suffix} file, or is truncated: {error}"
            )
            yield Problem((*path, "file"), message)
    if suffix in (".bin", tfrecord.SUFFIX):
        yield from _check_bytes(path, spec)


def _check_content(
    path: KeyPath, file: Path, key: str | None, spec: Spec | None
) -> Problems:
    if file.suffix == tfrecord.SUFFIX:
        tfrecord.require(file)
    elif file.suffix == _JSON:
        yield from _check_json(path, file, spec)
    else:
        yield from _check_array(path, file, key, spec)


def _check_json(path: KeyPath, file: Path, spec: Spec | None) -> Problems:
    if file.stat().st_size > _LARGEST_JSON:
        return
    text = files.read_regular(file, _LARGEST_JSON).decode()
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"{str(file)!r} is not valid JSON: {error}"
        yield Problem((*path, "file"), message)
        return
    if spec is None:
        return
    reason = inline_values.wrong_kind(value, spec)
    reason = reason or inline_values.wrong_sizes(value, spec)
    if reason is not None:
        yield Problem(path, f"{str(file)!r}: {reason}")


def sizes(content: Values, project: Project) -> tuple[int, ...] | None:
    """Returns the shape of the array in a file of the project; None if it is unknown."""
    file = Path(content.get("file", ""))
    if file.suffix not in npy_header.SUFFIXES:
        return None
    if trust.refuse_file(str(file), project) is not None:
        return None
    try:
        key = _only_key(file, content.get("key"))
        return npy_header.header(file, key).shape
    except Exception:
        # `check` reports it. zipfile raises many types for broken archives.
        return None


def _check_array(
    path: KeyPath, file: Path, key: str | None, spec: Spec | None
) -> Problems:
    """Compares the header of an array with its spec; that of ragged values says too little."""
    known = npy_header.keys(file)
    if known is None:
        key = None
    elif key is None and len(known) == 1:
        key = known[0]
    elif key not in known:
        yield Problem((*path, "key"), _wrong_key(file, key, known))
        return
    header = npy_header.header(file, key)
    if header.kind == "O":
        message = f"{str(file)!r} has Python objects, which are not unpickled"
        yield Problem((*path, "file"), message)
    elif spec is not None and spec.kind != "ragged":
        yield from _compare(path, header, spec)


def _wrong_key(file: Path, key: str | None, known: list[str]) -> str:
    expected = (
        f"expected one of {', '.join(known)}" if known else "expected no key"
    )
    if key is None:
        return f"is missing; {expected}"
    return f"unknown array {key!r} in {str(file)!r}; {expected}{nearest(key, known)}"


def _compare(path: KeyPath, header: npy_header.Header, spec: Spec) -> Problems:
    found = _KINDS.get(header.kind)  # None: the build reports whether it fits
    is_empty = 0 in header.shape
    is_accepted = found in inline_values.accepted(spec.dtype)
    if found and not is_empty and not is_accepted:
        yield Problem(path, f"expected {spec.dtype}, got {found}")
    expected = spec.shape
    if expected is None or inline_values.fits(expected, header.shape):
        return
    yield Problem(path, inline_values.wrong_shape(header.shape, expected))


def lost_zeros(examples: settings.Examples) -> Problems:
    """Yields the arrays of bytes from which NumPy may have cut trailing zeros."""
    for path, content in settings.example_contents(examples):
        file = Path(content.get("file", ""))
        if file.suffix not in npy_header.SUFFIXES:
            continue
        if npy_header.may_be_cut(file, _only_key(file, content.get("key"))):
            strings = f"NumPy's fixed-width strings in {str(file)!r}"
            found = f"{strings} may have lost trailing zero bytes"
            yield Problem(path, f"{found}; {_KEEP_ZEROS} keep them")


def _only_key(file: Path, key: str | None) -> str | None:
    known = npy_header.keys(file)
    if known is None:
        return None
    return known[0] if key is None else key
