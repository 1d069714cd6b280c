"""Explains that a list cannot be merged into a mapping of the config, or the reverse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from smdecl import schema
from smdecl.errors import KeyPath, Origin, Problem
from smdecl.printing import abbreviated


def is_refused(message: str) -> bool:
    """Returns whether the message of an error is about such a merge."""
    return "Cannot merge" in message


def override_problem(
    override: Override, path: KeyPath, config: DictConfig | None
) -> Problem | None:
    """Returns the problem with an override; None if it is not found.

    Args:
        override: The override.
        path: Its key path.
        config: What could be composed without it; None if nothing could.
    """
    given = nested(override.value(), path)
    present: list[object] = []
    if config is not None:
        present = [OmegaConf.to_container(config, resolve=False)]
    found = next(problems(given, present), None)
    return found and found.at(Origin(override=override.input_line))


def problems(given: object, present: Iterable[object]) -> Iterator[Problem]:
    """Yields the problems with a value at the top level of a config, the most certain ones first.

    Args:
        given: The value.
        present: The values that it may be merged into.
    """
    yield from schema.wrong_containers("config", given)
    for value in present:
        for path, item in _misfits(given, value, ()):
            is_list = isinstance(item, list)
            expected = "a mapping" if is_list else "a list"
            message = f"expected {expected}, as in the config that it changes"
            yield Problem(path, f"{message}, got {abbreviated(item)}")


def nested(value: object, path: KeyPath) -> object:
    """Returns a value below its key path."""
    for part in reversed(path):
        value = {part: value}
    return value


def _misfits(
    given: object, present: object, path: KeyPath
) -> Iterator[tuple[KeyPath, object]]:
    """Yields each list that is to be merged into a mapping, or the reverse, with its key path."""
    if isinstance(given, dict) and isinstance(present, dict):
        for key in given:
            if key in present:
                yield from _misfits(given[key], present[key], (*path, key))
    elif {type(given), type(present)} == {dict, list}:
        yield path, given
