"""What is wrong with the key `verify` beside the signatures: examples, ranges and tolerances that fit none of them."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smdecl import files
from smdecl.checks import inline_values, npy_header, tfrecord
from smdecl.config import parsing, settings, trust
from smdecl.config.project import Project
from smdecl.errors import KeyPath, Problem, nearest
from smdecl.names import DEFAULT_KEY
from smdecl.tensor_texts import shape_text


def check(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yields what is wrong with the examples, ranges and tolerances of a config, next to its signatures."""
    signatures = (
        values["signatures"] if isinstance(values.get("signatures"), dict) else {}
    )
    # Where none is declared, the object's own may still turn out to be the default one.
    keys = list(signatures) or [DEFAULT_KEY]
    for part in ("examples", "ranges", "tolerances"):
        for key in values["verify"][part]:
            if key not in keys:
                message = f"{key!r} is no signature; takes {', '.join(keys)}{nearest(key, keys)}"
                yield Problem(("verify", part, key), message)
    yield from _check_tolerances(values["verify"])
    for key, ranges in values["verify"]["ranges"].items():
        known = _known_inputs(signatures.get(key))
        for name, (least, greatest) in ranges.items():
            path = ("verify", "ranges", key, name)
            got = f"got [{_told(least)}, {_told(greatest)}]"
            if not (_is_finite(least) and _is_finite(greatest)):
                yield Problem(path, f"{got}; takes finite numbers")
            if known is not None and name not in known:
                yield Problem(
                    path,
                    f"{name!r} is no input; takes {', '.join(known)}{nearest(name, known)}",
                )
            if least > greatest:
                yield Problem(path, f"{got}; takes the least value first")
    for key, examples in values["verify"]["examples"].items():
        known = _known_inputs(signatures.get(key))
        for index, example in enumerate(examples):
            yield from _check_example_inputs(
                ("verify", "examples", key, index, "inputs"), example["inputs"], known
            )


def _check_tolerances(verify: Mapping[str, Any]) -> Iterator[Problem]:
    given: dict[KeyPath, Any] = {(kind,): verify[kind] for kind in ("rtol", "atol")}
    given |= {
        ("tolerances", key, output, kind): value
        for key, outputs in verify["tolerances"].items()
        for output, values in outputs.items()
        for kind, value in values.items()
    }
    for path, value in given.items():
        if value is None:
            continue
        if not _is_held(value):
            yield Problem(
                ("verify", *path), f"got {_told(value)}; takes a number from 0"
            )
        elif math.isnan(value):
            yield Problem(
                ("verify", *path),
                "got NaN, which nothing is close to; takes a number from 0",
            )


def _is_held(value: float) -> bool:
    """Tells whether a float holds a number; the integers of a config have no end."""
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_finite(value: float) -> bool:
    return _is_held(value) and math.isfinite(value)


def _told(value: float) -> str:
    return str(value) if _is_held(value) else "an integer that no float holds"


def check_files(values: Mapping[str, Any], project: Project) -> Iterator[Problem]:
    """Checks the files of examples, which go into the release."""
    signatures = (
        values["signatures"] if isinstance(values.get("signatures"), dict) else {}
    )
    inputs = {
        key: _known_inputs(signature) or {} for key, signature in signatures.items()
    }
    for path, content in settings.example_contents(values["verify"]["examples"]):
        _, _, key, _, part, name, *indices = path
        spec = inputs.get(str(key), {}).get(str(name)) if part == "inputs" else None
        spec = None if spec is None else _of_item(spec, len(indices))
        if "b64" in content:
            yield from _check_base64(path, content["b64"], spec)
        else:
            yield from _check_file(path, content, spec, project)


def _of_item(spec: settings.Spec, depth: int) -> settings.Spec | None:
    """Returns the spec of an item so many lists deep in a value; None if it is unknown."""
    if depth and spec.kind == "ragged":
        return None
    shape = None if spec.shape is None else spec.shape[depth:]
    return dataclasses.replace(spec, shape=shape)


def _check_base64(
    path: KeyPath, text: str, spec: settings.Spec | None
) -> Iterator[Problem]:
    try:
        base64.b64decode(text, validate=True)
    except ValueError as error:
        yield Problem((*path, "b64"), f"is no base64: {error}")
    yield from _require_string(path, spec)


def _require_string(path: KeyPath, spec: settings.Spec | None) -> Iterator[Problem]:
    if spec is not None and spec.dtype != "string":
        yield Problem(path, f"holds bytes; takes {spec.dtype}")


