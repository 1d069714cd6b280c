"""Trees of files, such as a directory of configs, in which every change matters."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

# Directories without modules of the project, and the mark of a virtual environment.
_NOT_OURS = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
_ENVIRONMENT = "pyvenv.cfg"


@dataclass(frozen=True)
class Tree:
    """Files below a directory.

    Attributes:
        root: The directory, without links in its path.
        suffixes: The suffixes of the files.
        outputs: Directories below it to leave out.
    """

    root: Path
    suffixes: tuple[str, ...]
    outputs: tuple[Path, ...] = ()

    def has(self, path: Path) -> bool:
        """Returns whether a path has the name and the place of a file of this tree."""
        return path.name.endswith(self.suffixes) and self.covers(path)

    def covers(self, path: Path) -> bool:
        """Returns whether a path is in this tree, and neither hidden nor left out."""
        if not path.is_relative_to(self.root):
            return False
        if any(map(path.is_relative_to, self.outputs)):
            return False
        return not any(map(_is_skipped, path.relative_to(self.root).parts))

    def directories(self) -> Iterator[tuple[Path, list[Path]]]:
        """Yields each directory of this tree, with what is in it."""
        for name, directories, files in os.walk(self.root):
            place = Path(name)
            if _ENVIRONMENT in files:
                directories.clear()
                continue
            kept = [one for one in directories if self.covers(place / one)]
            directories[:] = kept
            yield place, [*map(place.joinpath, (*kept, *files))]


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
        linked: The files that links in them lead to.
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
    files: set[Path] = set()
    linked: set[Path] = set()
    while pending:
        tree = pending.pop()
        if tree in found:
            continue
        found.append(tree)
        for directory, paths in tree.directories():
            directories.add(directory)
            files.update(filter(tree.has, paths))
            for link in filter(Path.is_symlink, paths):
                real = Path(os.path.realpath(link))
                if real.is_dir():
                    pending.append(Tree(real, tree.suffixes, tree.outputs))
                elif tree.has(link):
                    linked.add(real)
    holders = frozenset(file.parent for file in files)
    return Walk(
        tuple(found), frozenset(directories), holders, frozenset(linked)
    )


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _NOT_OURS
