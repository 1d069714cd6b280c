"""The versions of the manifest, and what a release of an older one had where its manifest says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smdecl import schema

CURRENT = 2

# The version that added keys to the config, and the values that releases before it were made by. A key whose default
# makes the bytes that older versions made needs no entry.
_ADDED: tuple[tuple[int, dict[str, Any]], ...] = (
    (
        2,
        {"functions": {"__call__": None, "serve": None}},
    ),  # Keras models had no functions by default
)


def config_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config of a release, with the keys that its version of smdecl did not have yet.

    An audit rule that is younger than the release did not apply to it.
    """
    config = dict(manifest["config"])
    if isinstance(config.get("audit"), Mapping):
        config["audit"] = {**_rules_at_off(), **config["audit"]}
    for version, values in _ADDED:
        if manifest["manifest_version"] < version:
            config = {**values, **config}
    return config


def _rules_at_off() -> dict[str, str]:
    rules = schema.load("config")["properties"]["audit"]["properties"]
    return {name: "off" for name, level in rules.items() if "enum" in level}
