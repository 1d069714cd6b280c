"""Finds what in a file of Keras leads to other files: it may hold values of its own, and nothing else.

HDF5 can keep the values of a data set in any file, and can link to the objects of any file: to
restore from such weights is to read those files into the release.
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
from smdecl.checks.weights_formats import FORMATS, HDF5
from smdecl.config import trust
from smdecl.config.settings import ExportConfig
from smdecl.errors import ConfigError, KeyPath, Problem

if TYPE_CHECKING:
    import h5py

_SUFFIXES = (".h5", ".hdf5")
_EXPECTED = "expected values in the file itself; save the weights again with Keras"


def require_own_values(config: ExportConfig) -> None:
    """Refuses files of Keras that lead to other files, before anything is built or restored.

    HDF5's own library reads them: call it where the kernel confines the process, if it does.

    Raises:
        ConfigError: With every object that leads out, or a file that cannot be read.
    """
    problems: list[Problem] = []
    for path, name in _files(config):
        try:
            problems += [Problem(path, reason) for reason in refuse_objects(Path(name))]
        except (
            Exception
        ) as error:  # what a broken file makes h5py raise is of many types
            told = f"{type(error).__name__}: {error}"
            raise ConfigError(
                Problem(path, f"{name!r} cannot be read: {told}")
            ) from error
    if problems:
        raise ConfigError(problems)


def _files(config: ExportConfig) -> Iterator[tuple[KeyPath, str]]:
    weights = config.weights
    if weights is not None and FORMATS[weights.format].is_keras:
        yield ("weights", "path"), weights.path
    yield from trust.model_files({"model": config.model})


def refuse_members(path: Path) -> Iterator[str]:
    """Yields what is wrong with the members of a zip archive, by their names and sizes alone.

    Nothing else is: a file that is none, or is damaged, gets no reason here.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            large = list(
                budgets.refuse_archive(archive, str(path), path.stat().st_size)
            )
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return
    seen: set[str] = set()
    for member in members:
        if reason := _refuse_member(member, member.filename in seen):
            yield f"the member {member.filename!r} of {str(path)!r} {reason}"
        seen.add(member.filename)
    yield from large


def _refuse_member(member: zipfile.ZipInfo, is_double: bool) -> str | None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        return "leads out of the archive; expected a relative name without '..'"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a symbolic link; expected a file"
    return "is there twice; expected each name once" if is_double else None


def refuse_objects(path: Path) -> Iterator[str]:
    """Yields the objects of an HDF5 file, or of those in a zip archive, that lead to other files."""
    if zipfile.is_zipfile(path):
        refused = list(refuse_members(path))
        yield from refused
        if not refused:
            yield from _refuse_packed(path)
    with path.open("rb") as file:  # which may be both
        yield from _refuse_hdf5(file, str(path))


def _refuse_packed(path: Path) -> Iterator[str]:
    """Yields the objects that lead to other files of the HDF5 files in a zip archive."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as packed:
                head = packed.read(len(HDF5))
                if head != HDF5 and not member.filename.endswith(_SUFFIXES):
                    continue
                # HDF5 reads back and forth, for which zipfile reads a member from its start each time.
                with tempfile.TemporaryFile() as file:
                    file.write(head)
                    shutil.copyfileobj(packed, file)
                    yield from _refuse_hdf5(file, f"{path}:{member.filename}")


def _refuse_hdf5(file: IO[bytes], name: str) -> Iterator[str]:
    import h5py

    try:
        opened = h5py.File(file, "r")
    except OSError:  # it is none: whatever restores from it says so
        return
    with opened:
        for place, reason in _refuse_links(opened):
            yield f"the object {place!r} of {name!r} {reason}"


def _refuse_links(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Yields place and reason of what leads out of a file; follows hard links alone, each object once."""
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
            elif info.type == h5py.h5o.TYPE_DATASET and (
                reason := _refuse_dataset(h5py.Dataset(found))
            ):
                yield place, reason


def _link(group: h5py.h5g.GroupID, name: bytes) -> str:
    try:
        target = group.links.get_val(name)
    except (TypeError, ValueError, OSError):  # a kind of link that a program registers
        return "what only another program can follow"
    parts = target if isinstance(target, tuple) else (target,)
    return " in ".join(
        repr(part.decode(errors="backslashreplace")) for part in reversed(parts)
    )


def _refuse_dataset(dataset: h5py.Dataset) -> str | None:
    if dataset.external:
        files = ", ".join(repr(str(name)) for name, *_ in dataset.external)
        return f"keeps its values in {files}; {_EXPECTED}"
    if dataset.is_virtual:
        return f"is a view of other data sets; {_EXPECTED}"
    size = math.prod(dataset.shape or (0,)) * dataset.id.get_type().get_size()
    return budgets.refuse_size(size, dataset.id.get_storage_size())
