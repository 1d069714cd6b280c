"""A fork server that is separate from the one the host program may use.

`multiprocessing` has one fork server per program, with one environment and one list of
modules to import. Starting a process through it also sets the program's default start
method, and runs the program's script again.
"""

from __future__ import annotations

import atexit
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import (
    forkserver,
    popen_forkserver,
    process,
    reduction,
    resource_tracker,
)
from multiprocessing.connection import arbitrary_address, wait  # type: ignore[attr-defined]
from multiprocessing.context import set_spawning_popen
from multiprocessing.util import (  # type: ignore[attr-defined]
    Finalize,
    _args_from_interpreter_flags,
    close_fds,
    spawnv_passfds,
)
from pathlib import Path
from typing import Any, TypeAlias

from smdecl.isolation import environment
from smdecl.resources import PACKAGE

_COMMAND = (
    "import sys; sys.path[:] = {path!r}; "
    "from multiprocessing.forkserver import main; main({fds}, {preload!r})"
)


class Server(forkserver.ForkServer):
    """A process that imports modules once and forks children.

    Args:
        preload: Names of the modules to import before the first fork.
        variables: Environment variables to set, in addition to those of
            `environment.reduced`.
    """

    def __init__(
        self, preload: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        super().__init__()
        self._preload = list(preload)
        self._starting = threading.Lock()
        self._variables = dict(variables)
        self._process: subprocess.Popen[bytes] | None = None

    def ensure_running(self) -> None:
        """Starts the server unless it is running; does not wait for its imports.

        Raises:
            OSError: If its socket cannot be created.
        """
        with self._starting:
            if self.is_running():
                return
            ensure_tracker()
            self._forget()
            with socket.socket(socket.AF_UNIX) as listener:
                address = arbitrary_address("AF_UNIX")
                listener.bind(address)
                listener.listen()
                self._start(listener.fileno())
            self._forkserver_address = address

    def _start(self, listener: int) -> None:
        # The server ends when no process holds the write end anymore.
        alive, write_end = os.pipe()
        path = [place for place in _search_path() if place]
        command = _COMMAND.format(
            path=path, fds=f"{listener}, {alive}", preload=self._preload
        )
        arguments = [
            sys.executable,
            *_args_from_interpreter_flags(),
            "-c",
            command,
        ]
        try:
            self._process = subprocess.Popen(
                arguments,
                env={**environment.reduced(os.environ), **self._variables},
                pass_fds=[listener, alive],
                restore_signals=False,
            )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(alive)
        self._forkserver_alive_fd = write_end
        atexit.register(self._stop_if_owner, os.getpid())

    def _forget(self) -> None:
        if self._forkserver_alive_fd is not None:
            os.close(self._forkserver_alive_fd)
            self._forkserver_alive_fd = None  # type: ignore[assignment]
        self._forkserver_address = None
        self._process = None

    def is_running(self) -> bool:
        """Returns whether the server runs; after its end, exit codes of children are unknown."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kills the server, even during an import; its children end by themselves."""
        server = self._process
        if server is not None:
            server.kill()

    def await_end(self) -> None:
        """Waits for the end of a killed server, so that the next call starts a new one."""
        with self._starting:
            if self._process is not None:
                self._process.wait()

    def stop(self) -> None:
        """Kills the server and waits for its end."""
        server = self._process
        if server is not None:
            server.kill()
            server.wait()
            self._forget()
            atexit.unregister(self._stop_if_owner)

    def _stop_if_owner(self, owner: int) -> None:
        if os.getpid() == owner:  # not in a fork of this process
            self.stop()


_Tracker: TypeAlias = Any
"""A `multiprocessing.resource_tracker.ResourceTracker`, by its private attributes."""

# The tracker ignores these signals once it has started.
_NOT_FOR_TRACKER = (signal.SIGINT, signal.SIGTERM)


def ensure_tracker() -> None:
    """Starts multiprocessing's resource tracker without the current directory on its path.

    The standard library would start it by `python -c`, which imports from that directory
    first.
    """
    tracker: _Tracker = resource_tracker._resource_tracker
    with tracker._lock:
        if tracker._fd is None:
            _start_tracker(tracker)
    resource_tracker.ensure_running()


def _start_tracker(tracker: _Tracker) -> None:
    reads, writes = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_TRACKER)
    command = (
        f"from multiprocessing.resource_tracker import main; main({reads})"
    )
    arguments = [sys.executable, "-I", "-c", command]
    executable = os.fsencode(sys.executable)
    try:
        tracker._pid = spawnv_passfds(executable, arguments, [2, reads])
    except BaseException:
        os.close(writes)
        raise
    finally:
        os.close(reads)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    tracker._fd = writes


