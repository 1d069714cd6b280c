"""Checks the examples of signatures against the inputs and outputs that these declare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from smdecl.checks.examples import declared, inline_values
from smdecl.checks.types import Problems, Specs
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem, closest, nearest


def check(values: Values) -> Problems:
    """Yields unknown and missing names, and inline values that do not fit their specs."""
    inputs, outputs = declared.inputs(values), declared.outputs(values)
    for key, examples in values["verify"]["examples"].items():
        path = ("verify", "examples", key)
        if key in inputs:
            yield from _check_part(path, examples, "input", inputs[key])
        if key in outputs:
            yield from _check_part(path, examples, "output", outputs[key])


def _check_part(
    path: KeyPath, examples: list[Values], kind: str, specs: Specs
) -> Problems:
    """Yields what is wrong with the inputs or the outputs of the examples of a signature.

    If the values of several examples have a kind that the dtype excludes, the dtype may be what is
    wrong. That is one problem.
    """
    excluded: dict[str, list[Problem]] = defaultdict(list)
    for index, example in enumerate(examples):
        place = (*path, index, f"{kind}s")
        values = example.get(f"{kind}s", {})
        yield from check_names(place, values, kind, specs)
        for name, value in values.items():
            spec = specs.get(name)
            if spec is None:
                continue
            reason = inline_values.wrong_kind(value, spec)
            if reason is not None:
                excluded[name].append(Problem((*place, name), reason))
                continue
            reason = inline_values.wrong_sizes(value, spec)
            if reason is not None:
                yield Problem((*place, name), reason)
    for first, *others in excluded.values():
        yield _and_others(first, len(others))


def check_names(
    path: KeyPath,
    values: Mapping[str, object],
    kind: str,
    specs: Mapping[str, object],
) -> Problems:
    """Yields the unknown names of an example, and the inputs that it lacks.

    An input whose name is misspelt is one problem, not two.

    Args:
        path: The key path of the values.
        values: The values of the example by name.
        kind: What they are: input or output.
        specs: The inputs or outputs of the signature by name.
    """
    missing: list[str] = []
    if kind == "input":
        missing = [name for name in specs if name not in values]
    for name in values:
        if name not in specs:
            yield Problem((*path, name), unknown(kind, name, specs))
            meant = closest(name, missing)
            missing = [other for other in missing if other != meant]
    for name in missing:
        message = "is missing: an example needs every input"
        yield Problem((*path, name), message)


def _and_others(problem: Problem, count: int) -> Problem:
    if count == 0:
        return problem
    examples = (
        "another example has" if count == 1 else f"{count} more examples have"
    )
    message = f"{problem.message}; {examples} the same problem"
    return replace(problem, message=message)


def unknown(kind: str, name: object, known: Collection[str]) -> str:
    """Returns the message for a name that no input or output of a signature has."""
    expected = f"one of {', '.join(known)}" if known else "none"
    return (
        f"unknown {kind} {name!r}; expected {expected}{nearest(name, known)}"
    )
