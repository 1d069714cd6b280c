"""Describes how a release that was made again differs: the causes first, then their effects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from smdecl.release import diff_manifest
from smdecl.savedmodel.records import Change

_FILES = "files"
# A new commit may leave the model's own code as it was.
_CAUSES = frozenset(diff_manifest.PARTS) - {"source"}
_MOST_NAMED = 5  # files


def lines(changes: Sequence[Change]) -> Iterator[str]:
    """Yields the lines for the changes between a release and the one that was made again.

    If nothing that a release is made from has changed, every change is a hint at the cause.
    """
    if not any(change.part in _CAUSES for change in changes):
        yield from map(str, changes)
        return
    for change in changes:
        if change.part in diff_manifest.PARTS:
            yield str(change)
    files = [change.where for change in changes if change.part == _FILES]
    if files:
        yield f"differs in {_count(len(files), _FILES)}: {_named(files)}"
    inside = Counter(change.part for change in _inside(changes))
    if inside:
        counts = [_count(count, part) for part, count in inside.items()]
        yield (
            f"the model differs in {', '.join(counts)};"
            " export it to a new export_dir, and smdecl diff shows each"
        )


def _inside(changes: Iterable[Change]) -> Iterator[Change]:
    for change in changes:
        if change.part not in (_FILES, *diff_manifest.PARTS):
            yield change


def _count(number: int, parts: str) -> str:
    return f"{number} {parts.removesuffix('s') if number == 1 else parts}"


def _named(files: Sequence[str]) -> str:
    more = len(files) - _MOST_NAMED
    names = ", ".join(files[:_MOST_NAMED])
    return f"{names} and {more} more" if more > 0 else names
