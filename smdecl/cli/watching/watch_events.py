"""Waits for changes of files, in a thread, so that a signal interrupts the wait at once."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from smdecl.cli.watching.watch_trees import Place
from smdecl.errors import UsageError

# An editor saves a file in several steps, which count as one change if they are this close.
_QUIET = 30  # milliseconds
_LONGEST = 250  # milliseconds, for which a change waits for others
_LIMIT = "fs.inotify.max_user_watches"


class Events:
    """The changes in some directories, without those below them.

    Attributes:
        watched: The directories.

    Raises:
        UsageError: If watchfiles is not installed.
    """

    def __init__(self) -> None:
        try:
            import watchfiles  # noqa: F401
        except ModuleNotFoundError as error:
            raise UsageError(
                f"--watch needs watchfiles: {error}; pip install 'smdecl[watch]'"
            ) from error
        self._found: SimpleQueue[set[Path] | Exception] = SimpleQueue()
        self.watched: frozenset[Place] = frozenset()
        self._stop = _Stop()

    def watch(self, directories: Collection[Path]) -> bool:
        """Watches these directories instead of the earlier ones, without missing a change in both.

        Leaves out those that do not exist.

        Returns:
            Whether something may have been missed: directories are watched that were not until now,
            or do not exist.

        Raises:
            UsageError: If the system cannot watch that many.
        """
        while True:
            wanted = frozenset(filter(None, map(Place.find, directories)))
            if wanted == self.watched:
                return len(wanted) < len(set(directories))
            try:
                self._start(wanted)
            except FileNotFoundError:
                continue  # one was removed meanwhile
            return True

    def _start(self, wanted: frozenset[Place]) -> None:
        stop = _Stop()
        directories = sorted(place.path for place in wanted)
        thread = threading.Thread(
            target=self._listen, args=(directories, stop), daemon=True
        )
        thread.start()
        stop.asked.wait()
        if isinstance(stop.error, FileNotFoundError):
            raise stop.error
        if stop.error is not None:
            raise UsageError(
                f"cannot watch {len(wanted)} directories: {stop.error};"
                f" expected a higher limit {_LIMIT}"
            ) from stop.error
        self.close()
        self.watched, self._stop = wanted, stop

    def wait(self, seconds: float | None = None) -> set[Path]:
        """Waits for changes; returns the paths of everything that has changed since the last call.

        Args:
            seconds: The longest wait, after which nothing may have changed; None for no limit.

        Raises:
            UsageError: If the system stopped watching.
        """
        changed: set[Path] = set()
        while not changed or not self._found.empty():
            try:
                found = self._found.get(timeout=seconds)
            except Empty:
                break
            if isinstance(found, Exception):
                raise UsageError(f"cannot watch files: {found}") from found
            changed |= found
        return changed

    def close(self) -> None:
        """Stops watching, once the changes until now are reported."""
        self._stop.retire()

    def _listen(self, directories: Sequence[Path], stop: _Stop) -> None:
        from watchfiles import watch

        try:
            for changes in watch(
                *directories,
                watch_filter=None,
                debounce=_LONGEST,
                step=_QUIET,
                stop_event=stop,
                recursive=False,
                ignore_permission_denied=True,
            ):
                self._found.put({Path(path) for _, path in changes})
        except Exception as error:
            if stop.asked.is_set() and not stop.is_retired:
                self._found.put(error)
            stop.error = error
        finally:
            stop.asked.set()


class _Stop:
    """Tells a thread of watchfiles to end. It asks in each step, first when it is watching.

    It forgets the changes that it has not reported when it ends, so it gets time to report them.

    Attributes:
        is_retired: Whether the thread is about to end.
        asked: Set once it watches, or has failed.
        error: Why it failed.
    """

    def __init__(self) -> None:
        self.is_retired = False
        self.asked = threading.Event()
        self.error: Exception | None = None
        self._steps = _LONGEST // _QUIET + 3

    def retire(self) -> None:
        """Lets the thread end after some more steps."""
        self.is_retired = True

    def is_set(self) -> bool:
        """Returns whether the thread has to end now; called by watchfiles in each step."""
        self.asked.set()
        if self.is_retired:
            self._steps -= 1
        return self._steps < 0
