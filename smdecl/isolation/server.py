"""A fork server of smdecl's own: the standard library's, apart from the one that the host program may use itself.

`multiprocessing` has one server for the whole process, with one environment and one list of modules to import first.
Starting a process through it also fixes the program's default start method, and runs the program's script once more.
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
from typing import Any

from smdecl.isolation import environment
from smdecl.resources import PACKAGE

_COMMAND = "import sys; sys.path[:] = {path!r}; from multiprocessing.forkserver import main; main({fds}, {preload!r})"


class Server(forkserver.ForkServer):
    """A process that imports modules once and forks children.

    Args:
        preload: Names of the modules to import before the first fork.
        variables: Environment variables to set for the server, beside those of this process that it may have.
    """

    def __init__(self, preload: Sequence[str], variables: Mapping[str, str]) -> None:
        super().__init__()
        self._preload = list(preload)
        self._starting = threading.Lock()
        self._variables = dict(variables)
        self._process: subprocess.Popen[bytes] | None = None

    def ensure_running(self) -> None:
        """Starts the server unless it runs; does not wait for its imports.

        Raises:
            OSError: If its socket cannot be made.
        """
        with self._starting:
            ensure_tracker()
            if self.is_running():
                return
            self._forget()
            with socket.socket(socket.AF_UNIX) as listener:
                address = arbitrary_address("AF_UNIX")
                listener.bind(address)
                listener.listen()
                self._start(listener.fileno())
            self._forkserver_address = address

    def _start(self, listener: int) -> None:
        # Every client holds the write end; when the last of them ends, so does the server.
        alive, write_end = os.pipe()
        path = [place for place in _search_path() if place]
        command = _COMMAND.format(
            path=path, fds=f"{listener}, {alive}", preload=self._preload
        )
        arguments = [sys.executable, *_args_from_interpreter_flags(), "-c", command]
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
        self._forkserver_address = self._process = None

    def is_running(self) -> bool:
        """Tells whether the server runs; without it, the exit code of a child is not known."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Ends the server at once, even in the middle of an import; its children notice by themselves."""
        server = self._process
        if server is not None:
            server.kill()

    def await_end(self) -> None:
        """Waits for a server that has been killed, so that the next call starts it anew."""
        with self._starting:
            if self._process is not None:
                self._process.wait()

    def stop(self) -> None:
        """Ends the server and waits for its end."""
        server = self._process
        if server is not None:
            server.kill()
            server.wait()
            self._forget()
            atexit.unregister(self._stop_if_owner)

    def _stop_if_owner(self, owner: int) -> None:
        if os.getpid() == owner:  # a fork of this process leaves the server to it
            self.stop()


_NOT_FOR_TRACKER = (signal.SIGINT, signal.SIGTERM)  # it ignores them once it has begun


def ensure_tracker() -> None:
    """Starts multiprocessing's resource tracker, which runs none of the files in the current directory.

    The standard library starts it by `python -c`, which has that directory first on its path.
    """
    tracker: Any = resource_tracker._resource_tracker
    with tracker._lock:
        if tracker._fd is None:
            reads, writes = os.pipe()
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_TRACKER)
            command = (
                f"from multiprocessing.resource_tracker import main; main({reads})"
            )
            arguments = [sys.executable, "-I", "-c", command]
            try:
                tracker._pid = spawnv_passfds(
                    os.fsencode(sys.executable), arguments, [2, reads]
                )
            except BaseException:
                os.close(writes)
                raise
            finally:
                os.close(reads)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            tracker._fd = writes
    resource_tracker.ensure_running()


def _search_path() -> list[str]:
    """Returns the path that this process finds modules by, smdecl's own among them."""
    own = str(PACKAGE.parent)
    return [*sys.path, own] if own not in sys.path else list(sys.path)


class Child(process.BaseProcess):
    """A process to be forked from a server.

    Args:
        server: To fork it from.
        target: To call in it; importable by its name.
        args: Of `target`; connections among them are passed on.
    """

    _start_method = None  # the child's own default stays

    def __init__(
        self, server: Server, target: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        super().__init__(target=target, args=args)
        self._server = server

    def is_lost(self) -> bool:
        """Tells of a process that has ended whether its server ended first, so that its exit code is not known."""
        popen = self._popen  # type: ignore[attr-defined]
        return popen is not None and bool(popen.is_lost)

    def __getstate__(self) -> dict[str, object]:
        """Returns what the child needs of this object."""
        return {
            name: value for name, value in self.__dict__.items() if name != "_server"
        }

    @staticmethod
    def _Popen(child: Any) -> popen_forkserver.Popen:  # noqa: N802 - BaseProcess calls it by this name
        return _Popen(child)


class _Popen(popen_forkserver.Popen):
    """Sends a child to its own server, with no script to run first and no start method to set."""

    _fds: list[int]
    is_lost = False

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Returns the exit code; None if the process runs. Of a process whose server has ended, none is known."""
        if self.returncode is None and wait(
            [self.sentinel], 0 if flag == os.WNOHANG else None
        ):
            try:
                self.returncode = forkserver.read_signed(self.sentinel)
            except (OSError, EOFError):
                self.is_lost = True
                self.returncode = 255
        return self.returncode

    def _launch(self, process_obj: Any) -> None:
        buffer = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(_preparation(process_obj.name), buffer)
            reduction.dump(process_obj, buffer)
        finally:
            set_spawning_popen(None)
        self.sentinel, write_end = process_obj._server.connect_to_new_process(self._fds)
        kept = os.dup(write_end)  # the child's sentinel of this process
        self.finalizer = Finalize(self, close_fds, (kept, self.sentinel))
        with open(write_end, "wb") as pipe:  # noqa: PTH123 - a file descriptor
            pipe.write(buffer.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


def _preparation(name: str) -> dict[str, Any]:
    """Returns what `multiprocessing.spawn.prepare` sets up in the child before it unpickles anything.

    `spawn.get_preparation_data` would add the caller's script, and would fix the caller's default start method.
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
