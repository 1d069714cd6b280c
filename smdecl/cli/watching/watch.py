"""`--watch`: runs a verb again whenever a file that it reads changes, and prints what that changed.

The process of the command line composes, and the server process holds TensorFlow. Both stay; the
modules of the project are imported in a fresh process each time.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Collection, Sequence
from itertools import filterfalse
from pathlib import Path
from typing import Any, NoReturn

from smdecl.cli.config_verbs import compose
from smdecl.cli.output import display, report
from smdecl.cli.watching import watch_places, watch_reports, watch_verbs
from smdecl.cli.watching.watch_events import Events
from smdecl.cli.watching.watch_pace import Pace
from smdecl.cli.watching.watch_places import Places
from smdecl.cli.watching.watch_reports import Outcome
from smdecl.config.project import Project, find_project, project_root
from smdecl.errors import SmdeclError, UsageError
from smdecl.pipeline.sweeping import variants

_SHOWN = 3  # changed files that are named


def watch(arguments: argparse.Namespace) -> NoReturn:
    """Runs a verb again and again, until a signal ends the process.

    Args:
        arguments: The parsed arguments of a verb that composes a config.

    Raises:
        UsageError: If files cannot be watched.
        PublishError: If a result cannot be printed.
    """
    _Loop(arguments).run()


class _Loop:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._here = Path.cwd()
        # Relative ones would follow the current directory if it is replaced.
        self._config_dirs = [
            str(self._here / directory) for directory in arguments.config_dir
        ]
        self._verb = watch_verbs.of(arguments.verb)
        self._project = _project(self._here, arguments.trust)
        self._values: dict[str, Any] = {}
        self._last: Outcome[Any] = Outcome(False, None, None, ())
        self._shown: Any = None
        self._events = Events()
        self._listings = Pace()
        # Whether directories have come or gone since they were listed.
        self._is_outdated = False
        self._places = self._find(self._project, self._values)
        self._changed: set[Path] = set()
        self._saved: dict[Path, tuple[int, ...]] = {}

    def run(self) -> NoReturn:
        """Runs, and runs again after each change."""
        self._run_once()
        report.note(["waiting for changes; Ctrl-C ends"])
        while True:
            self._note_changed(self._wait())
            self._run_once()

    def _run_once(self) -> None:
        before, now = self._last, self._attempt()
        watch_reports.problems(before, now)
        if now.error is None:
            self._verb.show(self._shown, now.result)
            self._shown = now.result
        self._last = now

    def _attempt(self) -> Outcome[Any]:
        """Runs the verb once."""
        is_composed = False
        try:
            self._enter()
            # Python does not see a module that was just added to a directory that it has listed.
            importlib.invalidate_caches()
            project = find_project(self._here, self._arguments.trust)
            with display.shown(self._arguments.verbose):
                composition = compose(self._arguments)
                is_composed = True
                # Watches the files that the config names before they are read.
                values = {**composition.values, "hydra": composition.hydra}
                self._follow(project, values)
                result = self._verb.run(composition, self._arguments.trust)
        except SmdeclError as error:
            return Outcome(is_composed, None, error, error.warnings)
        except Exception as error:  # a bug must not end the loop
            return Outcome(is_composed, None, variants.bug(error), ())
        return Outcome(is_composed, result, None, result.warnings)

    def _enter(self) -> None:
        """Enters the current directory again, which may have been replaced by one of its name."""
        try:
            os.chdir(self._here)
        except OSError as error:
            message = f"cannot enter {str(self._here)!r}: {error.strerror}"
            raise UsageError(message) from error

    def _wait(self) -> list[Path]:
        """Waits until files change that a run reads; returns them."""
        while not self._changed:
            known = self._places
            left = self._listings.left() if self._is_outdated else None
            paths = set(filterfalse(known.writes, self._events.wait(left)))
            directories = set(filter(self._is_directory, paths))
            if any(map(known.leads, directories)):
                self._is_outdated = True
            files = filter(known.reads, paths - directories)
            self._changed.update(filter(self._is_new, files))
            if self._is_outdated and self._listings.left() == 0:
                self._list(self._project, self._values)
        changed = sorted(self._changed)
        self._changed.clear()
        return changed

    def _is_directory(self, path: Path) -> bool:
        """Returns whether a path is, or was, that of a directory."""
        return path in self._places.directories or path.is_dir()

    def _is_new(self, file: Path) -> bool:
        """Returns whether a file has changed since its last event; some are reported twice."""
        before, now = self._saved.get(file), _saved(file)
        self._saved[file] = now
        return now != before

    def _follow(self, project: Project, values: dict[str, Any]) -> None:
        """Watches what a config reads."""
        if (project, values) != (self._project, self._values):
            self._list(project, values)

    def _list(self, project: Project, values: dict[str, Any]) -> None:
        """Lists the directories again, and keeps what was changed by those that came or went."""
        known, watched = self._places, self._events.watched
        with self._listings.measured():
            self._places = self._find(project, values)
        # Stored only after the search succeeded, because `_wait` searches the stored places again.
        self._project, self._values = project, values
        self._changed.update(filterfalse(Path.is_dir, known.holders))
        for place in self._events.watched - watched:
            # A file that was not read until now is read for the first time, and has not changed.
            self._changed.update(filter(known.reads, place.path.glob("*")))

    def _find(self, project: Project, values: dict[str, Any]) -> Places:
        """Watches what a config reads, and returns it."""
        places = watch_places.find(
            self._here, project, self._config_dirs, values
        )
        # What appeared in a directory before it was watched is found when it is listed again.
        self._is_outdated = self._events.watch(places.directories)
        return places

    def _note_changed(self, changed: Collection[Path]) -> None:
        names = [os.path.relpath(path, self._here) for path in changed]
        shown = ", ".join(names[:_SHOWN])
        more = len(names) - _SHOWN
        if more > 0:
            shown += f" and {more} more"
        report.note([f"changed: {shown}"])


def _saved(file: Path) -> tuple[int, ...]:
    """Returns the identity of a file, which each save changes; empty if the file does not exist."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _project(here: Path, trust: Sequence[str]) -> Project:
    """Returns the project, without its settings if they are invalid: a run reports that."""
    try:
        return find_project(here, trust)
    except SmdeclError:
        return Project(project_root(here))
