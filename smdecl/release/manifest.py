"""The manifest of a release: its config, its signatures, every file with its digest, and what it was made with.

Written when a release is made, and read again to tell whether a release is still what was made.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from smdecl import files, schema
from smdecl.errors import Problem, VerificationError
from smdecl.names import ASSETS, MESSAGE_FILE, OWN_FILES, VARIABLES
from smdecl.release import git, manifest_versions, provenance, signing
from smdecl.savedmodel import base_path
from smdecl.savedmodel.records import OPTIONAL, CustomOpsRecord, SignatureRecord

FILE = f"{OWN_FILES}/manifest.json"
_LARGEST = 1 << 24  # bytes
_DEEPEST = 100  # a config is nested 64 deep at most
_SIGNED_BY = (provenance.FILE, signing.FILE)
# The manifest itself and what is made of it: neither in its list nor in the digest.
UNLISTED = (FILE, *_SIGNED_BY)


@dataclass(frozen=True)
class Sources:
    """What a release was made from.

    Attributes:
        inputs: File that the config names to its sha256.
        modules: Module of the project that was imported to its sha256, by its path.
        environment: Package to its version.
        custom_ops: What registered ops beside TensorFlow's.
    """

    inputs: Mapping[str, str]
    modules: Mapping[str, str]
    environment: Mapping[str, str]
    custom_ops: Sequence[CustomOpsRecord] = ()


def write(
    directory: Path,
    recorded: Mapping[str, Any],
    signatures: Mapping[str, SignatureRecord],
    sources: Sources,
    project_root: Path,
) -> dict[str, Any]:
    """Writes the manifest of the release in `directory`, and returns it as `read` does.

    Its digest is the sha256 of what `sha256sum` prints for all files but the manifest and what is made of it, by path:

        find . -type f ! -path './assets.extra/smdecl/[mp]*' -print0 | LC_ALL=C sort -z > /tmp/files
        xargs -0 sha256sum < /tmp/files | sha256sum

    Args:
        directory: Of the release; all its other files are there.
        recorded: The resolved config, what was read from the environment left unresolved.
        signatures: As saved.
        sources: What it was made from.
        project_root: Where the source commit is looked up.
    """
    there = dict(_regular_files(directory))
    files.require_stored(there.values())
    listed = {name: _entry(path) for name, path in there.items()}
    manifest = {
        "manifest_version": manifest_versions.CURRENT,
        "name": recorded["name"],
        "digest": _digest(listed),
        # A release that is moved, or published twice, is the same release.
        "config": {
            key: value
            for key, value in recorded.items()
            if key not in ("export_dir", "publish")
        },
        "signatures": plain(dict(signatures)),
        "files": listed,
        "inputs": {**sources.inputs, **sources.modules},
        "environment": dict(sources.environment),
        "source": git.source(project_root, sources.modules),
    }
    if sources.custom_ops:
        manifest["custom_ops"] = plain(sources.custom_ops)
    manifest["checksum"] = _checksum(manifest)
    schema.require("manifest", manifest)
    path = directory / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _text(manifest)
    path.write_text(text, encoding="utf-8")
    written: dict[str, Any] = json.loads(text)
    return written


def _digest(listed: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the digest over the files that a manifest lists."""
    lines = [
        _line(name, str(listed[name]["sha256"])) for name in _as_sha256sum_lists(listed)
    ]
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()


def _as_sha256sum_lists(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: os.fsencode(f"./{name}"))


def _line(name: str, sha256: str) -> str:
    """Returns a line as `sha256sum` prints it: a name that would break the line is escaped, and the line marked."""
    escaped = name.translate(_ESCAPED)
    return f"{'' if escaped == name else _BACKSLASH}{sha256}  ./{escaped}\n"


_BACKSLASH = "\\"
_ESCAPED = str.maketrans({_BACKSLASH: r"\\", "\n": r"\n", "\r": r"\r"})


