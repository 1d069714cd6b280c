"""The versions of the packages that a release depends on."""

from __future__ import annotations

import contextlib
import functools
import platform
import sys
from collections.abc import Iterable
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
            found[name] = _version(name, tuple(sys.path))
    return found


@functools.cache
def _version(name: str, _path: tuple[str, ...]) -> str:
    """Returns the version of a package; cached, because its metadata is long."""
    return metadata.version(name)
