"""Runs functions in pristine processes, on one import of TensorFlow.

A server process imports TensorFlow and never touches its runtime. Each function runs in a child
forked from the server, so all children start from the same state and none affects the next.
"""

from __future__ import annotations

import errno
import multiprocessing.process
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Generic, TypeVar

from smdecl import scratch
from smdecl.errors import Problem, SmdeclError, UsageError
from smdecl.isolation import calls, child, environment, exit_status, groups
from smdecl.isolation.calls import (
    Activity,
    Call,
    Conversation,
    EndedError,
)
from smdecl.isolation.child import Task
from smdecl.isolation.confine import Confinement
from smdecl.isolation.environment import INSIDE, PINNED
from smdecl.isolation.groups import Group
from smdecl.isolation.lines import standard_error
from smdecl.isolation.reports import ReportHandler
from smdecl.isolation.server import Child, Server, ensure_tracker

Result = TypeVar("Result")

# `multiprocessing` keeps one set of children for the whole program, and every start reads it.
_children = threading.Lock()
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
_PATIENCE = 0.5  # seconds; a start holds the lock for a hundredth of that


@dataclass(frozen=True)
class Running(Generic[Result]):
    """A process that runs a function.

    Attributes:
        result: Waits for the result and returns it; see `Processes.run`. A generator has several
            results, one for each call.
        send: Sends a message, which the function gets by `reports.listen`.
        rest: Tells that the process needs no core until `work`.
        work: Tells that the process works for the calling thread from now on.
    """

    result: Callable[[], Result]
    send: Callable[[str], None]
    rest: Callable[[], None]
    work: Callable[[], None]


