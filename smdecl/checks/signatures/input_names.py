"""Finds the inputs of a signature whose names TensorFlow would not keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from smdecl.checks.signatures import kept_names
from smdecl.config import settings
from smdecl.config.settings import Nest, Spec
from smdecl.errors import KeyPath


@dataclass(frozen=True)
class RefusedName:
    """An input whose name TensorFlow would not keep.

    Attributes:
        place: The argument, and the path in its nest.
        reason: Why TensorFlow would not keep the name, and what to do about it.
        similar: A name to use instead; None if the input has none yet.
    """

    place: KeyPath
    reason: str
    similar: str | None


def refused(inputs: Mapping[str, Nest]) -> Iterator[RefusedName]:
    """Yields the inputs whose names TensorFlow would not keep."""
    named = list(settings.input_names(inputs))
    parts = _parts(named)
    seen = {part: part for part in parts}
    for place, name, _ in named:
        if name is None:
            missing = "an argument with several tensors needs a name for each"
            yield RefusedName(place, f"is missing: {missing}", None)
            continue
        sanitized = kept_names.sanitized(name)
        if sanitized in parts:
            taken = f"{name!r} is taken by {parts[sanitized]}"
            reason: str | None = f"{taken}; choose a different name"
        else:
            reason = kept_names.refuse(name, seen)
        if reason is None:
            seen[sanitized] = name
        else:
            yield RefusedName(place, reason, kept_names.similar(name, seen))


def _parts(
    named: Iterable[tuple[KeyPath, str | None, Spec]],
) -> dict[str, str]:
    """Describes the names that TensorFlow gives to the parts of ragged and sparse inputs.

    The keys are the sanitized names.
    """
    parts = {}
    for _, name, spec in named:
        _, *others = settings.parts(str(name), spec)
        for part in others:
            described = f"a part of the {spec.kind} input {name!r}"
            parts[kept_names.sanitized(part)] = described
    return parts
