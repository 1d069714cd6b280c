"""Runs functions in pristine processes, on one import of TensorFlow.

A server process imports TensorFlow and never touches its runtime; each function runs in a child forked from it, so that
nothing of one leaks into the next and all begin alike. The server is the standard library's forkserver; where fork is
not to be had, each function gets a fresh interpreter instead.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.process
import multiprocessing.resource_tracker
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from smdecl.errors import InternalError, Problem, PublishError, SmdeclError, UsageError

Result = TypeVar("Result")

# Every child begins alike, whatever the environment that smdecl was started from.
_PINNED = {
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_DETERMINISTIC_OPS": "0",
    "TF_FUNCTION_JIT_COMPILE_DEFAULT": "0",
    "KERAS_BACKEND": "tensorflow",
    "KERAS_NNX_ENABLED": "0",
    # Long sums are split by the number of threads, and so have other bits on a machine with more of them.
    "TF_NUM_INTRAOP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
# What a start changes for a moment, the environment and __main__, is the whole process's; and so is the standard
# library's book of children, in which each start looks after all of them.
_children = threading.Lock()
_running: set[Any] = set()
_abandoned = False
_PATIENCE = 0.5  # seconds; other starts take a hundredth
_PRELOADED = ["smdecl.preloading"]


def start() -> None:
    """Begins to import TensorFlow in the server process and returns at once."""
    if _method() == "forkserver":
        # The server finds the modules that this process finds; and an interrupt is this process's to handle.
        path = os.pathsep.join(place for place in sys.path if place)
        multiprocessing.resource_tracker.ensure_running()  # before, for it would unblock the interrupt again
        with _children, _environment({**_PINNED, "PYTHONPATH": path}), _no_interrupts():
            _require_wanted()
            multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOADED)
            _require_scratch()
            try:
                multiprocessing.forkserver.ensure_running()
            except OSError as error:
                # Its socket lies in TMPDIR, and a socket's path has room for some 100 bytes.
                message = f"no server process can be started in {tempfile.gettempdir()!r}: {error}"
                raise UsageError(f"{message}; takes a TMPDIR with a shorter path") from error


def _require_scratch() -> None:
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise PublishError(f"no temporary file can be written: {error}; takes a TMPDIR that has room") from error


def stop() -> None:
    """Ends the server process, without waiting for an import that it is in the middle of."""
    server = getattr(multiprocessing.forkserver, "_forkserver", None)
    pid = getattr(server, "_forkserver_pid", None)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def leave() -> None:
    """Ends the server process of a program that a signal ends, and removes the directory that its socket is in.

    What multiprocessing would do at exit is not done then.
    """
    stop()
    scratch = multiprocessing.process.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


class AbandonedError(Exception):
    """What was run is not wanted any more."""


def abandon() -> None:
    """Kills what other threads run, for good: whoever waits for it, or begins anew, gets an AbandonedError."""
    global _abandoned  # noqa: PLW0603 - the process is about to end
    _abandoned = True
    if not _children.acquire(timeout=_PATIENCE):
        stop()  # a start waits for the server, which imports TensorFlow, and none is running yet
        _children.acquire()
    for process in _running:
        _kill(process)
    _children.release()


def run(
    function: Callable[..., Result], /, *args: Any, failure: type[SmdeclError], doing: str, fresh: bool = False
) -> Result:
    """Runs `function(*args)` in a pristine process and returns what it returns.

    Args:
        function: Importable by its name; what it takes and returns can be pickled.
        args: Of the function.
        failure: What to raise where the process dies without a word.
        doing: What the process was doing, for that error's text.
        fresh: Whether the process imports TensorFlow itself. Two forks of one server have the same addresses in memory.

    Raises:
        SmdeclError: What the function raised, or `failure`.
        AbandonedError: Where `abandon` has been called.
    """
    start()
    context: Any = multiprocessing.get_context("spawn" if fresh else _method())
    receiver, sender = context.Pipe(duplex=False)
    waiter, go = context.Pipe(duplex=False)
    # A connection is how multiprocessing passes a file descriptor; the server's own may be another one by now.
    stderr = multiprocessing.connection.Connection(os.dup(2), readable=False)
    # AutoGraph and the model's own code may leave temporary files: a child ends without a chance to remove them.
    scratch = tempfile.TemporaryDirectory(prefix="smdecl-", ignore_cleanup_errors=True)
    with _children:
        environment = {**os.environ, **_PINNED, "TMPDIR": scratch.name}
    task = _Task(function, args, environment)
    process = context.Process(target=_child, args=(sender, waiter, stderr, task))
    try:
        with _children:
            _start_process(process)
        for ours in (sender, waiter, stderr):
            ours.close()
        go.send(None)
        outcome = _receive(receiver, process, failure, doing)
    finally:
        # A child that was never told to go ends by itself where this end of its pipe is closed.
        for connection in (sender, waiter, stderr, receiver, go):
            connection.close()
        _end(process)
        scratch.cleanup()
    if isinstance(outcome, SmdeclError):
        raise outcome
    return outcome  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Task:
    """What a child runs, and the environment that it runs it in: the server's own may be an older one."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    environment: dict[str, str]