def _search_path() -> list[str]:
    """Returns the module search path of this process, with the directory of smdecl."""
    own = str(PACKAGE.parent)
    return list(sys.path) if own in sys.path else [*sys.path, own]


class Child(process.BaseProcess):
    """A process that is forked from a server.

    Args:
        server: The server to fork it from.
        target: The function to call in it; importable by its name.
        args: Arguments of `target`; connections among them are passed on.

    Attributes:
        thread: The thread that it works for; None while it rests.
    """

    _start_method = None  # keeps the default start method in the child

    def __init__(
        self,
        server: Server,
        target: Callable[..., object],
        args: tuple[object, ...],
    ) -> None:
        super().__init__(target=target, args=args)
        self.thread: int | None = threading.get_ident()
        self._server = server

    def rest(self) -> None:
        """Notes that the process needs no core."""
        self.thread = None

    def work(self) -> None:
        """Notes that the process works for the calling thread."""
        self.thread = threading.get_ident()

    def is_lost(self) -> bool:
        """Returns whether the server ended before this process, whose exit code is then unknown."""
        popen = self._popen  # type: ignore[attr-defined]
        return popen is not None and bool(popen.is_lost)

    def __getstate__(self) -> dict[str, object]:
        """Leaves out the server, which the child does not need."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if name != "_server"
        }

    @staticmethod
    def _Popen(child: Child) -> popen_forkserver.Popen:  # noqa: N802 - called by BaseProcess
        return _Popen(child)


class _Popen(popen_forkserver.Popen):
    """Starts a child through its server, without running a script or setting a start method."""

    _fds: list[int]
    is_lost = False

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Returns the exit code; None if the process runs, 255 if its server ended first."""
        timeout = 0 if flag == os.WNOHANG else None
        if self.returncode is None and wait([self.sentinel], timeout):
            try:
                self.returncode = forkserver.read_signed(self.sentinel)
            except (OSError, EOFError):
                self.is_lost = True
                self.returncode = 255
        return self.returncode

    def _launch(self, process_obj: Child) -> None:
        buffer = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(_preparation(process_obj.name), buffer)
            reduction.dump(process_obj, buffer)
        finally:
            set_spawning_popen(None)
        self.sentinel, write_end = process_obj._server.connect_to_new_process(
            self._fds
        )
        # The child notices the end of this process by it.
        kept = os.dup(write_end)
        self.finalizer = Finalize(self, close_fds, (kept, self.sentinel))
        with open(write_end, "wb") as pipe:  # noqa: PTH123 - a file descriptor
            pipe.write(buffer.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


def _preparation(name: str) -> dict[str, Any]:
    """Returns what `multiprocessing.spawn.prepare` sets up in the child before unpickling.

    `spawn.get_preparation_data` would add the script of the host program, and would set its
    default start method.
    """
    here = str(Path.cwd())
    return {
        "name": name,
        "authkey": process.current_process().authkey,
        "sys_path": [place or here for place in _search_path()],
        "sys_argv": sys.argv,
        "orig_dir": process.ORIGINAL_DIR,  # type: ignore[attr-defined]
        "dir": here,
    }
