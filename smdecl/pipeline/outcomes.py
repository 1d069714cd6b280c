"""What the verbs return, apart from the records that have a schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from smdecl.config.settings import ExportConfig
from smdecl.errors import Problem
from smdecl.savedmodel.records import Change


@dataclass(frozen=True)
class Checked:
    """A config that passed the checks.

    Attributes:
        config: The export that it describes.
        warnings: What may be wrong with it.
    """

    config: ExportConfig
    warnings: tuple[Problem, ...]


@dataclass(frozen=True)
class Verified:
    """A release that is unchanged and computes what its examples say.

    Attributes:
        path: Its directory.
        digest: The sha256 over all its files, as the manifest has it.
        files: Names of the files that were compared with the manifest.
        loaders: The loaders that ran the examples.
        examples: Each signature key with the number of examples that each loader ran.
        is_signed: Whether it has a signature.
        key: The public key that its signature was checked with; None if it was not checked.
    """

    path: Path
    digest: str
    files: tuple[str, ...]
    loaders: tuple[str, ...]
    examples: dict[str, int]
    is_signed: bool
    key: Path | None


@dataclass(frozen=True)
class Reproduction:
    """A release that was made again with the same bytes.

    Attributes:
        path: Its directory.
        digest: The sha256 over all files, the same for both.
        changes: Changes of config, environment and source that change no byte.
    """

    path: Path
    digest: str
    changes: tuple[Change, ...]
