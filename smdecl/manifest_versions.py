"""The versions of the manifest, and what a release of an older one had where its manifest says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CURRENT = 2

# The version that added keys to the config, and the values that releases before it were made by. A key whose default
# makes the bytes that older versions made needs no entry.
_ADDED: tuple[tuple[int, dict[str, Any]], ...] = (
    (2, {"functions": {"__call__": None, "serve": None}}),  # Keras models had no functions by default
)


def config_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config of a release, with the keys that its version of the manifest did not have yet."""
    config = dict(manifest["config"])
    for version, values in _ADDED:
        if manifest["manifest_version"] < version:
            config = {**values, **config}
    return config
