"""`sweep.json`: every variant of a sweep with its outcome, also if the sweep was ended before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from smdecl.pipeline import variants
from smdecl.pipeline.variants import Variant

NAME = "sweep.json"
_NO_OUTCOME: Mapping[str, object] = {
    "state": "unfinished",
    "exit_code": None,
    "path": None,
    "digest": None,
    "errors": [],
    "seconds": None,
    "warnings": [],
    "traceback": "",
}


def write(
    directory: Path,
    swept: Sequence[Sequence[str]],
    results: Sequence[Variant],
) -> None:
    """Writes the outcomes of a sweep; variants without one are unfinished.

    Args:
        directory: The directory of the records of the sweep.
        swept: The overrides of each variant.
        results: The outcomes until now.

    Raises:
        PublishError: If it cannot be written.
    """
    entries = {}
    for number, overrides in enumerate(swept):
        entries[number] = _unfinished(number, overrides)
    for variant in results:
        entries[variant.number] = _ended(variant)
    numbers = sorted(entries)
    records = [entries[number] for number in numbers]
    variants.write(directory / NAME, records)


def _unfinished(number: int, overrides: Sequence[str]) -> Mapping[str, object]:
    return {"number": number, "overrides": list(overrides), **_NO_OUTCOME}


def _ended(variant: Variant) -> Mapping[str, object]:
    state = "published" if variant.exit_code == 0 else "failed"
    return {**asdict(variant), "state": state}
