"""The versions of the packages that a release depends on."""

from __future__ import annotations

import contextlib
import os
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
# An egg on the search path has its metadata in a directory that is named EGG-INFO.
_METADATA = (".dist-info", "egg-info", ".egg")


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
    known = {"python": platform.python_version()}
    if _finds_the_same():
        known |= noted.versions
    found = {}
    for name in names:
        # A trusted name may be a module that belongs to no package.
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = known.get(name) or metadata.version(name)
    return found


def note_versions() -> None:
    """Notes the versions that every manifest has; called once, in the server.

    Its forks do not read them again, because metadata is long. Other processes do, because a
    package may be upgraded while they run.
    """
    noted.path = tuple(sys.path)
    noted.versions = versions(ALWAYS)


@dataclass
class Noted:
    """The versions that the server has noted.

    Attributes:
        path: The places that it found the packages in.
        versions: Package to version; none outside the server and its forks.
    """

    path: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)


noted = Noted()


def _finds_the_same() -> bool:
    """Returns whether the search path has packages only where the server found them.

    A fork may search the project's directory too.
    """
    known = set(noted.path)
    places = [
        place for place in sys.path if place in known or _may_have_any(place)
    ]
    return tuple(places) == noted.path


def _may_have_any(place: str) -> bool:
    """Returns whether there may be metadata of packages in a place on the search path."""
    try:
        names = os.listdir(place or ".")  # noqa: PTH208 - as importlib.metadata does
    except NotADirectoryError:  # an archive
        return True
    except OSError:  # it is absent, or a confined process may not read it
        return False
    return any(name.lower().endswith(_METADATA) for name in names)
