"""Runs a command line with `--watch`, saves files, and reads what it prints."""

import os
import signal
import sys
import time

from tests.conftest import ROOT
from tests.waiting import processes_with, wait_for


class Watch:
    """A command line with `--watch`, whose output goes into one file."""

    def __init__(self, interruptible, directory, *arguments):
        self.marker = f"SMDECL_TEST_{time.monotonic_ns()}"
        self._printed = directory / ".printed"
        self._seen = 0
        with self._printed.open("w") as file:
            self.process = interruptible(
                [sys.executable, "-m", "smdecl", *arguments],
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(ROOT), self.marker: "1"},
                stdout=file,
                stderr=file,
            )

    def until(self, last):
        """Waits for a line that begins so; returns the lines since the last call, with this one."""
        found = []

        def has_answered():
            assert self.process.poll() is None, self._text()
            text = self._text()[self._seen :]
            found[:] = text[: text.rfind("\n") + 1].splitlines(keepends=True)
            return any(line.startswith(last) for line in found)

        wait_for(has_answered)
        number = next(index for index, line in enumerate(found) if line.startswith(last))
        lines = found[: number + 1]
        self._seen += len("".join(lines))
        return "".join(lines).splitlines()

    def server(self):
        """Returns the process that has imported TensorFlow."""
        for place in processes_with(self.marker):
            if "forkserver" in (place / "cmdline").read_text():
                return place.name
        raise AssertionError("no server")

    def interrupt(self):
        os.killpg(self.process.pid, signal.SIGINT)  # as a terminal does
        self.process.wait(300)
        wait_for(lambda: processes_with(self.marker) == [])
        return self.process.returncode, self._text()[self._seen :]

    def _text(self):
        return self._printed.read_text()


def save(file, text):
    """Replaces a file in one step, as many editors do; no run may see half of it."""
    new = file.with_name(f"{file.name}~")
    new.write_text(text)
    new.replace(file)
