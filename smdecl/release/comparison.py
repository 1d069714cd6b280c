"""Compares the files of a release with its manifest."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from smdecl import files
from smdecl.errors import Problem
from smdecl.names import ASSETS, VARIABLES
from smdecl.release import manifest as manifests
from smdecl.release import provenance
from smdecl.release.manifest_types import FileEntry, Manifest

# TensorFlow makes these directories even if they stay empty.
_ALWAYS_PRESENT = (ASSETS, VARIABLES)


def compare(
    directory: Path, manifest: Manifest, unchanged: Collection[str] = ()
) -> Iterator[Problem]:
    """Yields every file that is missing, changed, or not listed in the manifest.

    A part of the release that cannot be read is a problem too, since its content is
    unknown.

    Args:
        directory: Directory of the release.
        manifest: The manifest of the release.
        unchanged: Names of files known to be unchanged, which are not hashed again.
    """
    listed = manifest["files"]
    try:
        found = dict(files.walk(directory))
        names = _names_to_hash(found, listed)
        files.require_stored(directory / name for name in names)
    except OSError as error:
        yield Problem((), f"cannot read {error.filename}: {error.strerror}")
        return
    for name, entry in listed.items():
        path = directory / name
        if name not in found:
            yield Problem((), f"{path}: no such file")
        elif not found[name].is_file(follow_symlinks=False):
            yield Problem((), f"{path}: not a regular file")
        elif name not in unchanged:
            yield from _compare_file(path, entry)
    own = found.get(manifests.FILE)
    if own is not None and not own.is_file(follow_symlinks=False):
        yield Problem((), f"{directory / manifests.FILE}: not a regular file")
    yield from _unlisted(directory, found, listed)
    yield from _compare_signed(directory, manifest)


def compare_sizes(directory: Path, manifest: Manifest) -> Iterator[Problem]:
    """Yields what `compare` yields, but hashes no file that has the size in the manifest."""
    try:
        found = dict(files.walk(directory))
        names = set(_names_to_hash(found, manifest["files"]))
    except OSError:  # `compare` reports it
        names = set()
    yield from compare(directory, manifest, names)


def _names_to_hash(
    found: Mapping[str, os.DirEntry[str]], listed: Mapping[str, FileEntry]
) -> Iterator[str]:
    """Yields the files whose size is as listed; a file of a different size is not read."""
    for name, entry in listed.items():
        is_file = name in found and found[name].is_file(follow_symlinks=False)
        if is_file and found[name].stat().st_size == entry["size"]:
            yield name


def _compare_file(path: Path, entry: FileEntry) -> Iterator[Problem]:
    differs = f"{path}: content differs from the manifest"
    try:
        size = path.stat().st_size
        if size != entry["size"]:
            message = f"{differs}: expected {entry['size']} bytes, got {size}"
            yield Problem((), message)
            return
        sha256 = files.sha256(path)
    except OSError as error:
        yield Problem((), f"cannot read {path}: {error.strerror}")
        return
    if sha256 != entry["sha256"]:
        yield Problem(
            (), f"{differs}: expected sha256 {entry['sha256']}, got {sha256}"
        )


def _unlisted(
    directory: Path, found: Collection[str], listed: Collection[str]
) -> Iterator[Problem]:
    """Yields files that the manifest does not list, and empty directories.

    The files in a new directory are reported, so the directory is not.
    """
    expected = {
        *listed,
        *manifests.UNLISTED,
        *_ALWAYS_PRESENT,
        *_parents(found),
    }
    for name in sorted(found):
        if name not in expected:
            yield Problem(
                (), f"{directory / name}: not listed in the manifest"
            )


def _parents(names: Iterable[str]) -> set[str]:
    parents: set[str] = set()
    for name in names:
        parents.update(
            parent.as_posix() for parent in PurePosixPath(name).parents
        )
    return parents


def _compare_signed(directory: Path, manifest: Manifest) -> Iterator[Problem]:
    """Checks that provenance and signature are both present or both absent.

    Whose signature it is, `signing.verify` checks with a key.
    """
    present = [
        name
        for name in manifests.SIGNED_BY
        if os.path.lexists(directory / name)
    ]
    if not present:
        return
    for name in manifests.SIGNED_BY:
        path = directory / name
        if name not in present:
            reason = f"no such file, although {present[0]} exists"
            yield Problem((), f"{path}: {reason}; a signed release has both")
        elif path.is_symlink() or not path.is_file():
            yield Problem((), f"{path}: not a regular file")
        elif name == provenance.FILE and not _is_provenance(path, manifest):
            yield Problem((), f"{path}: content differs from the manifest")


def _is_provenance(path: Path, manifest: Manifest) -> bool:
    try:
        expected = manifests.provenance_of(manifest).encode()
    except UnicodeEncodeError:
        # A forged manifest lists names that no file can have.
        return False
    return (
        path.stat().st_size == len(expected) and path.read_bytes() == expected
    )
