"""The versions of the manifest, and the config values that older ones imply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smdecl import schema
from smdecl.release.manifest_types import Manifest

CURRENT = 2

# A version that added keys to the config, and the values that earlier releases were made
# with. A key needs no entry if its default makes the same bytes as earlier versions did.
_ADDED: tuple[tuple[int, dict[str, Any]], ...] = (
    # Keras models exposed no functions by default.
    (2, {"functions": {"__call__": None, "serve": None}}),
)


def config_of(manifest: Manifest) -> dict[str, Any]:
    """Returns the config of a release, with keys added since it was made.

    An audit rule that is newer than the release is off: it did not apply.
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
