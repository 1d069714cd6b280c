"""Recognizes keys that are one level too high or too low in an option file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from smdecl import schema
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem

Cause: TypeAlias = tuple[Problem, list[KeyPath]]
_PARTS = ("method", "method_name", "inputs", "outputs")  # of a signature


def instead_of(broken: Sequence[Problem], values: Values) -> list[Problem]:
    """Returns the problems, with a single one for everything that a misplaced key causes.

    Args:
        broken: The violations of the schema.
        values: The config.
    """
    causes = [
        *_repeated_groups(broken, values),
        *_parts_without_a_key(broken, values),
    ]
    shown: list[Problem] = []
    explained: list[KeyPath] = []
    for problem, paths in causes:
        shown.append(problem)
        explained += paths
    for problem in broken:
        if not any(_is_below(problem.path, path) for path in explained):
            shown.append(problem)
    return shown


def _is_below(path: KeyPath, top: KeyPath) -> bool:
    return path[: len(top)] == top


def _is_broken(path: KeyPath, broken: Sequence[Problem]) -> bool:
    return any(_is_below(problem.path, path) for problem in broken)


def _repeated_groups(
    broken: Sequence[Problem], values: Values
) -> Iterator[Cause]:
    """Yields the groups that their own option file repeats, with the key paths that this breaks."""
    for group in schema.load("config")["x-groups"]:
        value = values.get(group)
        repeated = value.get(group) if isinstance(value, dict) else None
        if not isinstance(repeated, dict):
            continue
        # A valid config can have both: a model with an argument named model, for example.
        paths = ((group, group), (group, "_target_"))
        if any(_is_broken(path, broken) for path in paths):
            expected = (
                f"expected the keys of {group} without it: the folder sets it"
            )
            problem = Problem(
                (group, group), f"{group!r} is repeated; {expected}"
            )
            yield problem, [(group,)]


def _parts_without_a_key(
    broken: Sequence[Problem], values: Values
) -> Iterator[Cause]:
    """Yields the parts of a signature that are not below a signature key."""
    signatures = values.get("signatures")
    if not isinstance(signatures, dict):
        return
    parts: list[KeyPath] = [
        ("signatures", part) for part in _PARTS if part in signatures
    ]
    if any(_is_broken(path, broken) for path in parts):
        names = ", ".join(str(path[-1]) for path in parts)
        expected = "expected a signature key above, such as serving_default"
        yield (
            Problem(parts[0], f"got {names} outside a signature; {expected}"),
            parts,
        )