class Processes:
    """Processes that are forked from one server.

    The server starts with the first call, and ends with this process or by `stop`.

    Args:
        preload: Names of the modules that the server imports before its first fork.
        results: Names of the modules whose records and errors a function may return.
    """

    def __init__(self, preload: Sequence[str], results: Sequence[str]) -> None:
        self._preload = tuple(preload)
        self._results = tuple(results)
        self._server = Server(self._preload, PINNED)
        self._ungrouped = Group()

    def start(self) -> None:
        """Starts the server, and returns while it imports its modules.

        Raises:
            UsageError: If smdecl started this process, or no server can be started.
        """
        _require_outside()
        # Not for each child, because it wakes the tracker up.
        if not self._server.is_running():
            # Before interrupts are blocked, because it unblocks them.
            ensure_tracker()
        with _children, _no_interrupts():
            groups.require_wanted()
            environment.require_scratch()
            try:
                self._server.ensure_running()
            except OSError as error:
                # The path of the server's socket is below TMPDIR, and may have some 100 bytes.
                place = repr(tempfile.gettempdir())
                message = (
                    f"no server process can be started in {place}: {error}"
                )
                raise UsageError(
                    f"{message}; expected a TMPDIR with a shorter path"
                ) from error

    def stop(self) -> None:
        """Kills the server, even in the middle of an import, and returns at once."""
        self._server.kill()

    def leave(self) -> None:
        """Does what `multiprocessing` does at exit, for a program that a signal is about to end."""
        self.stop()
        current = multiprocessing.process.current_process()
        place = current._config.get("tempdir")  # type: ignore[attr-defined]
        if place is not None:
            scratch.remove(Path(place))

    @contextmanager
    def apart(self) -> Iterator[Processes]:
        """Yields processes that are forked from a separate server, which ends with the block.

        Two children of one server have the same addresses in memory; these have others.
        """
        processes = Processes(self._preload, self._results)
        try:
            yield processes
        finally:
            processes._server.stop()

    def abandon(self, group: Group) -> None:
        """Kills the processes of a group.

        Every thread of the group gets an AbandonedError, and so does each later call in it.
        """
        group.is_abandoned = True
        if not _children.acquire(timeout=_PATIENCE):
            # A start waits for the imports of the server, so no child of it runs yet.
            self.stop()
            _children.acquire()
        for process in group.running:
            _kill(process)
        _children.release()

    def idle_cores(self) -> int:
        """Returns the number of cores that this thread's group leaves to this thread."""
        group = self._group()
        if group.is_frugal:
            return 0
        return len(os.sched_getaffinity(0)) - group.busy()

    def run(
        self,
        function: Callable[..., Result],
        /,
        *args: object,
        failure: type[SmdeclError],
        doing: str,
        confinement: Confinement | None = None,
        handler: ReportHandler | None = None,
        starts_processes: bool = True,
    ) -> Result:
        """Runs `function(*args)` in a pristine process and returns its result.

        Args:
            function: Importable by its name. Its arguments and its result can be pickled, and the
                result must match the annotation.
            args: Arguments of the function.
            failure: The error to raise if the process ends without a result.
            doing: What the process does, for the text of that error.
            confinement: What the kernel lets the process touch, if it can confine; None for all
                that this process may.
            handler: What to do with the reports of the function, in this thread.
            starts_processes: Whether the function may start processes, which end with it.

        Raises:
            SmdeclError: What the function raises, or `failure`.
            UsageError: If smdecl started this process.
            AbandonedError: If the group of this thread was abandoned.
        """
        with self.running(
            function,
            *args,
            failure=failure,
            doing=doing,
            confinement=confinement,
            handler=handler,
            starts_processes=starts_processes,
        ) as running:
            return running.result()

    @contextmanager
    def running(
        self,
        function: Callable[..., Result],
        /,
        *args: object,
        failure: type[SmdeclError],
        doing: str,
        confinement: Confinement | None = None,
        handler: ReportHandler | None = None,
        starts_processes: bool = True,
    ) -> Iterator[Running[Result]]:
        """Starts `function(*args)`, and yields it as it runs; see `run`.

        Leaving the block kills the process if it still runs.
        """
        self.start()
        # The child has no chance to remove its temporary files.
        place = scratch.make()
        declared = None if confinement is None else confinement.environment
        variables = environment.of_child(place, declared)
        task = Task(function, args, variables, confinement, starts_processes)
        call = Call(task, failure, doing, handler or ReportHandler())
        try:
            with (
                standard_error() as stderr,
                self._started(call, stderr) as running,
            ):
                yield running
        finally:
            scratch.remove(place)

    @contextmanager
    def _started(
        self, call: Call, stderr: Connection
    ) -> Iterator[Running[Any]]:
        receiver, sender = Pipe(duplex=False)
        waiter, go = Pipe(duplex=False)
        process = Child(
            self._server, child.run, (sender, waiter, stderr, call.task)
        )
        try:
            with _children:
                self._start_child(process, call)
            for ours in (sender, waiter, stderr):
                ours.close()
            go.send(None)
            conversation = Conversation(
                receiver, go, process.sentinel, call, self._results
            )

            def result() -> Any:
                received = self._receive(conversation, process)
                if process.is_lost():
                    self._server.await_end()
                if isinstance(received, SmdeclError):
                    raise received
                return received

            def send(message: str) -> None:
                calls.send(go, message)

            yield Running(result, send, process.rest, process.work)
        finally:
            # A child that has not begun ends by itself if this end of its pipe is closed.
            for connection in (sender, waiter, stderr, receiver, go):
                connection.close()
            self._end(process)

    def _start_child(self, process: Child, call: Call) -> None:
        groups.require_wanted()
        try:
            with _no_interrupts():
                process.start()
        except (EOFError, OSError) as error:
            groups.require_wanted()
            if isinstance(error, OSError) and error.errno in _TOO_MANY_FILES:
                raise
            self._server.kill()
            # Until its end it counts as running, and the next start would fail as well.
            self._server.await_end()
            reason = f"{type(error).__name__}: {error}"
            message = (
                f"the process that imports TensorFlow has ended: {reason}"
            )
            hint = "the system kills processes when memory runs out"
            raise call.failure(Problem((), f"{message}; {hint}")) from error
        self._group().running.add(process)

    def _receive(self, conversation: Conversation, process: Child) -> Any:
        """Waits for the outcome of a child; returns the result or an error."""
        call = conversation.call
        try:
            return conversation.receive()
        except EndedError as error:
            activity = error.activity
        groups.require_wanted()
        with _children:
            process.join()
        if process.is_lost():
            return call.failed(
                f"the process that was {call.doing} was ended from outside,"
                " with the server it came from"
            )
        was = "was to begin" if activity is None else "was"
        activity = activity or Activity()
        ending = exit_status.describe(
            process.exitcode or 0, str(activity), activity.peak
        )
        message = f"the process that {was} {call.doing} {ending}"
        return call.failed(message, activity.key)

    def _end(self, process: Child) -> None:
        if process.pid is None:  # it was never started
            return
        with _children:
            self._group().running.discard(process)
            _kill(process)
            process.join()
            process.close()

    def _group(self) -> Group:
        return groups.current() or self._ungrouped


def _require_outside() -> None:
    """Refuses endless recursion: a script that defines a model and exports it when imported.

    Raises:
        UsageError: If this process, or an ancestor of it, is a child that smdecl started.
    """
    if INSIDE in os.environ:
        raise UsageError(
            "smdecl was called by the code of a model while it imports or builds that model; in a"
            " script that defines the model too, put the call below"
            ' `if __name__ == "__main__":`'
        )


@contextmanager
def _no_interrupts() -> Iterator[None]:
    # A new process inherits what is blocked. A signal that arrives meanwhile is delivered at the
    # end of the block.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(process: Child) -> None:
    """Kills a child and all processes that the model's code started in it.

    If there can be such processes, the child is a keeper, which kills them and ends after them.
    """
    if process.pid is not None:
        process.terminate()
