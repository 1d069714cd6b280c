"""The lines at the end of a terminal: all that is printed is above them, and nothing of them stays."""

import os
import signal
import subprocess

import pytest
from smdecl.cli.output import screen

from tests.cli.terminals import Terminal
from tests.conftest import ROOT

# Shows two lines until lines are typed. Meanwhile other processes print.
SCRIPT = """
import subprocess, sys
from smdecl.cli.output.screen import Screen

screen = Screen(lambda columns, rows: ["first", "second"])
try:
    sys.stdin.readline()
    subprocess.run(["sh", "-c", "echo from a process >&2; printf unfinished >&2"])
    sys.stdin.readline()
    with screen.cleared():
        print("error", file=sys.stderr)
        print("result", flush=True)
    subprocess.run(["sh", "-c", "printf 'a line' >&2; echo ' in parts' >&2"])
    sys.stdin.readline()
    {then}
finally:
    screen.close()
print("end", file=sys.stderr)
"""
PRINTED = ["from a process", "unfinished", "error", "result", "a line in parts"]


@pytest.fixture
def terminal():
    with Terminal() as terminal:
        yield terminal


def start(terminal, tmp_path, then="pass"):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("{then}", then))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        **terminal.command(script), env=env, stdout=terminal.slave, stderr=terminal.slave
    )


@pytest.mark.parametrize(
    ("then", "code", "last"),
    [
        ("pass", 0, ["end"]),
        ("subprocess.run(['sh', '-c', 'printf rest >&2'])", 0, ["rest", "end"]),
        ("subprocess.run(['printf', '100%%|####|\\rshort\\n'], stdout=2)", 0, ["short", "end"]),
        ("raise SystemExit(3)", 3, []),
        ("subprocess.run(['sh', '-c', f'yes | head -n 100000 >&2'])", 0, ["end"]),
    ],
)
def test_what_is_printed_is_above_the_lines_and_they_are_removed(
    terminal, tmp_path, then, code, last
):
    process = start(terminal, tmp_path, then)
    terminal.await_text("second")
    terminal.type(b"\n")
    terminal.await_text("unfinished")  # although the line has not ended
    terminal.type(b"\n")
    terminal.await_text("a line in parts")
    terminal.type(b"\n")
    assert process.wait(timeout=300) == code

    seen = [line for line in terminal.seen() if line not in ("y", "")]
    assert seen == [*PRINTED, *last]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (b"loading", "loading"),
        (b"\r 10%|#   |\r 20%|##  |", " 20%|##  |"),
        (b" 1/3\r", " 1/3"),
        (b"\b\b\b\r\x1b[1m2/3\x1b[0m\t\x1b[32m==\x1b[0m \x07", "2/3     == \\x07"),
        ("half of ü".encode()[:-1], "half of \ufffd"),
    ],
)
def test_a_line_that_has_not_ended_is_shown_as_it_looks(line, seen):
    assert screen.as_seen(line) == seen


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_an_interrupt_leaves_nothing(terminal, tmp_path, number):
    process = start(terminal, tmp_path)
    terminal.await_text("second")
    terminal.type(b"\x03")
    assert process.wait(timeout=300) == -signal.SIGINT

    seen = terminal.seen()
    assert not {"first", "second"} & set(seen)
    assert seen[-2] == "KeyboardInterrupt"
