"""The manifest of a release: its config, its signatures, every file with its digest, and what it was made with."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smdecl import schema
from smdecl.records import SignatureRecord

FILE = "assets.extra/smdecl/manifest.json"


def write(
    directory: Path,
    recorded: Mapping[str, Any],
    signatures: Mapping[str, SignatureRecord],
    environment: Mapping[str, str],
    project_root: Path,
) -> str:
    """Writes the manifest of the release in `directory` and returns the release's digest.

    The digest is the sha256 of what `sha256sum` prints for all files but the manifest, by path; in a release:

        find . -type f ! -path ./assets.extra/smdecl/manifest.json | LC_ALL=C sort | xargs sha256sum | sha256sum

    Args:
        directory: Of the release; all its other files are there.
        recorded: The resolved config, what was read from the environment left unresolved.
        signatures: As they were saved.
        environment: Package to version.
        project_root: Where the source commit is looked up.
    """
    files = {name: {"size": path.stat().st_size, "sha256": _sha256(path)} for name, path in _files(directory)}
    listing = "".join(f"{entry['sha256']}  ./{name}\n" for name, entry in files.items())
    digest = hashlib.sha256(listing.encode()).hexdigest()
    manifest = {
        "manifest_version": 1,
        "name": recorded["name"],
        "digest": digest,
        # A release that is moved, or published twice, is the same release.
        "config": {key: value for key, value in recorded.items() if key not in ("export_dir", "publish")},
        "signatures": plain({key: asdict(signature) for key, signature in signatures.items()}),
        "files": files,
        "environment": dict(environment),
        "source": _source(project_root),
    }
    schema.require("manifest", manifest)
    path = directory / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return digest


def plain(value: Any) -> Any:
    """Returns a record as JSON has it: tuples as lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    found = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    for name in sorted(found, key=lambda name: f"./{name}".encode()):
        if name != FILE:
            yield name, found[name]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _source(root: Path) -> dict[str, Any] | None:
    """Returns the commit of the project and whether its tracked files are as committed; None outside of git."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    # Releases often land in the project's own folder: files that git does not track make it no less clean.
    return {"commit": commit, "clean": _git(root, "status", "--porcelain", "--untracked-files=no") == ""}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, no repository, or no commit yet
        return None
    return done.stdout.strip()
