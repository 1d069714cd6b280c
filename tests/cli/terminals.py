"""A terminal that programs print on, and what a person then sees on it."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading

from smdecl.cli import main

from tests.conftest import redirected, unchanged_process
from tests.waiting import wait_for

_PARTS = re.compile(r"\x1b\[(\d*)([A-Za-z])|(.)", re.DOTALL)
# Makes the terminal that is standard input that of a new session, as a login does. A background job
# of a shell ignores SIGINT, and so would all that it starts.
_LOGIN = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A terminal. Use it in a `with` statement."""

    def __init__(self, columns=80, rows=24):
        self.columns = columns
        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        modes = termios.tcgetattr(self.slave)
        modes[3] &= ~termios.ECHO  # keys that are typed are not part of what is printed
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)
        self._printed = b""
        self._is_closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A process that has inherited the terminal may live on.
        self._is_closed = True
        os.write(self.slave, b"closed")
        self._reader.join()
        os.close(self.slave)
        os.close(self._master)

    def _read(self):
        while not self._is_closed:
            self._printed += os.read(self._master, 1 << 16)

    @property
    def printed(self):
        """All that was printed, with control sequences."""
        return self._printed.decode(errors="replace")

    def type(self, keys):
        os.write(self._master, keys)

    def await_text(self, *texts):
        """Waits until the terminal has shown all of these."""
        wait_for(lambda: all(text in self.printed for text in texts))

    def seen(self):
        """Returns the lines that are on the terminal, with those that have scrolled off."""
        os.write(self.slave, b"\x1b[999Z")
        self.await_text("\x1b[999Z")
        return _Emulator(self.columns).lines(self.printed.replace("\x1b[999Z", ""))

    def command(self, *arguments):
        """Returns a command that runs in this terminal, as the arguments of `Popen`."""
        command = [sys.executable, "-c", _LOGIN, sys.executable, *map(str, arguments)]
        return {"args": command, "start_new_session": True, "stdin": self.slave}

    def run_cli(self, *arguments, cwd, env=None, streams=(1, 2)):
        """Runs the command line in this process, with streams on this terminal."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(unchanged_process(cwd, {"TERM": "xterm", **(env or {})}))
            for number in streams:
                stack.enter_context(redirected(number, self.slave, "strict"))
            return main.run(arguments)


class _Emulator:
    """Follows the control sequences that smdecl prints."""

    def __init__(self, columns):
        self._columns = columns
        self._lines = [""]
        self._row = self._column = 0

    def lines(self, printed):
        for number, sequence, char in _PARTS.findall(printed):
            if sequence == "K":
                assert number == "2"
                self._lines[self._row] = ""
            elif sequence == "A":
                self._row -= int(number)
                assert self._row >= 0
            elif char:
                self._put(char)
        return [line.rstrip() for line in self._lines]

    def _put(self, char):
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._next_row()
        else:
            if self._column == self._columns:
                self._column = 0
                self._next_row()
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + char + line[self._column + 1 :]
            self._column += 1

    def _next_row(self):
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append("")