def _entry(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": files.sha256(path)}


def attest(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Writes the provenance of a release, which is made of its manifest."""
    (directory / provenance.FILE).write_text(_provenance(manifest), encoding="utf-8")


def _provenance(manifest: Mapping[str, Any]) -> str:
    listed = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    return provenance.text(
        manifest, {**listed, FILE: hashlib.sha256(_text(manifest).encode()).hexdigest()}
    )


def _text(manifest: Mapping[str, Any]) -> str:
    return json.dumps(_ordered(manifest, ()), indent=2, allow_nan=False) + "\n"


def _ordered(value: Any, path: tuple[str, ...]) -> Any:
    """Returns mappings by their keys, but for what the model is given: there an order may be part of the value.

    JSON has no infinity: it stands as the interpolation that a config would have it by.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE[str(value)]
    if isinstance(value, list):
        return [_ordered(item, path) for item in value]
    if not isinstance(value, dict):
        return value
    keys = value if path[:2] == ("config", "model") else sorted(value)
    return {key: _ordered(value[key], (*path, key)) for key in keys}


_NOT_FINITE = {text: f"${{oc.decode:'{text}'}}" for text in ("inf", "-inf", "nan")}


def settings(manifest: Mapping[str, Any], key: str) -> Any:
    """Returns what a key of a release's config was, with what JSON cannot hold as it was."""
    return _finite(manifest_versions.config_of(manifest).get(key))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return next(
        (float(text) for text, written in _NOT_FINITE.items() if value == written),
        value,
    )


def _checksum(manifest: Mapping[str, Any]) -> str:
    """Returns the sha256 of a manifest's text without its checksum, for nothing else covers what it says itself."""
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(_text(rest).encode()).hexdigest()


def read(directory: Path) -> dict[str, Any]:
    """Returns the manifest of a release, which is as it was written.

    Raises:
        UsageError: Where `directory` is none, or a base path.
        VerificationError: Where the manifest is missing or was changed.
    """
    base_path.require_one(directory, "a release")
    path = directory / FILE
    try:
        text = files.read_regular(path, _LARGEST).decode()
        manifest: dict[str, Any] = json.loads(text)
        _require_plain(manifest)
        intact = isinstance(manifest, dict) and _text(manifest) == text
        checksum = _checksum(manifest) if intact else None
    except FileNotFoundError as error:
        if not (directory / MESSAGE_FILE).exists():
            takes = "takes the directory of a release, such as exports/adder/1"
            raise VerificationError(
                f"{str(directory)!r} holds no SavedModel; {takes}"
            ) from error
        takes = "takes a release that smdecl has made, and no other SavedModel"
        raise VerificationError(f"{path}: is missing; {takes}") from error
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON
        raise VerificationError(
            f"{path}: was changed since the release was made: {error}"
        ) from error
    if checksum is None or checksum != manifest.get("checksum"):
        raise VerificationError(
            f"{path}: was changed since the release was made: its checksum is another"
        )
    if not schema.fits("manifest", manifest):
        environment = manifest.get("environment")
        made_by = environment.get("smdecl") if isinstance(environment, dict) else None
        told = f"it was made by smdecl {made_by or 'another version'}"
        raise VerificationError(f"{path}: is not as this version writes it; {told}")
    # Anybody can compute the checksum anew; the digest names the release, so it has to be that of its files.
    try:
        digest = _digest(manifest["files"])
    except UnicodeEncodeError as error:
        raise VerificationError(
            f"{path}: lists what no file is called: {error}"
        ) from error
    if digest != manifest["digest"]:
        found = f"the digest of the files that it lists is {digest}"
        raise VerificationError(
            f"{path}: was changed since the release was made: {found}"
        )
    return manifest


def _require_plain(manifest: Any) -> None:
    """Raises ValueError where a manifest is nested deeper than any."""
    level, depth = [manifest], 0
    while level:
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")
        level, depth = [item for value in level for item in _held(value)], depth + 1


def _held(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def compare(
    directory: Path, manifest: Mapping[str, Any], same: Collection[str] = ()
) -> Iterator[Problem]:
    """Yields everything in a release that is missing, that was changed, or that the manifest does not list.

    A part of the release that cannot be read is a problem too: nothing is known of what it holds.

    Args:
        directory: Of the release.
        manifest: Of the release.
        same: Names of files that are known to be as they were hashed; they are not hashed again.
    """
    known = manifest["files"]
    try:
        found = dict(files.walk(directory))
        files.require_stored(directory / name for name in _alike(found, known))
    except OSError as error:
        yield Problem((), f"{error.filename}: cannot be read: {error.strerror}")
        return
    for name, entry in known.items():
        if name not in found:
            yield Problem((), f"{directory / name}: is missing")
        elif not found[name].is_file(follow_symlinks=False):
            yield Problem((), f"{directory / name}: is no longer a regular file")
        elif name not in same and (difference := _difference(directory / name, entry)):
            yield Problem((), f"{directory / name}: {difference}")
    # What an added directory holds is reported itself.
    expected = {*known, FILE, *_SIGNED_BY, *_ALWAYS_THERE, *_parents(found)}
    for name in sorted(found):
        if name not in expected:
            yield Problem((), f"{directory / name}: was added")
    yield from _compare_signed(directory, manifest)


def _alike(
    found: Mapping[str, os.DirEntry[str]], known: Mapping[str, Any]
) -> Iterator[str]:
    """Yields the files that have the size of their entry in the manifest: all others are not read."""
    for name, entry in known.items():
        is_file = name in found and found[name].is_file(follow_symlinks=False)
        if is_file and found[name].stat().st_size == entry["size"]:
            yield name


def _difference(path: Path, entry: Mapping[str, Any]) -> str | None:
    """Says how a file differs from its entry in the manifest; None if it does not."""
    try:
        size = path.stat().st_size
        if size != entry["size"]:
            return f"was changed: it has {size} bytes, and had {entry['size']}"
        sha256 = files.sha256(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if sha256 != entry["sha256"]:
        return f"was changed: its sha256 is {sha256}, and was {entry['sha256']}"
    return None


# TensorFlow makes these whether they hold a file or not.
_ALWAYS_THERE = (ASSETS, VARIABLES)


def _parents(names: Iterable[str]) -> set[str]:
    """Returns the directories that hold something."""
    return {
        parent.as_posix() for name in names for parent in PurePosixPath(name).parents
    }


def _compare_signed(directory: Path, manifest: Mapping[str, Any]) -> Iterator[Problem]:
    """Compares what a signed release has beside its manifest; whose signature it is, a key tells."""
    present = [name for name in _SIGNED_BY if os.path.lexists(directory / name)]
    for name in _SIGNED_BY if present else ():
        path = directory / name
        if name not in present:
            yield Problem(
                (),
                f"{path}: is missing, and {present[0]} is there; a signed release has both",
            )
        elif path.is_symlink() or not path.is_file():
            yield Problem((), f"{path}: is no longer a regular file")
        elif name == provenance.FILE and not _is_provenance(path, manifest):
            yield Problem((), f"{path}: was changed: it is not what the manifest gives")


def _is_provenance(path: Path, manifest: Mapping[str, Any]) -> bool:
    try:
        expected = _provenance(manifest).encode()
    except (
        UnicodeEncodeError
    ):  # of names in a forged manifest, none of which an export writes
        return False
    return path.stat().st_size == len(expected) and path.read_bytes() == expected


def plain(value: Any) -> Any:
    """Returns a record as JSON has it: tuples as lists, and without the optional fields that it has nothing in."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {field: getattr(value, field.name) for field in fields(value)}
        return {
            field.name: plain(item)
            for field, item in found.items()
            if item is not None or field.metadata != OPTIONAL
        }
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _regular_files(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yields name and path of what the manifest lists, in the order of sha256sum's listing.

    Raises:
        OSError: If a part of the directory cannot be read.
    """
    found = {name for name, entry in files.walk(directory) if entry.is_file()}
    for name in _as_sha256sum_lists(found.difference(UNLISTED)):
        yield name, directory / name
