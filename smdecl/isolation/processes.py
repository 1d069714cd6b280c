"""Runs functions in pristine processes, on one import of TensorFlow.

A server process imports TensorFlow and never touches its runtime; each function runs in a child forked from it, so that
nothing of one leaks into the next and all begin alike.
"""

from __future__ import annotations

import errno
import gc
import multiprocessing.forkserver
import multiprocessing.process
import multiprocessing.resource_tracker
import os
import pickle
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any, TypeVar

from smdecl import scratch
from smdecl.errors import InternalError, Problem, PublishError, SmdeclError, UsageError
from smdecl.isolation import (
    confine,
    confinement_errors,
    descendants,
    environment,
    results,
)
from smdecl.isolation.confine import Confinement
from smdecl.isolation.environment import INSIDE, PINNED
from smdecl.isolation.groups import Group, current, require_wanted
from smdecl.isolation.results import ResultError
from smdecl.isolation.server import Child, Server, ensure_tracker

Result = TypeVar("Result")

# The standard library's book of children is the whole process's: each start looks after all of them.
_children = threading.Lock()
_PATIENCE = 0.5  # seconds; other starts take a hundredth
# A child lives for seconds, and little of what it makes is garbage: it collects a hundredth as
# often as Python would, which still bounds the memory of a long build.
_GARBAGE = (50_000, 10, 10)


def _make_server() -> Server:
    return Server(["smdecl.pipeline.preload"], PINNED)


_server = _make_server()


def start() -> None:
    """Begins to import TensorFlow in the server process and returns at once.

    Raises:
        UsageError: If this process is itself one that smdecl started, or no server can be started.
    """
    _require_outside()
    _start(_server)


def _start(server: Server) -> None:
    ensure_tracker()  # before, for it would unblock the interrupt again
    with _children, _no_interrupts():
        require_wanted()
        _require_scratch()
        try:
            server.ensure_running()
        except OSError as error:
            # Its socket lies in TMPDIR, and a socket's path has room for some 100 bytes.
            message = f"no server process can be started in {tempfile.gettempdir()!r}: {error}"
            raise UsageError(
                f"{message}; takes a TMPDIR with a shorter path"
            ) from error


def _require_outside() -> None:
    """Refuses what would start itself anew without end: a script whose own import exports what the script defines.

    Raises:
        UsageError: If this process, or one that it descends from, is a child that smdecl started.
    """
    if INSIDE in os.environ:
        raise UsageError(
            "smdecl was called by the code of a model while it imports or builds that model; in a script that defines"
            ' the model too, put the call below `if __name__ == "__main__":`'
        )


def _require_scratch() -> None:
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise PublishError(
            f"no temporary file can be written: {error}; takes a TMPDIR that has room"
        ) from error


def stop() -> None:
    """Ends the server process, without waiting for an import that it is in the middle of."""
    _server.kill()


def leave() -> None:
    """Ends the server process of a program that a signal ends, and removes the directory that its socket is in.

    What multiprocessing would do at exit is not done then.
    """
    stop()
    place = multiprocessing.process.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    if place is not None:
        scratch.remove(Path(place))


def abandon(group: Group) -> None:
    """Kills what the threads of a group run: each gets an AbandonedError, as does one that begins anew."""
    group.is_abandoned = True
    if not _children.acquire(timeout=_PATIENCE):
        stop()  # a start waits for the server, which imports TensorFlow, and none is running yet
        _children.acquire()
    for process in group.running:
        _kill(process)
    _children.release()


def run(
    function: Callable[..., Result],
    /,
    *args: Any,
    failure: type[SmdeclError],
    doing: str,
    fresh: bool = False,
    confinement: Confinement | None = None,
) -> Result:
    """Runs `function(*args)` in a pristine process and returns what it returns.

    Args:
        function: Importable by its name; what it takes and returns can be pickled. What it returns must be what its
            annotation says.
        args: Of the function.
        failure: What to raise where the process dies without a word.
        doing: What the process was doing, for that error's text.
        fresh: Whether to start a server for this process alone. Two forks of one server have the same addresses in
            memory.
        confinement: What the kernel lets the process touch, where it can confine; None is whatever this one may.

    Raises:
        SmdeclError: What the function raised, or `failure`.
        UsageError: If this process is itself one that smdecl started.
        AbandonedError: If the group of this thread was abandoned.
    """
    with running(
        function,
        *args,
        failure=failure,
        doing=doing,
        fresh=fresh,
        confinement=confinement,
    ) as result:
        return result()


