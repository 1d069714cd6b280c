"""The parts of a manifest, by type; `schemas/manifest.schema.json` says what each may hold."""

from __future__ import annotations

from typing import Any, TypedDict


class FileEntry(TypedDict):
    """Size in bytes and sha256 of a file of the release."""

    size: int
    sha256: str


class SourceEntry(TypedDict):
    """The commit of the project, and whether the code that ran was as committed."""

    commit: str
    clean: bool


class CustomOpsEntry(TypedDict, total=False):
    """What registers ops beyond TensorFlow's: `name`, and `version` or `sha256`."""

    name: str
    version: str
    sha256: str


class _Optional(TypedDict, total=False):
    custom_ops: list[CustomOpsEntry]


class Manifest(_Optional):
    """The content of `manifest.json`."""

    manifest_version: int
    name: str
    digest: str
    config: dict[str, Any]
    signatures: dict[str, Any]
    files: dict[str, FileEntry]
    inputs: dict[str, str]
    environment: dict[str, str]
    source: SourceEntry | None
    checksum: str
