"""Collects the outcomes of a launcher's jobs, which write them into files, while they run."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from smdecl.pipeline.sweeping import variants
from smdecl.pipeline.sweeping.sweep_summary import Summary

_INTERVAL = 2.0  # seconds between two searches for new files


@contextlib.contextmanager
def recording(directory: Path, summary: Summary) -> Iterator[None]:
    """Records the outcome of each job soon after it has ended, while the block runs.

    Args:
        directory: The directory of the sweep.
        summary: Gets the outcomes. Nothing else may change it meanwhile.
    """
    ended = threading.Event()
    thread = threading.Thread(
        target=_record,
        args=(directory, summary, ended),
        name="smdecl-records",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _record(directory: Path, summary: Summary, ended: threading.Event) -> None:
    # The main thread, which handles signals, may wait for the launcher.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    known: set[Path] = set()
    while not ended.wait(_INTERVAL):
        # Whether a file can be read shows at the end of the sweep.
        with contextlib.suppress(OSError, ValueError, TypeError):
            new = set(variants.records(directory)) - known
            if new:
                summary.record(map(variants.load, sorted(new)))
                known |= new
