"""`--verbose`: prints each stage of a run as it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from smdecl import progress
from smdecl.cli.output import report
from smdecl.progress import Listener, Peak, Run

_MEBIBYTE = 1 << 20


class Stages(Listener):
    """Prints each stage with its seconds, as the record of a run has them.

    Args:
        cleared: Returns a context to print in.
    """

    def __init__(
        self, cleared: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._cleared = cleared
        self._shared: set[str] = set()

    def planned(self, swept: Sequence[Sequence[str]]) -> None:
        """Keeps what the variants share, which is not part of their names."""
        self._shared = progress.shared(swept)

    def took(self, run: Run, stage: str, seconds: float) -> None:
        """Prints a stage."""
        self._print(run, f"{stage} {seconds:.3f} s")

    def finished(self, run: Run, seconds: float, peak: Peak | None) -> None:
        """Prints the total, and the peak memory."""
        text = f"total {seconds:.3f} s"
        if peak is not None:
            memory = f"{peak.memory / _MEBIBYTE:,.0f} MiB"
            text = f"{text}, peak memory {memory} ({peak.process})"
        self._print(run, text)

    def _print(self, run: Run, text: str) -> None:
        own = [name for name in run.overrides if name not in self._shared]
        with self._cleared():
            report.note([text], " ".join(own))
