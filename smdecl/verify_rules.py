"""What is wrong with the key `verify` beside the signatures: examples, ranges and tolerances that fit none of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from smdecl import config, trust
from smdecl.errors import KeyPath, Problem, nearest


def check(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yields what is wrong with the examples, ranges and tolerances of a config, next to its signatures."""
    signatures = values["signatures"] if isinstance(values.get("signatures"), dict) else {}
    # Where none is declared, the object's own may still turn out to be the default one.
    keys = list(signatures) or ["serving_default"]
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
                yield Problem(path, f"{name!r} is no input; takes {', '.join(known)}{nearest(name, known)}")
            if least > greatest:
                yield Problem(path, f"{got}; takes the least value first")
    for key, examples in values["verify"]["examples"].items():
        known = _known_inputs(signatures.get(key))
        for index, example in enumerate(examples):
            yield from _check_example_inputs(("verify", "examples", key, index, "inputs"), example["inputs"], known)


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
            yield Problem(("verify", *path), f"got {_told(value)}; takes a number from 0")
        elif math.isnan(value):
            yield Problem(("verify", *path), "got NaN, which nothing is close to; takes a number from 0")


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


def check_files(examples: Mapping[str, Any], project: trust.Project) -> Iterator[Problem]:
    """Checks the files of examples, which go into the release."""
    for key, cases in examples.items():
        for index, example in enumerate(cases):
            for part in ("inputs", "outputs"):
                for name, value in example.get(part, {}).items():
                    if isinstance(value, dict) and (reason := trust.refuse_file(value["file"], project)):
                        yield Problem(("verify", "examples", key, index, part, name, "file"), reason)


def _known_inputs(values: Any) -> list[str] | None:
    if not isinstance(values, dict) or not isinstance(values.get("inputs"), dict):
        return None
    try:
        inputs = config.parse_signature(values).inputs or {}
    except (KeyError, TypeError):  # the schema has said so already
        return None
    return [name for _, name, _ in config.input_names(inputs) if name is not None]


def _check_example_inputs(path: KeyPath, inputs: Mapping[str, Any], known: list[str] | None) -> Iterator[Problem]:
    if known is None:
        return
    for name in inputs:
        if name not in known:
            yield Problem((*path, name), f"{name!r} is no input; takes {', '.join(known)}{nearest(name, known)}")
    for name in known:
        if name not in inputs:
            yield Problem((*path, name), "is missing: an example gives every input")
