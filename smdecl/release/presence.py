"""Tells whether a release is still where it was published, and as it was published.

Its manifest is read, and its files are compared with it: by their sizes, or if asked for by their
digests. Those of a remote release are always compared by their sizes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from smdecl import scratch
from smdecl.checks import paths
from smdecl.errors import SmdeclError
from smdecl.release import comparison, manifest, signing
from smdecl.release.manifest_types import Manifest
from smdecl.release.store import Store, open_store, store_errors


def refuse(
    place: Path | str, digest: str | None = None, *, is_hashed: bool = False
) -> str | None:
    """Returns why a place has no such release; None if it has.

    Args:
        place: The directory of the release, or its URL.
        digest: The digest of the release; None for any.
        is_hashed: Whether to hash the files of a local release.
    """
    compare = comparison.compare if is_hashed else comparison.compare_sizes
    try:
        with _own_files(place) as directory:
            if not (directory / manifest.FILE).exists():
                return f"{place}: no such release"
            found = manifest.read(directory)
            if digest not in (None, found["digest"]):
                return f"{place}: has the digest {found['digest']}"
            if isinstance(place, str):
                return _refuse_remote(place, found)
            problems = list(compare(directory, found))
    except SmdeclError as error:
        problems = list(error.problems)
    return str(problems[0]) if problems else None


def is_signed_with(place: Path | str, key: Path | None) -> bool:
    """Returns whether a release has a signature that names a key; for None, whether it has none.

    The signature is not verified.

    Args:
        place: The directory of the release, or its URL.
        key: The file of the private key.
    """
    with _own_files(place) as directory:
        if key is None:
            return not signing.is_signed(directory)
        return signing.names_key(directory, key)


@contextlib.contextmanager
def _own_files(place: Path | str) -> Iterator[Path]:
    """Yields a directory with the manifest of a release and its signature, if it has one.

    Raises:
        SmdeclError: If a store cannot be read.
    """
    if isinstance(place, Path):
        yield place
        return
    store = open_store(place)
    with scratch.directory() as directory:
        with store_errors(place):
            _download(store, directory)
        yield directory


def _download(store: Store, directory: Path) -> None:
    for name in (manifest.FILE, signing.FILE):
        source = f"{store.base}/{name}"
        if store.exists(source):
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            store.files.get_file(source, str(target))


def _refuse_remote(url: str, found: Manifest) -> str | None:
    """Returns which file of a release in a store is missing, or has a different size."""
    store = open_store(url)
    with store_errors(url):
        for name, entry in found["files"].items():
            source = f"{store.base}/{name}"
            if not store.exists(source):
                return f"{url}/{name}: no such file"
            size = store.files.size(source)
            if size != entry["size"]:
                return (
                    f"{url}/{name}: expected {entry['size']} bytes, got {size}"
                )
    return None


def at(path: str) -> Path | str:
    """Returns a place as `refuse` expects it, from its text."""
    return path if paths.is_remote(path) else Path(path)
