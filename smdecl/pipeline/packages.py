"""The versions of the packages that a release depends on."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata

from smdecl.config.project import Project

# The packages whose versions every manifest has.
ALWAYS = (
    "smdecl",
    "tensorflow",
    "keras",
    "numpy",
    "protobuf",
    "h5py",
    "ml_dtypes",
    "hydra-core",
    "omegaconf",
)


def environment(project: Project, imported: Iterable[str]) -> dict[str, str]:
    """Returns the versions of Python and of the packages that a model was built with.

    Args:
        project: The project; the packages that it trusts are included.
        imported: The packages that the code of the model imported.
    """
    names = ["python", *ALWAYS]
    # The model's code imports it, or TensorFlow does for tf.keras if TF_USE_LEGACY_KERAS is set.
    if "tf_keras" in sys.modules:
        names.append("tf_keras")
    return versions([*names, *project.trusted, *imported])


def versions(names: Iterable[str]) -> dict[str, str]:
    """Returns the versions of those packages that are installed here; `python` is one too."""
    found = {}
    for name in names:
        if name == "python":
            found[name] = platform.python_version()
            continue
        # A trusted name may be a module that belongs to no package.
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = _version(name)
    return found


def note_versions() -> None:
    """Notes the versions that every manifest has; called once, in the server.

    Its forks do not read them again, because metadata is long. Other processes do, because a
    package may be upgraded while they run.
    """
    _noted.path = tuple(sys.path)
    _noted.versions = versions(ALWAYS)


@dataclass
class _Noted:
    """The versions that the server has noted.

    Attributes:
        path: The places that it found the packages in.
        versions: Package to version; none outside the server and its forks.
    """

    path: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)


_noted = _Noted()


def _version(name: str) -> str:
    if name in _noted.versions and _noted.path == tuple(sys.path):
        return _noted.versions[name]
    return metadata.version(name)