@contextmanager
def running(
    function: Callable[..., Result],
    /,
    *args: Any,
    failure: type[SmdeclError],
    doing: str,
    fresh: bool = False,
    confinement: Confinement | None = None,
) -> Iterator[Callable[[], Result]]:
    """Starts what `run` runs, and yields a function that waits for its result and returns or raises it.

    Leaving the block kills the process if it still runs.
    """
    with _server_for(fresh) as server:
        task = _Task(function, args, {}, confinement)
        with _started(server, task, failure, doing) as outcome:

            def result() -> Result:
                got = outcome()
                if isinstance(got, SmdeclError):
                    raise got
                return got  # type: ignore[no-any-return]

            yield result


def idle_cores() -> int:
    """Returns how many cores run none of the processes that this thread's group has started."""
    return len(os.sched_getaffinity(0)) - len(current().running)


@contextmanager
def _server_for(fresh: bool) -> Iterator[Server]:
    _require_outside()
    server = _make_server() if fresh else _server
    _start(server)
    try:
        yield server
    finally:
        if fresh:
            server.stop()


@contextmanager
def _started(
    server: Server, task: _Task, failure: type[SmdeclError], doing: str
) -> Iterator[Callable[[], Any]]:
    receiver, sender = Pipe(duplex=False)
    waiter, go = Pipe(duplex=False)
    # A connection is how multiprocessing passes a file descriptor; the server's own may be another one by now.
    stderr = Connection(os.dup(2), readable=False)
    # AutoGraph and the model's own code may leave temporary files: a child ends without a chance to remove them.
    place = scratch.make()
    process = Child(
        server,
        _child,
        (sender, waiter, stderr, replace(task, environment=_environment(task, place))),
    )
    try:
        with _children:
            _start_process(process, server, failure)
        for ours in (sender, waiter, stderr):
            ours.close()
        go.send(None)

        def outcome() -> Any:
            received = _receive(
                receiver, process, results.returned_by(task.function), failure, doing
            )
            if process.is_lost():
                server.await_end()
            return received

        yield outcome
    finally:
        # A child that was never told to go ends by itself where this end of its pipe is closed.
        for connection in (sender, waiter, stderr, receiver, go):
            connection.close()
        _end(process)
        scratch.remove(place)


def _environment(task: _Task, place: Path) -> dict[str, str]:
    known = dict(os.environ)
    if task.confinement is not None:
        known = environment.reduced(known, task.confinement.environment)
    return {**known, **PINNED, "TMPDIR": str(place), INSIDE: "1"}


