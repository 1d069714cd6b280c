"""Resumes a sweep: finds the variants that an earlier run has published, which need not run again.

A variant need not run if its config and its base path are those of the earlier run, and its release
is still there. The code and the files that a config names are not compared.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from smdecl import files, progress, schema
from smdecl.config.settings import Composition
from smdecl.errors import UsageError
from smdecl.pipeline import unchanged
from smdecl.pipeline.publishing import Review
from smdecl.pipeline.sweeping import variants
from smdecl.pipeline.sweeping.variants import Request, Variant
from smdecl.release import presence

_LARGEST = 1 << 28  # bytes
_EXPECTED = "expected the sweep.json of an earlier run"
_PUBLISHED = "published"
_NEW = "new"
_CHANGED = "changed"

Entry: TypeAlias = Mapping[str, Any]
"""A variant of an earlier run in `sweep.json`."""


@dataclass(frozen=True)
class Target:
    """What a variant exports, and where to.

    Attributes:
        config: The digest of its config.
        base: The base path of its releases.
    """

    config: str
    base: str

    @classmethod
    def of(cls, composition: Composition, subdirectory: str) -> Target:
        """Returns the target of a variant.

        Args:
            composition: Its config.
            subdirectory: Its directory below its export_dir.
        """
        # Without values from the environment, which may be secrets.
        text = json.dumps(composition.recorded, default=repr)
        digest = hashlib.sha256(text.encode()).hexdigest()
        export_dir = str(composition.values.get("export_dir"))
        return cls(digest, f"{export_dir}/{subdirectory}")


@dataclass
class _Earlier:
    """The variants of an earlier run.

    Attributes:
        by_overrides: The variants with the same overrides, in any order.
        by_config: The published variants with the same digest of the config.
    """

    by_overrides: dict[tuple[str, ...], list[Entry]] = field(
        default_factory=lambda: defaultdict(list)
    )
    by_config: dict[str, list[Entry]] = field(
        default_factory=lambda: defaultdict(list)
    )

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> _Earlier:
        earlier = cls()
        for entry in entries:
            earlier.by_overrides[_set_of(entry["overrides"])].append(entry)
            if entry["state"] == _PUBLISHED and entry["config"] is not None:
                earlier.by_config[entry["config"]].append(entry)
        return earlier

    def find(
        self, overrides: Sequence[str], target: Target | None
    ) -> Entry | None:
        """Returns the variant that exports the same; else one with the same overrides, or None."""
        if target is not None:
            for entry in self.by_config.get(target.config, ()):
                if _is_in(entry["path"], target.base):
                    return entry
        same = self.by_overrides.get(_set_of(overrides), [])
        for entry in same:
            # Hydra applies overrides in their order, which decides if a key occurs twice.
            if entry["overrides"] == list(overrides):
                return entry
        return same[0] if same else None


def _set_of(overrides: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(overrides))


def review_of(request: Request) -> Review:
    """Returns how a sweep reviews its releases.

    A sweep that was killed may have published a variant and not recorded it. So a resumed one
    publishes no release that only repeats the newest one.
    """
    if request.resume is None:
        return unchanged.as_configured
    return unchanged.published


def _read(path: Path) -> _Earlier:
    """Returns the variants in a `sweep.json`.

    Raises:
        UsageError: If the file cannot be read, or is not such a record.
    """
    try:
        text = files.read_regular(path, _LARGEST).decode()
        entries = json.loads(text)
    except OSError as error:
        raise _unusable(path, str(error.strerror)) from error
    except (ValueError, RecursionError) as error:
        raise _unusable(path, "invalid JSON") from error
    is_record = isinstance(entries, list) and all(
        schema.fits("sweep", entry) for entry in entries
    )
    if not is_record:
        reason = "not the record of a sweep of this version of smdecl"
        raise _unusable(path, reason)
    return _Earlier.of(entries)


def _unusable(path: Path, reason: str) -> UsageError:
    return UsageError(f"cannot resume {str(path)!r}: {reason}; {_EXPECTED}")


@dataclass(frozen=True)
class Resumed:
    """What remains of a sweep after an earlier run.

    Attributes:
        skipped: Number to outcome of each variant that need not run.
        remarks: What to tell the user about them and the others.
    """

    skipped: Mapping[int, Variant]
    remarks: Sequence[str]


def resume(
    path: Path | None,
    swept: Sequence[Sequence[str]],
    targets: Sequence[Target | None],
) -> Resumed:
    """Decides which variants need not run.

    Args:
        path: The `sweep.json` of the earlier run; None if there was none.
        swept: The overrides of each variant.
        targets: What each variant exports, and where to; None if it cannot be composed.

    Raises:
        UsageError: If the file cannot be read, or is not such a record.
    """
    if path is None:
        return Resumed({}, ())
    earlier = _read(path)
    skipped: dict[int, Variant] = {}
    remarks: list[str] = []
    left: Counter[str] = Counter()
    common = progress.shared(swept)
    for number, overrides in enumerate(swept):
        entry = earlier.find(overrides, targets[number])
        state = _NEW if entry is None else entry["state"]
        if entry is None or state != _PUBLISHED:
            left[state] += 1
            continue
        change = _change(entry, targets[number])
        if change is None:
            skipped[number] = _skipped(entry, number, overrides)
            continue
        left[_CHANGED] += 1
        own = [each for each in overrides if each not in common]
        remarks.append(f"{' '.join(own)} runs again: {change}")
    remarks.append(_counts(len(skipped), left))
    return Resumed(skipped, remarks)


def _counts(skipped: int, left: Counter[str]) -> str:
    total = skipped + left.total()
    text = f"{skipped} of {total} variants are published already and skipped"
    if not left:
        return text
    counts = [f"{count} {state}" for state, count in left.items()]
    return f"{text}; runs {', '.join(counts)}"


def _change(entry: Entry, target: Target | None) -> str | None:
    """Returns what has changed about a published variant; None if nothing has."""
    if target is None or entry["config"] != target.config:
        return "its config has changed"
    path = entry["path"]
    if not _is_in(path, target.base):
        return f"{path}: not in {target.base}"
    return presence.refuse(presence.at(path), entry["digest"])


def _is_in(path: str, base: str) -> bool:
    """Returns whether a release is in a base path: a version, or the base path itself."""
    release, parent = map(_parts, (path, base))
    return parent in (release, release[:-1])


def _parts(path: str) -> list[str]:
    """Returns the parts of a path or URL. A store may return a URL with more slashes."""
    is_absolute = path.startswith("/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ["/", *parts] if is_absolute else parts


def _skipped(entry: Entry, number: int, overrides: Sequence[str]) -> Variant:
    names = Variant.__dataclass_fields__
    # An earlier version of smdecl may have written the entry, with fewer keys.
    values = {name: entry[name] for name in names if name in entry}
    return replace(
        variants.of_record(values),
        number=number,
        overrides=tuple(overrides),
        skipped=True,
        unchanged=False,
    )
