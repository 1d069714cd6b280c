"""Processes that each verify many variants of a sweep in turn.

The first load in a process takes five times as long as the next ones. So variants share processes
if they are small, and if nothing of one affects the load of the next. If a shared process ends or
finds a failure, the caller verifies that variant again in a fresh process.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from smdecl.config.settings import Signature, Verify
from smdecl.errors import SmdeclError, VerificationError
from smdecl.isolation.confine import Confinement
from smdecl.isolation.processes import Running
from smdecl.pipeline import worker
from smdecl.pipeline.children import children
from smdecl.pipeline.records import Replayed

_MOST_LOADS = 50  # of a process; each leaves some memory behind


@dataclass
class _Process:
    """A process, which ends with the stack.

    Attributes:
        root: The directory that it may read.
        running: The process.
        stack: Ends it when closed.
        loads: How many SavedModels it has loaded.
    """

    root: Path
    running: Running[Replayed | None]
    stack: ExitStack
    loads: int = 0


@dataclass(frozen=True)
class Share:
    """The shared processes, for one variant.

    Attributes:
        begin: Starts a process for the SavedModel in a directory, unless one is free.
        verify: Verifies the SavedModel in a directory, given the signatures as they are declared
            and the options. Returns None if it must be verified in a separate process.
    """

    begin: Callable[[Path], None]
    verify: Callable[[Path, Mapping[str, Signature], Verify], Replayed | None]


class SharedLoaders:
    """The processes of one sweep; `close` ends them.

    There are never more of them than threads that verify.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._resting: list[_Process] = []
        self._is_open = True
        self._is_beginning = False

    def share(self, root: Path) -> Share:
        """Returns the processes for the variants whose releases are below an export_dir."""
        return Share(
            functools.partial(self._begin, root),
            functools.partial(self._verify, root),
        )

    def _verify(
        self,
        root: Path,
        directory: Path,
        signatures: Mapping[str, Signature],
        options: Verify,
    ) -> Replayed | None:
        """Verifies a SavedModel without custom ops; see `Share`."""
        if not _may_share(root, directory):
            return None
        process = self._take(root)
        try:
            process.running.send(worker.task(directory, signatures, options))
            replayed = process.running.result()
        except SmdeclError:
            process.stack.close()
            return None
        except BaseException:
            process.stack.close()
            raise
        if replayed is not None and replayed.report.failures:
            process.stack.close()
            return None
        self._give_back(process)
        return replayed

    def _begin(self, root: Path, directory: Path) -> None:
        if not _may_share(root, directory):
            return
        with self._changing:
            if not self._is_open or self._resting or self._is_beginning:
                return
            self._is_beginning = True
        try:
            self._rest(_started(root))
        finally:
            self._is_beginning = False

    def close(self) -> None:
        """Ends the processes."""
        with self._changing:
            self._is_open = False
            resting, self._resting = self._resting, []
        for process in resting:
            process.stack.close()

    def _take(self, root: Path) -> _Process:
        with self._changing:
            # The last is one that may read the root, if there is any.
            self._resting.sort(key=lambda process: process.root == root)
            process = self._resting.pop() if self._resting else None
        if process is None:
            return _started(root)
        if process.root != root:
            process.stack.close()  # makes room for one that may read the root
            return _started(root)
        process.running.work()
        return process

    def _give_back(self, process: _Process) -> None:
        process.loads += 1
        self._rest(process)

    def _rest(self, process: _Process) -> None:
        process.running.rest()
        with self._changing:
            if self._is_open and process.loads < _MOST_LOADS:
                self._resting.append(process)
                return
        process.stack.close()


def _may_share(root: Path, directory: Path) -> bool:
    """Returns whether a process that may read all of an export_dir may load a SavedModel."""
    # A process that loads a SavedModel may not read the project.
    holds_project = Path.cwd().is_relative_to(root.resolve())
    return directory.is_relative_to(root) and not holds_project


def _started(root: Path) -> _Process:
    stack = ExitStack()
    process = children.running(
        worker.verify_in_turn,
        failure=VerificationError,
        doing="loading and running exports",
        confinement=Confinement((root,)),
        starts_processes=False,
    )
    running = stack.enter_context(process)
    # It has as many results as the generator yields.
    return _Process(root, cast("Running[Replayed | None]", running), stack)
