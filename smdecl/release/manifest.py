"""The manifest of a release: its config, signatures, files with digests, and sources.

It is written when a release is made, and read to check that a release is unchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from smdecl import files, schema
from smdecl.errors import VerificationError
from smdecl.names import MESSAGE_FILE, OWN_FILES
from smdecl.release import (
    manifest_text,
    manifest_versions,
    provenance,
    signing,
)
from smdecl.release.manifest_types import FileEntry, Manifest, SourceEntry
from smdecl.savedmodel import base_path
from smdecl.savedmodel.plain import plain
from smdecl.savedmodel.records import CustomOpsRecord, SignatureRecord

FILE = f"{OWN_FILES}/manifest.json"
# Both are made from the manifest, so that neither can be in its list of files.
SIGNED_BY = (provenance.FILE, signing.FILE)
UNLISTED = (FILE, *SIGNED_BY)
_LARGEST = 1 << 24  # bytes
_DEEPEST = 100  # a config is nested at most 64 deep
# A release that is moved is the same release.
_NOT_RECORDED = (
    "export_dir",
    "publish",
)


@dataclass(frozen=True)
class Sources:
    """What a release is made from.

    Attributes:
        inputs: File named in the config to its sha256.
        modules: Path of an imported module of the project to its sha256.
        environment: Package to its version.
        custom_ops: What registers ops beyond TensorFlow's.
        source: The commit of the project; None if it is unknown.
    """

    inputs: Mapping[str, str]
    modules: Mapping[str, str]
    environment: Mapping[str, str]
    custom_ops: Sequence[CustomOpsRecord] = ()
    source: SourceEntry | None = None


def write(
    directory: Path,
    recorded: Mapping[str, Any],
    signatures: Mapping[str, SignatureRecord],
    sources: Sources,
) -> Manifest:
    """Writes the manifest of a release, and returns it as `read` would.

    Its digest is the sha256 of what `sha256sum` prints, sorted by path, for all files
    except the manifest, the provenance and the signature:

        find . -type f ! -path './assets.extra/smdecl/[mp]*' -print0 | LC_ALL=C sort -z > /tmp/files
        xargs -0 sha256sum < /tmp/files | sha256sum

    Args:
        directory: Directory of the release; all its other files exist.
        recorded: The resolved config, in which values from the environment are unresolved.
        signatures: The signatures, as saved.
        sources: What the release is made from.

    Raises:
        OSError: If a part of the directory cannot be read, or a file is sparse.
    """
    paths = _listed_files(directory)
    files.require_stored(paths.values())
    entries = {name: _entry(path) for name, path in paths.items()}
    manifest = {
        "manifest_version": manifest_versions.CURRENT,
        "name": recorded["name"],
        "digest": manifest_text.digest(entries),
        "config": {
            key: value
            for key, value in recorded.items()
            if key not in _NOT_RECORDED
        },
        "signatures": plain(dict(signatures)),
        "files": entries,
        # The process that imported the modules reports theirs; smdecl computes the inputs' own.
        "inputs": {**sources.modules, **sources.inputs},
        "environment": dict(sources.environment),
        "source": sources.source,
    }
    if sources.custom_ops:
        manifest["custom_ops"] = plain(sources.custom_ops)
    manifest["checksum"] = manifest_text.checksum(manifest)
    schema.require("manifest", manifest)
    text = manifest_text.text_of(manifest)
    path = directory / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return cast("Manifest", json.loads(text))


def is_written(directory: Path, manifest: Manifest) -> bool:
    """Returns whether the manifest in a directory has exactly the text of this one."""
    try:
        data = files.read_regular(directory / FILE, _LARGEST)
    except OSError:
        return False
    return data == manifest_text.text_of(manifest).encode()


def _listed_files(directory: Path) -> dict[str, Path]:
    """Returns name and path of the files that the manifest lists, in listing order."""
    found = {name for name, entry in files.walk(directory) if entry.is_file()}
    names = manifest_text.in_listing_order(found.difference(UNLISTED))
    return {name: directory / name for name in names}


def _entry(path: Path) -> FileEntry:
    return {"size": path.stat().st_size, "sha256": files.sha256(path)}


def attest(directory: Path, manifest: Manifest) -> None:
    """Writes the provenance of a release next to its manifest."""
    text = provenance_of(manifest)
    (directory / provenance.FILE).write_text(text, encoding="utf-8")


def provenance_of(manifest: Manifest) -> str:
    """Returns the provenance that a manifest implies.

    Raises:
        UnicodeEncodeError: If the manifest lists a name that no file can have.
    """
    digests = {
        name: entry["sha256"] for name, entry in manifest["files"].items()
    }
    own_text = manifest_text.text_of(manifest)
    digests[FILE] = hashlib.sha256(own_text.encode()).hexdigest()
    return provenance.text(manifest, digests)


def settings(manifest: Manifest, key: str) -> Any:
    """Returns a key of the config of a release; None if the config has no such key."""
    return manifest_text.with_floats(
        manifest_versions.config_of(manifest).get(key)
    )


def read(directory: Path) -> Manifest:
    """Returns the manifest of a release after checking that it is unchanged.

    The files it lists are not checked; `comparison.compare` does that.

    Raises:
        UsageError: If `directory` does not exist, is a file, or is a base path.
        VerificationError: If the manifest is missing or has changed.
    """
    base_path.require_one(directory, "a release")
    path = directory / FILE
    try:
        manifest = _parse(files.read_regular(path, _LARGEST).decode())
    except FileNotFoundError as error:
        raise _missing(directory) from error
    except OSError as error:
        raise VerificationError(
            f"cannot read {path}: {error.strerror}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _changed(path, str(error)) from error
    _require_schema(path, manifest)
    _require_digest(path, manifest)
    return manifest


def _parse(text: str) -> Manifest:
    """Returns the content of a manifest's text.

    Raises:
        ValueError: If the text is not JSON as `write` writes it, or its checksum differs.
    """
    manifest = json.loads(text)
    _require_shallow(manifest)
    if not _is_as_written(manifest, text):
        raise ValueError("its checksum differs")
    return cast("Manifest", manifest)


def _is_as_written(manifest: object, text: str) -> bool:
    if not isinstance(manifest, dict):
        return False
    if manifest_text.text_of(manifest) != text:
        return False
    return manifest_text.checksum(manifest) == manifest.get("checksum")


def _require_shallow(value: object) -> None:
    """Raises ValueError if a value is nested deeper than any manifest."""
    level = [value]
    for _ in range(_DEEPEST + 1):
        deeper: list[object] = []
        for item in level:
            deeper.extend(_items(item))
        level = deeper
        if not level:
            return
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


def _items(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _missing(directory: Path) -> VerificationError:
    if (directory / MESSAGE_FILE).exists():
        expected = "expected a release made by smdecl"
        return VerificationError(
            f"{directory / FILE}: no such file; {expected}"
        )
    expected = "expected the directory of a release, such as exports/adder/1"
    return VerificationError(
        f"{str(directory)!r} contains no SavedModel; {expected}"
    )


def _changed(path: Path, reason: str) -> VerificationError:
    return VerificationError(
        f"{path}: changed since the release was made: {reason}"
    )


def _require_schema(path: Path, manifest: Manifest) -> None:
    if schema.fits("manifest", manifest):
        return
    environment: object = manifest.get("environment")
    version = (
        environment.get("smdecl") if isinstance(environment, dict) else None
    )
    made_by = (
        f"smdecl {version}" if version else "an unknown version of smdecl"
    )
    raise VerificationError(
        f"{path}: does not match the schema of manifests; the release was made by {made_by}"
    )


def _require_digest(path: Path, manifest: Manifest) -> None:
    """Raises if the digest is not that of the listed files.

    Anyone can compute a new checksum, but the digest names the release.
    """
    try:
        digest = manifest_text.digest(manifest["files"])
    except UnicodeEncodeError as error:
        raise VerificationError(
            f"{path}: lists a name that no file can have: {error}"
        ) from error
    if digest != manifest["digest"]:
        raise _changed(path, f"the files it lists have the digest {digest}")
