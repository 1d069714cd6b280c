"""The text of a manifest, and the digests computed from it.

The same content always gives the same text, so that a checksum over the text covers the
content.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping

from smdecl.release.manifest_types import FileEntry

# JSON has no infinity: it is written as the interpolation that a config would use.
_NOT_FINITE = {
    text: f"${{oc.decode:'{text}'}}" for text in ("inf", "-inf", "nan")
}
_FLOATS = {written: float(text) for text, written in _NOT_FINITE.items()}
_BACKSLASH = "\\"
_ESCAPED = str.maketrans({_BACKSLASH: r"\\", "\n": r"\n", "\r": r"\r"})


def text_of(manifest: Mapping[str, object]) -> str:
    """Returns a manifest as it is written to disk."""
    return json.dumps(_ordered(manifest, ()), indent=2, allow_nan=False) + "\n"


def _ordered(value: object, path: tuple[str, ...]) -> object:
    """Sorts mappings by key, except in `config.model`, where order may be part of a value."""
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE[str(value)]
    if isinstance(value, list):
        return [_ordered(item, path) for item in value]
    if not isinstance(value, dict):
        return value
    is_model = path[:2] == ("config", "model")
    keys = value if is_model else sorted(value)
    return {key: _ordered(value[key], (*path, key)) for key in keys}


def with_floats(value: object) -> object:
    """Returns a value of a manifest with infinities and NaN as floats again."""
    if isinstance(value, dict):
        return {key: with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_floats(item) for item in value]
    if isinstance(value, str):
        return _FLOATS.get(value, value)
    return value


def checksum(manifest: Mapping[str, object]) -> str:
    """Returns the sha256 of a manifest's text without `checksum`."""
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(text_of(rest).encode()).hexdigest()


def digest(files: Mapping[str, FileEntry]) -> str:
    """Returns the sha256 of what `sha256sum` prints for the files of a release.

    Raises:
        UnicodeEncodeError: If no file can have one of the names.
    """
    listing = "".join(
        _sha256sum_line(name, files[name]["sha256"])
        for name in in_listing_order(files)
    )
    return hashlib.sha256(os.fsencode(listing)).hexdigest()


def in_listing_order(names: Iterable[str]) -> list[str]:
    """Sorts names as `LC_ALL=C sort` does in the listing."""
    return sorted(names, key=lambda name: os.fsencode(f"./{name}"))


def _sha256sum_line(name: str, sha256: str) -> str:
    """Returns the line that `sha256sum` prints for a file.

    A name with a line break or backslash is escaped, and a backslash begins its line.
    """
    escaped = name.translate(_ESCAPED)
    mark = "" if escaped == name else _BACKSLASH
    return f"{mark}{sha256}  ./{escaped}\n"
