"""Prints the outcomes of a sweep: each failure at once, and the releases in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from smdecl.pipeline.sweeping.variants import Announce, Variant


class Announcing:
    """Prints the outcomes of variants that run in threads.

    Args:
        pending: The variants, in order. Each is removed when it is done.
        announce: Prints an outcome.
        record: Gets the outcomes as soon as they are known, before they are printed.
    """

    def __init__(
        self,
        pending: list[Future[Variant]],
        announce: Announce,
        record: Callable[[Sequence[Variant]], None],
    ) -> None:
        self._pending = pending
        self._announce = announce
        self._record = record
        self._printed: set[Future[Variant]] = set()

    def outcomes(self) -> Iterator[Variant]:
        """Waits for all variants, and yields each in order after it is printed."""
        waiting = set(self._pending)
        while self._pending:
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            self._record(
                [each.result() for each in ended if each.exception() is None]
            )
            for future in self._pending:
                if future not in waiting and _has_failed(future):
                    self._print_once(future)
            while self._pending and self._pending[0] not in waiting:
                self._print_once(self._pending[0])
                yield self._pending[0].result()
                del self._pending[0]

    def rest(self) -> Iterator[Variant]:
        """Yields the variants that had ended when an exception ended the others."""
        for future in self._pending:
            if not future.cancelled() and future.exception() is None:
                self._print_once(future)
                yield future.result()

    def _print_once(self, future: Future[Variant]) -> None:
        if future not in self._printed:
            self._announce(future.result())
            self._printed.add(future)


def _has_failed(future: Future[Variant]) -> bool:
    return future.exception() is None and future.result().exit_code != 0
