"""Checks that the named dims of outputs are those of inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from smdecl.checks.types import Problems
from smdecl.config import settings
from smdecl.config.settings import Signature, Spec
from smdecl.errors import KeyPath, Problem, closest, did_you_mean

# The name that almost every signature has, so that it is rarely the misspelt one.
_USUAL = "batch"
_Places: TypeAlias = Mapping[str, list[KeyPath]]


def named(spec: Spec) -> Iterator[tuple[int, str]]:
    """Yields the position and the name of each named dim."""
    for index, dim in enumerate(spec.shape or ()):
        if isinstance(dim, str):
            yield index, dim


def check(path: KeyPath, signature: Signature) -> Problems:
    """Yields the named dims of outputs that have nothing to be compared with.

    Several outputs may share one that no input has, such as the number of what was found. If it is
    the dim of an input that looks misspelt, that is the problem.
    """
    if signature.inputs is None:
        return
    inputs = _places(
        ((*path, "inputs", *place), spec)
        for place, _, spec in settings.input_names(signature.inputs)
    )
    outputs = _places(
        ((*path, "outputs", name), spec)
        for name, spec in (signature.outputs or {}).items()
    )
    for dim, places in outputs.items():
        if dim in inputs:
            continue
        similar = closest(dim, inputs)
        if similar is not None and _is_misspelt(similar, dim, inputs, outputs):
            expected = f"the outputs have {dim!r}, which no input has"
            message = f"unknown dim {similar!r}; {expected}{did_you_mean(dim)}"
            yield Problem(inputs[similar][0], message)
        elif similar is not None or len(places) == 1:
            message = _unknown_dim(dim, inputs, similar)
            yield from (Problem(place, message) for place in places)


def _places(specs: Iterable[tuple[KeyPath, Spec]]) -> dict[str, list[KeyPath]]:
    """Returns the key paths of each named dim, given those of specs."""
    found: dict[str, list[KeyPath]] = {}
    for path, spec in specs:
        for index, dim in named(spec):
            found.setdefault(dim, []).append((*path, "shape", index))
    return found


def _is_misspelt(
    name: str, other: str, inputs: _Places, outputs: _Places
) -> bool:
    """Returns whether a dim of one input should have the name of a dim of outputs.

    Args:
        name: The dim of an input.
        other: The similar dim of outputs, which no input has.
        inputs: The key paths of the dims of inputs.
        outputs: The same for outputs.
    """
    if name in outputs or len(inputs[name]) > 1:
        return False
    return other == _USUAL or len(outputs[other]) > 1


def _unknown_dim(dim: str, known: _Places, similar: str | None) -> str:
    expected = "a size or null, because the inputs name no dims"
    if known:
        expected = f"one of {', '.join(sorted(known))}{did_you_mean(similar)}"
    return f"no input has a dim named {dim!r}; expected {expected}"
