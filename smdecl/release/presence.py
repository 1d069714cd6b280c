"""Tells whether a release is still where it was published, and as it was published.

Its manifest is read, and its files are compared with it: by their sizes, or if asked for by their
digests.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from smdecl import scratch
from smdecl.checks import paths
from smdecl.errors import Problem, SmdeclError
from smdecl.release import comparison, manifest, signing
from smdecl.release.manifest_types import Manifest
from smdecl.release.store import Store, open_store, store_errors

_BLOCK = 1 << 20  # bytes


class Refusal(NamedTuple):
    """Why a place does not have a release.

    Attributes:
        reason: The reason, for messages.
        is_damage: Whether a release is there, but not as it was published.
    """

    reason: str
    is_damage: bool


def refuse(
    place: Path | str, digest: str | None = None, *, is_hashed: bool = False
) -> str | None:
    """Returns why a place has no such release; None if it has. See `find_refusal`."""
    found = find_refusal(place, digest, is_hashed=is_hashed)
    return None if found is None else found.reason


def find_refusal(
    place: Path | str, digest: str | None = None, *, is_hashed: bool = False
) -> Refusal | None:
    """Returns why a place has no such release; None if it has.

    Args:
        place: The directory of the release, or its URL.
        digest: The digest of the release; None for any.
        is_hashed: Whether to hash its files.
    """
    compare = comparison.compare if is_hashed else comparison.compare_sizes
    try:
        with _own_files(place) as directory:
            if not (directory / manifest.FILE).exists():
                return Refusal(f"{place}: no such release", is_damage=False)
            found = manifest.read(directory)
            if digest not in (None, found["digest"]):
                reason = f"{place}: has the digest {found['digest']}"
                return Refusal(reason, is_damage=False)
            if isinstance(place, str):
                problems = list(_compare_remote(place, found, is_hashed))
            else:
                problems = list(compare(directory, found))
    except SmdeclError as error:
        problems = list(error.problems)
    return Refusal(str(problems[0]), is_damage=True) if problems else None


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


def _compare_remote(
    url: str, found: Manifest, is_hashed: bool
) -> Iterator[Problem]:
    """Yields the files of a release in a store that are missing or differ from the manifest."""
    store = open_store(url)
    with store_errors(url):
        for name, entry in found["files"].items():
            source, place = f"{store.base}/{name}", f"{url}/{name}"
            if not store.exists(source):
                yield Problem((), f"{place}: no such file")
                continue
            size = store.files.size(source)
            if size != entry["size"]:
                expected = f"expected {entry['size']} bytes, got {size}"
                yield Problem((), f"{place}: {expected}")
            elif is_hashed and _sha256(store, source) != entry["sha256"]:
                yield Problem(
                    (), f"{place}: content differs from the manifest"
                )


def _sha256(store: Store, source: str) -> str:
    """Returns the sha256 of a file in a store, which is not stored on this machine."""
    digest = hashlib.sha256()
    with store.files.open(source, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def at(path: str) -> Path | str:
    """Returns a place as `refuse` expects it, from its text."""
    return path if paths.is_remote(path) else Path(path)
