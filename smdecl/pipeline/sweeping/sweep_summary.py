"""`sweep.json`: every variant of a sweep with its outcome, also while the sweep runs."""

from __future__ import annotations

import contextlib
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from smdecl.errors import PublishError
from smdecl.pipeline.sweeping import variants
from smdecl.pipeline.sweeping.variants import Variant

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
    "skipped": False,
    "unchanged": False,
}


class Summary:
    """The outcomes of a sweep, and the file that lists them; variants without one are unfinished.

    Args:
        directory: The directory of the records of the sweep.
        swept: The overrides of each variant.
        configs: The digest of the config of each variant; None if it is unknown.

    Attributes:
        file: The file.
    """

    def __init__(
        self,
        directory: Path,
        swept: Sequence[Sequence[str]],
        configs: Sequence[str | None],
    ) -> None:
        self.file = directory / NAME
        self._configs = configs
        self._ended: dict[int, Variant] = {}
        # As JSON, because the file is written again after each outcome.
        self._entries: dict[int, str] = {}
        for number, overrides in enumerate(swept):
            entry = {"number": number, "overrides": list(overrides)}
            self._set({**entry, **_NO_OUTCOME}, number)

    @property
    def outcomes(self) -> list[Variant]:
        """The variants that have ended, in order."""
        return [self._ended[number] for number in sorted(self._ended)]

    def add(self, variant: Variant) -> None:
        """Adds an outcome, or replaces it; does not write the file."""
        entry = {**asdict(variant), "state": _state(variant)}
        self._ended[variant.number] = variant
        self._set(entry, variant.number)

    def _set(self, entry: Mapping[str, object], number: int) -> None:
        complete = {**entry, "config": self._config(number)}
        self._entries[number] = _as_json(complete)

    def _config(self, number: int) -> str | None:
        """Returns the digest of a config; None for a variant that a sweeper has added."""
        return self._configs[number] if number < len(self._configs) else None

    def record(self, ended: Iterable[Variant]) -> None:
        """Adds outcomes and writes the file; the last `write` shows whether that fails."""
        for variant in ended:
            self.add(variant)
        with contextlib.suppress(PublishError):
            self.write()

    def write(self) -> None:
        """Writes the file.

        Raises:
            PublishError: If it cannot be written.
        """
        entries = [self._entries[number] for number in sorted(self._entries)]
        listed = ",\n".join(entries)
        variants.write_text(self.file, f"[\n{listed}\n]\n")

    def counts(self) -> str:
        """Returns how many variants are published, have failed and are unfinished."""
        states = [_state(variant) for variant in self._ended.values()]
        published = states.count("published")
        failed = states.count("failed")
        unfinished = len(self._entries) - len(states)
        return (
            f"{published} published, {failed} failed, {unfinished} unfinished"
        )


def _as_json(entry: Mapping[str, object]) -> str:
    return textwrap.indent(json.dumps(entry, indent=2), "  ")


def _state(variant: Variant) -> str:
    return "published" if variant.exit_code == 0 else "failed"
