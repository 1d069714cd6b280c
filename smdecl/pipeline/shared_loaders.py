"""Processes that each verify many variants of a sweep in turn.

The first load in a process takes five times as long as the next ones. So variants share processes
if they are small, and if nothing of one affects the load of the next. A process that finds a
failure, or ends, does not count: then the caller verifies that variant in a process of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
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


@dataclass(frozen=True)
class _Process:
    """A process, which ends with the stack."""

    running: Running[Replayed | None]
    stack: ExitStack


class SharedLoaders:
    """The processes of one sweep; `close` ends them."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._resting: dict[Path, list[_Process]] = {}
        self._is_needed = True

    def verify(
        self,
        root: Path,
        directory: Path,
        signatures: Mapping[str, Signature],
        options: Verify,
    ) -> Replayed | None:
        """Verifies a SavedModel without custom ops.

        Args:
            root: The export_dir, with the directories of all variants.
            directory: The directory of the SavedModel, with its examples.
            signatures: The signatures as they are declared.
            options: The loaders to run, and the tolerances.

        Returns:
            What the loaders found; None if the SavedModel needs a process of its own.
        """
        if not directory.is_relative_to(root):
            return None
        process = self._take(root)
        if process is None:
            return None
        try:
            process.running.send(worker.task(directory, signatures, options))
            replayed = process.running.result()
        except SmdeclError:
            process.stack.close()
            return None
        except BaseException:
            process.stack.close()
            raise
        if replayed is None:
            self._is_needed = False  # the other variants are likely similar
        if replayed is None or replayed.report.failures:
            process.stack.close()
            return None
        self._give_back(root, process)
        return replayed

    def close(self) -> None:
        """Ends the processes."""
        with self._changing:
            self._is_needed = False
            resting = [*self._resting.values()]
            self._resting.clear()
        for processes in resting:
            for process in processes:
                process.stack.close()

    def _take(self, root: Path) -> _Process | None:
        with self._changing:
            if not self._is_needed:
                return None
            resting = self._resting.get(root)
            process = resting.pop() if resting else None
        if process is None:
            return _begin(root)
        process.running.work()
        return process

    def _give_back(self, root: Path, process: _Process) -> None:
        process.running.rest()
        with self._changing:
            if self._is_needed:
                self._resting.setdefault(root, []).append(process)
                return
        process.stack.close()


def _begin(root: Path) -> _Process:
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
    return _Process(cast("Running[Replayed | None]", running), stack)
