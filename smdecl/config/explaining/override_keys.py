"""Explains what is wrong with an override of keys that a config does not have."""

from __future__ import annotations

import copy
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from smdecl import schema
from smdecl.config import nodes, search_path
from smdecl.config.explaining import merging
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Origin, Problem, dotted, nearest


def is_unknown(config: DictConfig, path: KeyPath) -> bool:
    """Returns whether a config has nothing at a key path."""
    node: object = config
    for part in path:
        if not isinstance(node, DictConfig) or part not in node:
            return True
        node = node._get_node(part)
    return False


def unknown(config: DictConfig, path: KeyPath, override: Override) -> str:
    """Returns the message about an override of an unknown key: the known keys, or how to add it."""
    values = nodes.plain_values(config)
    parent, node = _deepest(values, path)
    if not isinstance(node, (dict, type(None))):
        return _without_keys(parent)
    present = sorted(node or {})
    rejection = schema.refusal(values, path)
    if rejection is None:
        return _accepted(values, path, parent, node, override)
    joined = _joined(values, path, len(parent), override)
    if joined is not None:
        key, written = joined
        return _unknown_key(parent, key, present) + _to_add(written, override)
    above = path[: rejection.depth]
    if not rejection.known:
        return _without_keys(above)
    return _unknown_key(above, path[rejection.depth], rejection.known)


def _deepest(values: Values, path: KeyPath) -> tuple[KeyPath, object]:
    """Returns the longest part of a key path that exists, and the value there."""
    node: object = values
    depth = 0
    while isinstance(node, dict) and path[depth] in node:
        node = node[path[depth]]
        depth += 1
    return path[:depth], node


def _accepted(
    values: Values,
    path: KeyPath,
    parent: KeyPath,
    node: object,
    override: Override,
) -> str:
    """Returns the message about a key that the schema accepts but the config does not have.

    Args:
        values: The config.
        path: The key path.
        parent: The part of it that exists.
        node: The value there, a mapping or None.
        override: Of the key.
    """
    key = path[len(parent)]
    written = f"{dotted(path)}=..."
    # Where any other key is refused too, the keys are fixed, and the schema knows them.
    fixed = schema.refusal(values, (*parent, ""))
    if fixed is None:
        present = sorted(node) if isinstance(node, dict) else []
        return _unknown_key(parent, key, present) + _to_add(written, override)
    if override.is_delete():
        return _unknown_key(parent, key, fixed.known)
    options = _options_of(parent) if node is None else ""
    fault = _fault(values, path, override)
    return f"{fault}key {key!r} is not set; to add it, write '+{written}'{options}"


def _fault(values: Values, path: KeyPath, override: Override) -> str:
    """Returns what is wrong with the value of an override, before what is wrong with its key."""
    value = override.value()
    if override.is_sweep_override() or "${" in str(value):
        return ""
    given = merging.nested(value, path)
    trial = _merge(values, given) if isinstance(given, dict) else values
    for problem in schema.problems("config", trial):
        if problem.path == path:
            return f"{problem.message}; "
    return ""


def _unknown_key(parent: KeyPath, key: str | int, known: list[str]) -> str:
    place = f" in {dotted(parent)}" if parent else ""
    if not parent:
        known = sorted({*known, *search_path.groups()})
    if not known:
        return f"unknown key {key!r}{place}, which is empty"
    expected = f"expected one of {', '.join(known)}{nearest(key, known)}"
    return f"unknown key {key!r}{place}; {expected}"


def _to_add(written: str, override: Override) -> str:
    return "" if override.is_delete() else f"; to add it, write '+{written}'"


def _without_keys(path: KeyPath) -> str:
    return f"{dotted(path)} cannot have keys"


def _joined(
    values: Values, path: KeyPath, depth: int, override: Override
) -> tuple[str, str] | None:
    """Returns the key with dots that an override probably meant, and how to write it."""
    parts = [str(part) for part in path[depth:]]
    for size in range(2, len(parts) + 1):
        key, below = ".".join(parts[:size]), parts[size:]
        meant = (*path[:depth], key, *below)
        if schema.refusal(values, meant, override.value()) is None:
            written = "..."
            for part in reversed([key, *below]):
                written = f"{{{part}: {written}}}"
            return key, f"{dotted(path[:depth])}={written}"
    return None


def _options_of(path: KeyPath) -> str:
    options = search_path.group_options("/".join(str(part) for part in path))
    if not options:
        return ""
    choices = ", ".join(f"{dotted(path)}={option}" for option in options)
    return f", or choose one of {choices}"


def merged(
    config: DictConfig | None, path: KeyPath, override: Override, key: str
) -> Problem:
    """Returns the problem with a mapping whose keys the config does not all have.

    Hydra merges the mapping into the existing one. `+` adds keys, but cannot replace the mapping.

    Args:
        config: The composed config without the override; None if it cannot be composed.
        path: The key path of the mapping.
        override: Sets the mapping.
        key: A key of the mapping that the config does not have there.
    """
    origin = Origin(override=override.input_line)
    added = repr(f"+{override.input_line}")
    to_add = f"key {key!r} is not set; to add it, write {added}"
    value = override.value()
    is_hydras = path[0] == "hydra"  # the schema of configs has no such key
    if config is None or is_hydras or not isinstance(value, dict):
        return Problem(path, to_add, origin)
    values = nodes.plain_values(config)
    present = _mapping_at(values, path)
    faults = _faults(values, path, _merge(present, value))
    can_replace = bool(present) and not _faults(values, path, value)
    if faults and not can_replace:
        return Problem(faults[0].path, faults[0].message, origin)
    replaced = _replacing(path, added)
    same = (None, present.get("_target_"))
    is_other_target = value.get("_target_") not in same
    if faults or (is_other_target and can_replace):
        message = (
            f"key {key!r} is not set, and Hydra merges the mapping into the existing one;"
            f" to replace that, write {replaced}"
        )
    elif can_replace:
        message = (
            f"{to_add}; to replace the existing mapping, write {replaced}"
        )
    else:
        message = to_add
    return Problem(path, message, origin)


def _replacing(path: KeyPath, added: str) -> str:
    """Returns the overrides that replace a mapping."""
    # The default name is that of the chosen option, and no option is chosen then.
    name = " name=..." if path == ("model",) else ""
    return f"{'~' + dotted(path)!r} {added}{name}"


def _mapping_at(values: object, path: KeyPath) -> dict[str, Any]:
    for part in path:
        values = values.get(part) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _merge(present: Values, given: Values) -> dict[str, Any]:
    result = dict(present)
    for key, value in given.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            result[key] = _merge(before, value)
        else:
            result[key] = value
    return result


def _faults(values: Values, path: KeyPath, value: object) -> list[Problem]:
    """Returns what breaks the schema at or below a key path once it has a value."""
    trial = copy.deepcopy(dict(values))
    node = trial
    for part in path[:-1]:
        node = node[str(part)]
    node[str(path[-1])] = value
    problems = schema.problems("config", trial)
    return [
        problem for problem in problems if problem.path[: len(path)] == path
    ]