@dataclass(frozen=True)
class _Task:
    """What a child runs, and the environment that it runs it in: the server's own may be an older one."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    environment: dict[str, str]
    confinement: Confinement | None


def _start_process(process: Child, server: Server, failure: type[SmdeclError]) -> None:
    require_wanted()
    try:
        with _no_interrupts():
            process.start()
    except (EOFError, OSError) as error:
        require_wanted()
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        server.kill()
        server.await_end()  # until then it counts as running, and the next start would fail as well
        message = f"the process that imports TensorFlow has ended: {type(error).__name__}: {error}"
        raise failure(
            Problem((), f"{message}; the system kills processes when memory runs out")
        ) from error
    current().running.add(process)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    # A process inherits what is blocked; what arrives meanwhile is delivered here when the block ends.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(
    receiver: Connection,
    process: Child,
    returned: Any,
    failure: type[SmdeclError],
    doing: str,
) -> Any:
    begun = False
    ready = wait([receiver, process.sentinel])
    if receiver in ready or receiver.poll():
        try:
            receiver.recv()
            begun = True
            return results.read(receiver.recv_bytes(_LARGEST_RESULT), returned)
        except (EOFError, OSError):  # it died before it had said all
            pass
        except ResultError as error:
            return failure(
                Problem((), f"the process that was {doing} returned no result: {error}")
            )
    require_wanted()
    with _children:
        process.join()
    exitcode = process.exitcode or 0
    if process.is_lost():
        return failure(
            Problem(
                (),
                f"the process that was {doing} was ended from outside, with the server it came from",
            )
        )
    was = "was" if begun else "was to begin"
    return failure(
        Problem((), f"the process that {was} {doing} {_describe_exit(exitcode)}")
    )


_LARGEST_RESULT = 1 << 30  # bytes


def _describe_exit(exitcode: int) -> str:
    if exitcode >= 0:
        return f"exited with status {exitcode} and no word; does the model's own code call exit?"
    known = {member.value: member.name for member in signal.Signals}
    name = known.get(-exitcode, f"signal {-exitcode}")
    hint = {
        "SIGKILL": "; the system does that when memory runs out",
        "SIGSEGV": " in native code",
    }.get(name, "")
    return f"was killed by {name}{hint}"


def _end(process: Child) -> None:
    if process.pid is None:  # it was never started
        return
    with _children:
        current().running.discard(process)
        _kill(process)
        process.join()
        process.close()


def _kill(process: Child) -> None:
    """Kills a child, with whatever the model's own code has started in it.

    The keeper that it is kills all of that, and ends after it.
    """
    if process.pid is not None:
        process.terminate()


def _child(
    sender: Connection, waiter: Connection, stderr: Connection, task: _Task
) -> None:
    os.setpgid(
        0, 0
    )  # a signal to the group of the process that started this one is no concern of this one
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the process that started this one decides
    try:
        waiter.recv()
    except EOFError:  # it was interrupted while this process was being started
        os._exit(0)
    kept = descendants.fork_keeper()
    if kept != 0:
        sender.close()  # its end tells that the kept process has ended
        descendants.keep(kept)
    os.environ.clear()
    os.environ.update(task.environment)
    gc.set_threshold(*_GARBAGE)
    tempfile.tempdir = None  # found anew, by the environment
    os.dup2(stderr.fileno(), 2)
    os.dup2(
        2, 1
    )  # standard output carries results only; what the model prints is no result
    if task.confinement is not None:
        _close_pipes_to_others()
    # Before any thread is started, for that would not be confined.
    is_confined = task.confinement is not None and confine.confine(
        task.confinement, Path(tempfile.gettempdir())
    )
    if is_confined:
        # tf_keras reads its settings in the home directory when it is imported, and fails where it may not.
        os.environ["KERAS_HOME"] = tempfile.gettempdir()
    sender.send(None)  # from here on, what ends this process is the function's doing
    outcome = _outcome(task.function, task.args)
    if (
        task.confinement is not None
        and is_confined
        and isinstance(outcome, SmdeclError)
    ):
        outcome = confinement_errors.explained(outcome, task.confinement)
    _send(sender, outcome)
    sender.close()
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(0)  # TensorFlow's own shutdown takes time and has nothing to add


def _close_pipes_to_others() -> None:
    """Closes the pipe to the resource tracker, which removes what it is told to, and that which keeps the server."""
    tracker: Any = multiprocessing.resource_tracker._resource_tracker
    server: Any = multiprocessing.forkserver._forkserver
    for holder, name in ((tracker, "_fd"), (server, "_forkserver_alive_fd")):
        descriptor = getattr(holder, name)
        if descriptor is not None:
            os.close(descriptor)
            setattr(holder, name, None)


def _send(sender: Connection, outcome: Any) -> None:
    try:
        sender.send(outcome)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        sender.send(InternalError(f"a result cannot be sent: {error}"))


def _outcome(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except SmdeclError as error:
        return error
    except Exception as error:
        bug = InternalError(f"{type(error).__name__}: {error}", traceback.format_exc())
        bug.__cause__ = error
        return bug
