"""Trees of files, such as a directory of configs, in which every change matters."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from smdecl.errors import STAGE
from smdecl.savedmodel.base_path import version_of

# Directories without modules of the project, and the mark of a virtual environment.
_NOT_OURS = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
_ENVIRONMENT = "pyvenv.cfg"


@dataclass(frozen=True)
class Place:
    """A directory, distinct from any other that has the same path before or after it."""

    path: Path
    device: int
    inode: int

    @classmethod
    def find(cls, path: Path) -> Place | None:
        """Returns the directory that has a path now; None if none can be reached."""
        try:
            found = path.stat()
        except OSError:  # a file may have replaced a directory above it
            return None
        return cls(path, found.st_dev, found.st_ino)


@dataclass(frozen=True)
class Output:
    """What runs write into a directory.

    Attributes:
        root: The directory.
        is_whole: Whether it is all that is in it; otherwise the stages and versions of releases.
    """

    root: Path
    is_whole: bool = True

    def has(self, path: Path) -> bool:
        """Returns whether a path belongs to it."""
        if not path.is_relative_to(self.root):
            return False
        if self.is_whole:
            return True
        parts = path.relative_to(self.root).parts
        if parts and "=" in parts[0]:  # the directory of a variant of a sweep
            parts = parts[1:]
        first = "".join(parts[:1])
        return first.startswith(STAGE) or version_of(first) is not None


@dataclass(frozen=True)
class Tree:
    """Files below a directory.

    Attributes:
        root: The directory, without links in its path.
        suffixes: The suffixes of the files.
        outputs: What to leave out.
        link_places: Where links may lead to directories that are part of it.
    """

    root: Path
    suffixes: tuple[str, ...]
    outputs: tuple[Output, ...] = ()
    link_places: tuple[Path, ...] = ()

    def has(self, path: Path) -> bool:
        """Returns whether a path has the name and the place of a file of this tree."""
        return path.name.endswith(self.suffixes) and self.covers(path)

    def covers(self, path: Path) -> bool:
        """Returns whether a path is in this tree, and neither hidden nor left out."""
        if not path.is_relative_to(self.root):
            return False
        if any(output.has(path) for output in self.outputs):
            return False
        return not any(map(_is_skipped, path.relative_to(self.root).parts))

    def walk(self) -> Iterator[tuple[Path, list[os.DirEntry[str]]]]:
        """Yields each directory of this tree, with its own directories and files of this tree."""
        pending = [self.root]
        while pending:
            directory = pending.pop()
            entries = _entries(directory)
            if any(entry.name == _ENVIRONMENT for entry in entries):
                continue
            kept = list(filter(self._keeps, entries))
            yield directory, kept
            for entry in kept:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))

    def linked(self, entries: Iterable[os.DirEntry[str]]) -> Iterator[Tree]:
        """Yields the trees that links among some entries of this tree lead to."""
        for entry in filter(os.DirEntry.is_symlink, entries):
            root = Path(os.path.realpath(entry.path))
            is_allowed = any(map(root.is_relative_to, self.link_places))
            if is_allowed and entry.is_dir():
                yield replace(self, root=root)

    def _keeps(self, entry: os.DirEntry[str]) -> bool:
        is_named = entry.name.endswith(self.suffixes) or entry.is_dir()
        return is_named and self.covers(Path(entry.path))


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    """Returns what a directory has; nothing if it was removed, or cannot be read."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def is_installed(path: Path) -> bool:
    """Returns whether a package manager put a file in its place."""
    return not _NOT_OURS.isdisjoint(path.parts)


@dataclass(frozen=True)
class Walk:
    """What a walk through trees found.

    Attributes:
        trees: The trees, and those that links in them lead to.
        directories: All directories of these trees.
        holders: Those that have a file of a tree.
        linked: The files that links among them lead to.
    """

    trees: tuple[Tree, ...]
    directories: frozenset[Path]
    holders: frozenset[Path]
    linked: frozenset[Path]


def walk(trees: Collection[Tree]) -> Walk:
    """Walks trees, and those that links in them lead to."""
    pending = list(trees)
    found: list[Tree] = []
    directories: set[Path] = set()
    holders: set[Path] = set()
    linked: set[Path] = set()
    while pending:
        tree = pending.pop()
        if tree in found:
            continue
        found.append(tree)
        for directory, entries in tree.walk():
            if directory.is_dir():
                directories.add(directory)
            files = [entry for entry in entries if not entry.is_dir()]
            if files:
                holders.add(directory)
            links = filter(os.DirEntry.is_symlink, files)
            linked.update(Path(os.path.realpath(link.path)) for link in links)
            pending += tree.linked(entries)
    return Walk(
        tuple(found),
        frozenset(directories),
        frozenset(holders),
        frozenset(linked),
    )


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _NOT_OURS
