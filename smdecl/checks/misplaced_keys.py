"""Recognises keys that are right in another place: a level too high or too low in an option file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from smdecl import schema
from smdecl.errors import KeyPath, Problem

_PARTS = ("method", "method_name", "inputs", "outputs")  # of a signature


def instead_of(broken: Sequence[Problem], values: Mapping[str, Any]) -> list[Problem]:
    """Returns what breaks the schema, with one problem for all that a misplaced key causes.

    Args:
        broken: What the schema refuses.
        values: Of the config.
    """
    causes = [*_repeated_groups(broken, values), *_parts_without_a_key(broken, values)]
    explained = {path for _, paths in causes for path in paths}
    rest = [
        problem
        for problem in broken
        if not any(_is_below(problem.path, path) for path in explained)
    ]
    return [*(cause for cause, _ in causes), *rest]


def _is_below(path: KeyPath, top: KeyPath) -> bool:
    return path[: len(top)] == top


def _repeated_groups(
    broken: Sequence[Problem], values: Mapping[str, Any]
) -> Iterator[tuple[Problem, list[KeyPath]]]:
    for group in schema.load("config")["x-groups"]:
        value = values.get(group)
        if not isinstance(value, dict) or not isinstance(value.get(group), dict):
            continue
        # A model may well have an argument named model, and a signature the key signatures.
        signs: list[KeyPath] = [(group, group), (group, "_target_")]
        if any(_is_below(problem.path, path) for problem in broken for path in signs):
            message = f"{group!r} is there twice; expected the keys of {group} without it: the folder gives it"
            yield Problem((group, group), message), [(group,)]


def _parts_without_a_key(
    broken: Sequence[Problem], values: Mapping[str, Any]
) -> Iterator[tuple[Problem, list[KeyPath]]]:
    signatures = values.get("signatures")
    parts: list[KeyPath] = [
        ("signatures", part) for part in _PARTS if part in (signatures or {})
    ]
    if any(_is_below(problem.path, path) for problem in broken for path in parts):
        named = ", ".join(str(path[-1]) for path in parts)
        message = f"got {named} outside of a signature; expected below a signature's key, such as serving_default"
        yield Problem(parts[0], message), parts
