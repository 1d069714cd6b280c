"""Tells what two manifests say otherwise: the config, the files that it names, the environment, the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from smdecl.budgets import Budget
from smdecl.errors import ContractError
from smdecl.printing import abbreviated
from smdecl.savedmodel.records import Change

PARTS = ("config", "custom_ops", "environment", "inputs", "source")
_MOST_KEYS = 1 << 26
_DIGITS = 12  # of a digest or a commit; enough to tell it by


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Yields what two manifests say otherwise of the config, the files it names, the environment and the source."""
    yield from _config(old["config"], new["config"])
    for name in sorted({*old["inputs"], *new["inputs"]}):
        if (was := old["inputs"].get(name, "")) != (now := new["inputs"].get(name, "")):
            yield Change.of(
                "inputs", name, was[:_DIGITS] or None, now[:_DIGITS] or None
            )
    yield from environment(old["environment"], new["environment"])
    yield from _custom_ops(old.get("custom_ops", []), new.get("custom_ops", []))
    if old["source"] != new["source"]:
        yield Change.of("source", "", _source(old["source"]), _source(new["source"]))


def _config(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Yields the keys of two configs that differ."""
    flat_old, flat_new = _flat(old), _flat(new)
    for key in sorted({*flat_old, *flat_new}):
        if (key in flat_old, flat_old.get(key)) != (key in flat_new, flat_new.get(key)):
            was, now = (
                abbreviated(flat[key]) if key in flat else None
                for flat in (flat_old, flat_new)
            )
            yield Change.of("config", key, was, now)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a config by their whole keys."""
    found: dict[str, Any] = {}
    keys = Budget(_MOST_KEYS, "characters in the keys of its config")
    try:
        for key, value in _leaves("", config):
            keys.spend(len(key))
            found[key] = value
    except ValueError as error:
        raise ContractError(
            f"the manifest of a release cannot be compared: {error}"
        ) from error
    return found


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict) or not value:
        yield key, value
        return
    for name, item in value.items():
        yield from _leaves(f"{key}.{name}" if key else name, item)


def environment(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    """Yields the packages of two environments that differ."""
    for package in sorted({*old, *new}):
        if old.get(package) != new.get(package):
            yield Change.of("environment", package, old.get(package), new.get(package))


def _custom_ops(
    old: Sequence[Mapping[str, str]], new: Sequence[Mapping[str, str]]
) -> Iterator[Change]:
    """Yields what registers ops for those who load the one release and not the other, or is another version of it."""
    before = {entry["name"]: _version(entry) for entry in old}
    after = {entry["name"]: _version(entry) for entry in new}
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Change.of("custom_ops", name, before.get(name), after.get(name))


def _version(entry: Mapping[str, str]) -> str:
    return (
        entry.get("version") or entry.get("sha256", "")[:_DIGITS] or "without a version"
    )


def _source(source: Mapping[str, Any] | None) -> str:
    if source is None:
        return "no commit"
    return f"commit {source['commit'][:_DIGITS]}" + (
        "" if source["clean"] else " with changes"
    )