def _check_file(
    path: KeyPath,
    value: Mapping[str, Any],
    spec: settings.Spec | None,
    project: Project,
) -> Iterator[Problem]:
    file, key = Path(value["file"]), value.get("key")
    if reason := trust.refuse_file(value["file"], project) or files.refuse_holes(
        value["file"]
    ):
        yield Problem((*path, "file"), reason)
    elif key is not None and file.suffix not in npy_header.SUFFIXES:
        yield Problem(
            (*path, "key"),
            f"got {key!r} for {value['file']!r}; only an .npz file takes one",
        )
    elif file.suffix in (*npy_header.SUFFIXES, tfrecord.SUFFIX):
        try:
            if file.suffix == tfrecord.SUFFIX:
                tfrecord.require(file)
            else:
                yield from _check_array(path, file, key, spec)
        except (
            Exception
        ) as error:  # what broken archives make zipfile raise is of many types
            told = f"{value['file']!r} is no {file.suffix} file, or is cut off: {error}"
            yield Problem((*path, "file"), told)
    if file.suffix in (".bin", tfrecord.SUFFIX):
        yield from _require_string(path, spec)


def lost_zeros(examples: settings.Examples) -> Iterator[Problem]:
    """Yields the arrays of bytes whose trailing zeros NumPy may have cut off."""
    for path, content in settings.example_contents(examples):
        file = Path(content.get("file", ""))
        if file.suffix not in npy_header.SUFFIXES:
            continue
        if npy_header.may_be_cut(file, _only_key(file, content.get("key"))):
            told = f"NumPy's fixed-width strings in {str(file)!r} may have lost trailing zero bytes"
            yield Problem(path, f"{told}; {_KEEP_ZEROS} keep them")


_KEEP_ZEROS = (
    "{file: of.tfrecord}, {b64: TEXT}, and lists of these and of files of single values"
)


def _only_key(file: Path, key: str | None) -> str | None:
    known = npy_header.keys(file)
    if known is None:
        return None
    return known[0] if key is None else key


def _check_array(
    path: KeyPath, file: Path, key: str | None, spec: settings.Spec | None
) -> Iterator[Problem]:
    """Compares what a file of NumPy's says of an array with the spec that it is for; dense ones alone say it all."""
    known = npy_header.keys(file)
    if known is None:
        key = None
    elif key is None and len(known) == 1:
        key = known[0]
    elif key not in known:
        got = "is missing" if key is None else f"{key!r} is no array in {str(file)!r}"
        yield Problem(
            (*path, "key"),
            f"{got}; takes {', '.join(known) or 'no key'}{nearest(key or '', known)}",
        )
        return
    found = npy_header.header(file, key)
    if found.kind == "O":
        yield Problem(
            (*path, "file"),
            f"{str(file)!r} holds Python objects, which are not unpickled",
        )
    elif spec is not None and spec.kind != "ragged":
        yield from _compare(path, found, spec)


def _compare(
    path: KeyPath, found: npy_header.Header, spec: settings.Spec
) -> Iterator[Problem]:
    holds = _KINDS.get(
        found.kind
    )  # of what is none of these, building says how it fits
    if 0 not in found.shape and holds not in (None, *inline_values.taken(spec.dtype)):
        yield Problem(path, f"holds {holds}; takes {spec.dtype}")
    if spec.shape is not None and not inline_values.fits(spec.shape, found.shape):
        yield Problem(
            path,
            f"got a value of shape {list(found.shape)}; takes {shape_text(spec.shape)}",
        )


_KINDS = {
    "b": "booleans",
    "i": "integers",
    "u": "integers",
    "f": "floats",
    "c": "complex",
    "S": "text",
    "U": "text",
}


def _known_inputs(values: Any) -> dict[str, settings.Spec] | None:
    if not isinstance(values, dict) or not isinstance(values.get("inputs"), dict):
        return None
    try:
        inputs = parsing.parse_signature(values).inputs or {}
        return {
            name: spec
            for _, name, spec in settings.input_names(inputs)
            if name is not None
        }
    except (AttributeError, KeyError, TypeError):  # the schema has said so already
        return None


def _check_example_inputs(
    path: KeyPath, inputs: Mapping[str, Any], known: Mapping[str, settings.Spec] | None
) -> Iterator[Problem]:
    if known is None:
        return
    for name in inputs:
        if name in known:
            yield from inline_values.problems((*path, name), inputs[name], known[name])
        else:
            yield Problem(
                (*path, name),
                f"{name!r} is no input; takes {', '.join(known)}{nearest(name, known)}",
            )
    for name in known:
        if name not in inputs:
            yield Problem((*path, name), "is missing: an example gives every input")
