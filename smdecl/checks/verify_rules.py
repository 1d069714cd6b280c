"""Checks `verify` against the signatures: examples, ranges and tolerances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from smdecl.checks.examples import declared, example_rules
from smdecl.checks.types import Problems, Specs
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem, nearest
from smdecl.names import DEFAULT_KEY


def check(values: Values) -> Problems:
    """Yields what is wrong with the examples, ranges and tolerances of a config."""
    verify = values["verify"]
    yield from _check_signature_keys(values)
    yield from _check_tolerances(verify)
    yield from _check_toleranced(verify, declared.outputs(values))
    inputs = declared.inputs(values)
    for key, ranges in verify["ranges"].items():
        for name, bounds in ranges.items():
            yield from _check_range(key, name, bounds, inputs.get(key))
    yield from example_rules.check(values)


def _check_signature_keys(values: Values) -> Problems:
    # Without declared signatures, the object's may still turn out to have the default key.
    keys = list(declared.signatures(values)) or [DEFAULT_KEY]
    for part in ("examples", "ranges", "tolerances"):
        for key in values["verify"][part]:
            if key not in keys:
                expected = (
                    f"expected one of {', '.join(keys)}{nearest(key, keys)}"
                )
                message = f"unknown signature {key!r}; {expected}"
                yield Problem(("verify", part, key), message)


def _check_tolerances(verify: Values) -> Problems:
    for path, value in _tolerances(verify):
        if value is None:
            continue
        if not _fits_float(value):
            yield Problem(
                path, f"expected a number from 0, got {_shown(value)}"
            )
        elif math.isnan(value):
            yield Problem(path, "expected a number from 0, got NaN")


def _check_toleranced(
    verify: Values, outputs: Mapping[str, Specs]
) -> Problems:
    """Yields the outputs with a tolerance that their signature does not declare."""
    for key, tolerances in verify["tolerances"].items():
        specs = outputs.get(key)
        if specs is None:
            continue
        for name in tolerances:
            if name not in specs:
                message = example_rules.unknown("output", name, specs)
                yield Problem(("verify", "tolerances", key, name), message)


def _tolerances(verify: Values) -> Iterator[tuple[KeyPath, float | None]]:
    for kind in ("rtol", "atol"):
        yield ("verify", kind), verify[kind]
    for key, outputs in verify["tolerances"].items():
        for output, tolerances in outputs.items():
            for kind, value in tolerances.items():
                yield ("verify", "tolerances", key, output, kind), value


def _check_range(
    key: str, name: str, bounds: list[float], specs: Specs | None
) -> Problems:
    path = ("verify", "ranges", key, name)
    lowest, highest = bounds
    got = f"got [{_shown(lowest)}, {_shown(highest)}]"
    if not (_is_finite(lowest) and _is_finite(highest)):
        yield Problem(path, f"expected finite numbers, {got}")
    if specs is not None and name not in specs:
        message = example_rules.unknown("input", name, specs)
        yield Problem(path, message)
    if lowest > highest:
        yield Problem(path, f"expected the lowest value first, {got}")


def _fits_float(value: float) -> bool:
    """Returns whether a float can hold a number; integers in a config can be of any size."""
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_finite(value: float) -> bool:
    return _fits_float(value) and math.isfinite(value)


def _shown(value: float) -> str:
    return (
        str(value)
        if _fits_float(value)
        else "an integer that no float can hold"
    )
