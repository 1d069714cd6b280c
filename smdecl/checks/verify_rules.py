"""Checks `verify` against the signatures: examples, ranges and tolerances."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from smdecl.checks import inline_values
from smdecl.checks.types import Problems, Specs
from smdecl.config import parsing, settings
from smdecl.config.settings import Spec
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem, nearest
from smdecl.names import DEFAULT_KEY


def check(values: Values) -> Problems:
    """Yields what is wrong with the examples, ranges and tolerances of a config."""
    verify = values["verify"]
    yield from _check_signature_keys(values)
    yield from _check_tolerances(verify)
    inputs = known_inputs(values)
    for key, ranges in verify["ranges"].items():
        for name, bounds in ranges.items():
            yield from _check_range(key, name, bounds, inputs.get(key))
    for key, examples in verify["examples"].items():
        specs = inputs.get(key)
        if specs is None:
            continue
        yield from _check_examples(
            ("verify", "examples", key), examples, specs
        )


def known_inputs(values: Values) -> dict[str, dict[str, Spec]]:
    """Returns the inputs of each signature that declares them: signature key to name to spec."""
    inputs = {}
    for key, signature in _signatures(values).items():
        specs = _declared_inputs(signature)
        if specs is not None:
            inputs[key] = specs
    return inputs


def _signatures(values: Values) -> Values:
    signatures = values.get("signatures")
    return signatures if isinstance(signatures, dict) else {}


def _declared_inputs(signature: object) -> dict[str, Spec] | None:
    if not isinstance(signature, dict):
        return None
    if not isinstance(signature.get("inputs"), dict):
        return None
    try:
        parsed = parsing.parse_signature(signature).inputs or {}
        named = list(settings.input_names(parsed))
    except (AttributeError, KeyError, TypeError):
        # The schema reports what is wrong.
        return None
    # It also reports names that are not strings.
    return {name: spec for _, name, spec in named if isinstance(name, str)}


def _check_signature_keys(values: Values) -> Problems:
    # Without declared signatures, the object's may still turn out to have the default key.
    keys = list(_signatures(values)) or [DEFAULT_KEY]
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
        yield Problem(path, _unknown_input(name, specs))
    if lowest > highest:
        yield Problem(path, f"expected the lowest value first, {got}")


def _check_examples(
    path: KeyPath, examples: list[Values], specs: Specs
) -> Problems:
    """Yields what is wrong with the inputs of examples.

    If the values of several examples have a kind that the dtype of their input excludes, the dtype
    may be what is wrong. That is one problem.
    """
    excluded: dict[str, list[Problem]] = defaultdict(list)
    for index, example in enumerate(examples):
        place = (*path, index, "inputs")
        for name, value in example["inputs"].items():
            spec = specs.get(name)
            if spec is None:
                message = _unknown_input(name, specs)
                yield Problem((*place, name), message)
                continue
            reason = inline_values.wrong_kind(value, spec)
            if reason is not None:
                excluded[name].append(Problem((*place, name), reason))
                continue
            reason = inline_values.wrong_sizes(value, spec)
            if reason is not None:
                yield Problem((*place, name), reason)
        for name in specs:
            if name not in example["inputs"]:
                message = "is missing: an example needs every input"
                yield Problem((*place, name), message)
    for first, *others in excluded.values():
        yield _and_others(first, len(others))


def _and_others(problem: Problem, count: int) -> Problem:
    if count == 0:
        return problem
    examples = (
        "another example has" if count == 1 else f"{count} more examples have"
    )
    message = f"{problem.message}; {examples} the same problem"
    return replace(problem, message=message)


def _unknown_input(name: object, specs: Specs) -> str:
    expected = f"expected one of {', '.join(specs)}{nearest(name, specs)}"
    return f"unknown input {name!r}; {expected}"


def _fits_float(value: float) -> bool:
    """Returns True if a float can hold a number; integers in a config can be of any size."""
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
