"""Compares two manifests: config, files that it names, environment and source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from smdecl.budgets import Budget
from smdecl.errors import ContractError
from smdecl.printing import abbreviated, abbreviated_pair
from smdecl.release.manifest_types import CustomOpsEntry, Manifest, SourceEntry
from smdecl.savedmodel.records import Change

PARTS = ("config", "custom_ops", "environment", "inputs", "source")
_MOST_KEYS = 1 << 26
_DIGITS = 12  # of a digest or a commit; enough to identify it


def changes(old: Manifest, new: Manifest) -> Iterator[Change]:
    """Yields how the config, inputs, environment, custom ops and source differ.

    Raises:
        ContractError: If a config has too many keys to compare.
    """
    yield from _config(old["config"], new["config"])
    yield from inputs(old["inputs"], new["inputs"])
    yield from environment(old["environment"], new["environment"])
    yield from _custom_ops(
        old.get("custom_ops", []), new.get("custom_ops", [])
    )
    if old["source"] != new["source"]:
        yield Change.of(
            "source", "", _source(old["source"]), _source(new["source"])
        )


def environment(
    old: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[Change]:
    """Yields the packages that differ between two environments."""
    yield from _differences("environment", old, new)


def _differences(
    part: str, old: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield Change.of(part, name, old.get(name), new.get(name))


def _config(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Change]:
    flat_old, flat_new = _flat(old), _flat(new)
    for key in sorted({*flat_old, *flat_new}):
        if key not in flat_old:
            yield Change.of("config", key, None, abbreviated(flat_new[key]))
        elif key not in flat_new:
            yield Change.of("config", key, abbreviated(flat_old[key]), None)
        elif flat_old[key] != flat_new[key]:
            was, now = abbreviated_pair(flat_old[key], flat_new[key])
            yield Change.of("config", key, was, now)


def _flat(config: Mapping[str, Any]) -> dict[str, object]:
    """Returns the values of a config by dotted key.

    Raises:
        ContractError: If the keys are too long together.
    """
    found: dict[str, object] = {}
    keys = Budget(_MOST_KEYS, "characters in the keys of its config")
    try:
        for key, value in _leaves("", config):
            keys.spend(len(key))
            found[key] = value
    except ValueError as error:
        raise ContractError(
            f"cannot compare the manifest of a release: {error}"
        ) from error
    return found


def _leaves(key: str, value: object) -> Iterator[tuple[str, object]]:
    if not isinstance(value, dict) or not value:
        yield key, value
        return
    for name, item in value.items():
        inner = f"{key}.{name}" if key else name
        yield from _leaves(inner, item)


def inputs(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    """Yields the files with different digests, given the digests by name of file."""
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was != now:
            yield Change.of("inputs", name, _short(was), _short(now))


def _short(digest: str | None) -> str | None:
    return None if digest is None else digest[:_DIGITS]


def _custom_ops(
    old: Sequence[CustomOpsEntry], new: Sequence[CustomOpsEntry]
) -> Iterator[Change]:
    """Yields the packages and libraries with custom ops that differ between two releases."""
    before = {entry["name"]: _version(entry) for entry in old}
    after = {entry["name"]: _version(entry) for entry in new}
    yield from _differences("custom_ops", before, after)


def _version(entry: CustomOpsEntry) -> str:
    if entry.get("version"):
        return entry["version"]
    if entry.get("sha256"):
        return entry["sha256"][:_DIGITS]
    return "unknown version"


def _source(source: SourceEntry | None) -> str:
    if source is None:
        return "no commit"
    commit = f"commit {source['commit'][:_DIGITS]}"
    return commit if source["clean"] else f"{commit} with changes"
