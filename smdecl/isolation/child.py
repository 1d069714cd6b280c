"""The child's side of `processes`: what runs in a process before, during and after its function."""

from __future__ import annotations

import functools
import gc
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import GeneratorType
from typing import Any, NoReturn

from smdecl.errors import InternalError, SmdeclError
from smdecl.isolation import confine, confinement_errors, descendants, reports
from smdecl.isolation.confine import Confinement

# A child lives for seconds, and little of what it makes is garbage. It collects a hundredth as
# often as Python would by default, which still bounds the memory of a long build.
_GARBAGE = (50_000, 10, 10)


@dataclass(frozen=True)
class Task:
    """What a child runs.

    Attributes:
        function: The function to call; importable by its name.
        args: Its arguments.
        environment: The environment variables to set; the server may have been started with others.
        confinement: What the kernel lets the function touch; None for all that this process may.
        starts_processes: Whether the function may start processes.
    """

    function: Callable[..., object]
    args: tuple[object, ...]
    environment: dict[str, str]
    confinement: Confinement | None
    starts_processes: bool


def run(
    sender: Connection, waiter: Connection, stderr: Connection, task: Task
) -> NoReturn:
    """Runs a task in a child that was just forked, sends its outcome and ends the process.

    A generator has an outcome for each value that it yields.

    Args:
        sender: Gets None right before the function begins, and each pickled outcome afterwards.
        waiter: Sends a message when the child may begin; its end of file means never. Afterwards
            it sends what the function listens to.
        stderr: The standard error of the caller.
        task: The function and its surroundings.
    """
    # Signals to the caller's process group must not reach the child.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends the child
    try:
        waiter.recv()
    except EOFError:
        # The caller was interrupted while it started this process.
        os._exit(0)
    if task.starts_processes:
        kept = descendants.fork_keeper()
        if kept != 0:
            # The caller waits for the end of file, which is that of this process too.
            killed = functools.partial(reports.report_peak, sender)
            descendants.keep(kept, killed)
    else:
        descendants.do_without_keeper()
        # The server runs while anyone holds a pipe to it, and this process ends with the server.
        _close_pipes_to_others()
    _set_surroundings(task, stderr)
    # Before any thread is started: a thread that runs already would not be confined.
    is_confined = _confine(task.confinement)
    # If the process ends from here on, the function is to blame.
    sender.send(None)
    reports.connect(sender, waiter)
    confinement = task.confinement if is_confined else None
    for outcome in _outcomes(task):
        if confinement is not None and isinstance(outcome, SmdeclError):
            explained = confinement_errors.explained(outcome, confinement)
            _send(sender, explained)
        else:
            _send(sender, outcome)
    sender.close()
    sys.stderr.flush()
    sys.stdout.flush()
    # TensorFlow's own shutdown takes time and does nothing that is needed.
    os._exit(0)


def _set_surroundings(task: Task, stderr: Connection) -> None:
    os.environ.clear()
    os.environ.update(task.environment)
    gc.set_threshold(*_GARBAGE)
    tempfile.tempdir = None  # computed again, from the new environment
    os.dup2(stderr.fileno(), 2)
    # Standard output carries results only, and the model may print.
    os.dup2(2, 1)


def _confine(confinement: Confinement | None) -> bool:
    """Confines this process, if the kernel can; returns whether it did."""
    if confinement is None:
        return False
    _close_pipes_to_others()
    scratch = tempfile.gettempdir()
    if not confine.confine(confinement, Path(scratch)):
        return False
    # tf_keras reads its settings in the home directory on import, and fails if it may not.
    os.environ["KERAS_HOME"] = scratch
    return True


def _close_pipes_to_others() -> None:
    """Closes the pipes to the server and to the resource tracker, which removes any file."""
    # Their attributes are private, and no type checker knows them.
    tracker: Any = multiprocessing.resource_tracker._resource_tracker
    server: Any = multiprocessing.forkserver._forkserver
    for holder, name in ((tracker, "_fd"), (server, "_forkserver_alive_fd")):
        descriptor = getattr(holder, name)
        if descriptor is not None:
            os.close(descriptor)
            setattr(holder, name, None)


def _send(sender: Connection, outcome: object) -> None:
    try:
        sender.send(outcome)
    except BrokenPipeError:
        # The caller does not wait anymore, and is about to kill this process.
        os._exit(0)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        sender.send(InternalError(f"cannot send a result: {error}"))


def _outcomes(task: Task) -> Iterator[object]:
    """Yields what the function returns or yields, or the error that it raises."""
    try:
        returned = task.function(*task.args)
        if isinstance(returned, GeneratorType):
            yield from returned
        else:
            yield returned
    except SmdeclError as error:
        yield error
    except Exception as error:
        bug = InternalError(
            f"{type(error).__name__}: {error}", traceback.format_exc()
        )
        bug.__cause__ = error
        yield bug
