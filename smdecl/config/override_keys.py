"""Words what is wrong with an override of keys that a config does not have."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from smdecl import schema
from smdecl.config import search_path
from smdecl.errors import KeyPath, Origin, Problem, dotted, nearest


def is_unknown(config: DictConfig, path: KeyPath) -> bool:
    """Tells whether a config has nothing at a key path."""
    node: Any = config
    for part in path:
        if not isinstance(node, DictConfig) or part not in node:
            return True
        node = node._get_node(part)
    return False


def unknown(config: DictConfig, path: KeyPath, override: Override) -> str:
    """Words an override of a key that is unknown: which keys are taken there, and how one is added."""
    values: Any = OmegaConf.to_container(config, resolve=False)
    values.pop("hydra", None)
    node, depth = values, 0
    while isinstance(node, dict) and path[depth] in node:
        node, depth = node[path[depth]], depth + 1
    if not isinstance(node, (dict, type(None))):
        return f"{dotted(path[:depth])} holds no keys"
    refusal = schema.refusal(values, path)
    if refusal is None:
        key, fixed = path[depth], schema.refusal(values, (*path[:depth], ""))
        way = f"{dotted(path)}=..."
        if fixed is not None and not override.is_delete():
            chosen = _options_of(path[:depth]) if node is None else ""
            return f"{key!r} is not there yet; to add it, write '+{way}'{chosen}"
        known = sorted(node or {}) if fixed is None else fixed[1]
    elif (joined := _joined(values, path, depth, override)) is not None:
        key, way = joined
        known = sorted(node or {})
    else:
        depth, known = refusal
        if not known:
            return f"{dotted(path[:depth])} holds no keys"
        key, way = path[depth], None
    if depth == 0:
        known = sorted({*known, *search_path.groups()})
    place = f"of {dotted(path[:depth])}" if depth else "of the config"
    takes = (
        f"; takes {', '.join(known)}{nearest(key, known)}"
        if known
        else ", which is empty"
    )
    add = f" (to add it, write '+{way}')" if way and not override.is_delete() else ""
    return f"{key!r} is no key {place}{takes}{add}"


def _joined(
    values: Any, path: KeyPath, depth: int, override: Override
) -> tuple[str, str] | None:
    """Returns the key with dots in it that an override must have meant, and how it is written."""
    parts = [str(part) for part in path[depth:]]
    for size in range(2, len(parts) + 1):
        key, below = ".".join(parts[:size]), parts[size:]
        if (
            schema.refusal(values, (*path[:depth], key, *below), override.value())
            is None
        ):
            way = "..."
            for part in reversed([key, *below]):
                way = f"{{{part}: {way}}}"
            return key, f"{dotted(path[:depth])}={way}"
    return None


def _options_of(path: KeyPath) -> str:
    options = search_path.group_options("/".join(str(part) for part in path))
    return (
        f", or choose one of {', '.join(f'{dotted(path)}={option}' for option in options)}"
        if options
        else ""
    )


def merged(
    config: DictConfig | None, path: KeyPath, override: Override, key: str
) -> Problem:
    """Words an override that sets a mapping where the config has one without some of its keys.

    Hydra merges the two. `+` adds keys; it does not help where a mapping is meant to replace the other.

    Args:
        config: The composed config, without the override; None if it cannot be composed.
        path: Of the mapping.
        override: That has the key.
        key: That the config does not have there.
    """
    origin, line = Origin(override=override.input_line), str(override.input_line)
    added = repr(f"+{line}")
    value = override.value()
    if config is None or not isinstance(value, dict):
        return Problem(
            path, f"{key!r} is not there yet; to add it, write {added}", origin
        )
    values: Any = OmegaConf.to_container(config, resolve=False)
    values.pop("hydra", None)
    present = _at(values, path)
    faults = _faults(values, path, _merge(present, value))
    can_replace = bool(present) and not _faults(values, path, value)
    if faults and not can_replace:
        return Problem(faults[0].path, faults[0].message, origin)
    name = (
        " name=..." if path == ("model",) else ""
    )  # by default the name of an option, which is none then
    replaced = f"{'~' + dotted(path)!r} {added}{name}"
    is_other = value.get("_target_") not in (None, present.get("_target_"))
    if faults or (is_other and can_replace):
        message = f"{key!r} is not there, and a mapping adds to what is there; to replace that, write {replaced}"
    elif can_replace:
        message = f"{key!r} is not there yet; to add it, write {added}; to replace what is there, {replaced}"
    else:
        message = f"{key!r} is not there yet; to add it, write {added}"
    return Problem(path, message, origin)


def _at(values: Any, path: KeyPath) -> dict[str, Any]:
    for part in path:
        values = values.get(part) if isinstance(values, dict) else None
    found: dict[str, Any] = values if isinstance(values, dict) else {}
    return found


def _merge(present: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(present)
    for key, value in given.items():
        before = result.get(key)
        is_merged = isinstance(before, dict) and isinstance(value, dict)
        result[key] = _merge(dict(before or {}), value) if is_merged else value
    return result


def _faults(values: Mapping[str, Any], path: KeyPath, value: object) -> list[Problem]:
    """Returns what the schema refuses of a value at a key path."""
    trial: Any = copy.deepcopy(dict(values))
    node = trial
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return [
        problem
        for problem in schema.problems("config", trial)
        if problem.path[: len(path)] == path
    ]
