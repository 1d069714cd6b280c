"""Requires that the weight files of Keras have all values in them: no link, no huge expansion.

HDF5 can keep the values of a data set in any file, and can link to the objects of any file.
Restoring from such weights would copy those files into the release.
"""

from __future__ import annotations

import math
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from smdecl import budgets
from smdecl.checks.weights.weights_formats import FORMATS, HDF5
from smdecl.config import trust
from smdecl.config.settings import ExportConfig
from smdecl.errors import ConfigError, KeyPath, Problem

if TYPE_CHECKING:
    import h5py

_SUFFIXES = (".h5", ".hdf5")
_EXPECTED = (
    "expected values in the file itself; save the weights again with Keras"
)


def require_own_values(config: ExportConfig) -> None:
    """Refuses weight files of Keras with links to other files, before the model is built.

    The HDF5 library reads the files, so call this in a confined process where there is one.

    Raises:
        ConfigError: If there are such links, or a file cannot be read. Lists every link.
    """
    problems: list[Problem] = []
    for path, name in _files(config):
        try:
            problems += [
                Problem(path, reason) for reason in refuse_objects(Path(name))
            ]
        except Exception as error:  # h5py raises many types for broken files
            reason = f"{type(error).__name__}: {error}"
            message = f"cannot read {name!r}: {reason}"
            raise ConfigError(Problem(path, message)) from error
    if problems:
        raise ConfigError(problems)


def _files(config: ExportConfig) -> Iterator[tuple[KeyPath, str]]:
    weights = config.weights
    if weights is not None and FORMATS[weights.format].is_keras:
        yield ("weights", "path"), weights.path
    yield from trust.model_files({"model": config.model})


def refuse_members(path: Path) -> Iterator[str]:
    """Yields what is wrong with the names and sizes of the members of a zip archive.

    Yields nothing for a damaged archive, or a file that is not an archive.
    """
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            large = list(budgets.refuse_archive(archive, str(path), size))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return
    seen: set[str] = set()
    for member in members:
        reason = _refuse_member(member)
        if reason is None and member.filename in seen:
            reason = "is in the archive twice; expected each name once"
        if reason is not None:
            yield f"the member {member.filename!r} of {str(path)!r} {reason}"
        seen.add(member.filename)
    yield from large


def _refuse_member(member: zipfile.ZipInfo) -> str | None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        return "is outside the archive; expected a relative name without '..'"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a symbolic link; expected a file"
    return None


def refuse_objects(path: Path) -> Iterator[str]:
    """Yields the links to other files in an HDF5 file, or in the HDF5 files of a zip archive."""
    if zipfile.is_zipfile(path):
        refused = list(refuse_members(path))
        yield from refused
        if not refused:
            yield from _refuse_packed(path)
    with path.open("rb") as file:  # a file can be both an archive and HDF5
        yield from _refuse_hdf5(file, str(path))


def _refuse_packed(path: Path) -> Iterator[str]:
    """Yields the links to other files in the HDF5 files of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as packed:
                head = packed.read(len(HDF5))
                if head != HDF5 and not member.filename.endswith(_SUFFIXES):
                    continue
                # HDF5 seeks back and forth; zipfile would unpack from the start for each seek.
                with tempfile.TemporaryFile() as file:
                    file.write(head)
                    shutil.copyfileobj(packed, file)
                    yield from _refuse_hdf5(file, f"{path}:{member.filename}")


def _refuse_hdf5(file: IO[bytes], name: str) -> Iterator[str]:
    import h5py

    try:
        opened = h5py.File(file, "r")
    except OSError:  # not HDF5; restoring reports it
        return
    with opened:
        for place, reason in _refuse_links(opened):
            yield f"the object {place!r} of {name!r} {reason}"


def _refuse_links(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Yields name and reason of each link to other files; follows hard links, each object once."""
    import h5py

    pending: list[tuple[str, h5py.h5g.GroupID]] = [("", file.id)]
    seen = {h5py.h5o.get_info(file.id).addr}
    while pending:
        above, group = pending.pop()
        for name in group:
            place = f"{above}/{name.decode(errors='backslashreplace')}"
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                yield place, f"is a link to {_link(group, name)}; {_EXPECTED}"
                continue
            found = h5py.h5o.open(group, name)
            info = h5py.h5o.get_info(found)
            if info.addr in seen:
                continue
            seen.add(info.addr)
            if info.type == h5py.h5o.TYPE_GROUP:
                pending.append((place, found))
            elif info.type == h5py.h5o.TYPE_DATASET:
                reason = _refuse_dataset(h5py.Dataset(found))
                if reason is not None:
                    yield place, reason


def _link(group: h5py.h5g.GroupID, name: bytes) -> str:
    try:
        target = group.links.get_val(name)
    except (TypeError, ValueError, OSError):  # a user-defined kind of link
        return "a place that only other programs know"
    parts = target if isinstance(target, tuple) else (target,)
    names = [
        part.decode(errors="backslashreplace") for part in reversed(parts)
    ]
    return " in ".join(map(repr, names))


def _refuse_dataset(dataset: h5py.Dataset) -> str | None:
    if dataset.external:
        files = ", ".join(repr(str(name)) for name, *_ in dataset.external)
        return f"keeps its values in {files}; {_EXPECTED}"
    if dataset.is_virtual:
        return f"is a view of other data sets; {_EXPECTED}"
    size = math.prod(dataset.shape or (0,)) * dataset.id.get_type().get_size()
    return budgets.refuse_size(size, dataset.id.get_storage_size())