def _start_process(process: Any) -> None:
    _require_wanted()
    try:
        with _environment(_PINNED), _no_main_module(), _no_interrupts():
            process.start()
    except (EOFError, OSError) as error:
        _require_wanted()
        reason = f"{type(error).__name__}: {error}"
        raise InternalError(f"the server process that TensorFlow is imported in cannot be reached: {reason}") from error
    _running.add(process)


def _require_wanted() -> None:
    if _abandoned:
        raise AbandonedError


def _method() -> str:
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _no_interrupts() -> Iterator[None]:
    # A process inherits what is blocked; what arrives meanwhile is delivered here when the block ends.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _no_main_module() -> Iterator[None]:
    # multiprocessing would run the caller's script once more in the child, to unpickle what the script defines.
    # Nothing of it is sent, and a script without a main guard would start its export a second time.
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _receive(receiver: Any, process: Any, failure: type[SmdeclError], doing: str) -> Any:
    ready = multiprocessing.connection.wait([receiver, process.sentinel])
    if receiver in ready or receiver.poll():
        with contextlib.suppress(EOFError, OSError):  # it died before it had said all
            return receiver.recv()
    _require_wanted()
    with _children:
        process.join()
    return failure(Problem((), f"the process that was {doing} {_describe_exit(process.exitcode)}"))


def _describe_exit(exitcode: int) -> str:
    if exitcode >= 0:
        return f"exited with status {exitcode} and no word; does the model's own code call exit?"
    known = {member.value: member.name for member in signal.Signals}
    name = known.get(-exitcode, f"signal {-exitcode}")
    hint = {"SIGKILL": "; the system does that when memory runs out", "SIGSEGV": " in native code"}.get(name, "")
    return f"was killed by {name}{hint}"


def _end(process: Any) -> None:
    if process.pid is None:  # it was never started
        return
    with _children:
        _running.discard(process)
        _kill(process)
        process.join()
        process.close()


def _kill(process: Any) -> None:
    """Kills a child, with whatever the model's own code has started in it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it is gone, or has not yet made a group of its own
        process.kill()


def _child(sender: Any, waiter: Any, stderr: Any, task: _Task) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one decides
    try:
        waiter.recv()
    except EOFError:  # it was interrupted while this process was being started
        os._exit(0)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(task.environment)
    tempfile.tempdir = None  # found anew, by the environment
    os.dup2(stderr.fileno(), 2)
    os.dup2(2, 1)  # standard output carries results only; what the model prints is no result
    for name in _PRELOADED:  # where the process is no fork of the server
        importlib.import_module(name)
    _send(sender, _outcome(task.function, task.args))
    sender.close()
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(0)  # TensorFlow's own shutdown takes time and has nothing to add


def _send(sender: Any, outcome: Any) -> None:
    try:
        sender.send(outcome)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        sender.send(InternalError(f"a result cannot be sent: {error}"))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os.killpg(0, signal.SIGKILL)


def _outcome(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except SmdeclError as error:
        return error
    except Exception as error:
        bug = InternalError(f"{type(error).__name__}: {error}", traceback.format_exc())
        bug.__cause__ = error
        return bug
