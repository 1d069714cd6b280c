"""A person sees how far a run is on a terminal, and nothing of that remains."""

import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from smdecl.cli.output import display

from tests.cli.terminals import Terminal
from tests.conftest import ROOT, redirected
from tests.waiting import wait_for

# Builds once the test has seen something.
NET = """
import pathlib, sys, time
from smdecl.models import Scaler

def make(number=1):
    pathlib.Path(f"made-{number}").touch()
    assert number != 2, "no luck"
    end = time.monotonic() + 300
    while not pathlib.Path("go").exists():
        assert time.monotonic() < end
        # Again and again: a drawing shows only what another process has not replaced meanwhile.
        print(f"\\r 10% of {number}\\r", end="", file=sys.stderr, flush=True)
        time.sleep(0.02)
    print("made", number, end=" ", file=sys.stderr)
    return Scaler()
"""
MODEL = ["model=scaler", "model._target_=mynet.make", "~model.factor"]
STAGES = ["compose", "check", "inputs", "start", "build", "trace", "save", "inspect", "examples"]
STAGES += ["sources", "seal", "verify", "publish", "total"]


@pytest.fixture
def terminal():
    with Terminal() as terminal:
        yield terminal


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    return project


def go_after(terminal, *texts):
    """Lets the models be built when the terminal has shown all of these."""

    def wait():
        terminal.await_text(*texts)
        Path("go").touch()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_an_export_shows_its_stage_and_leaves_the_usual_output(net, terminal):
    waiting = go_after(terminal, "smdecl: build 1.")

    assert terminal.run_cli(*MODEL, cwd=net.root) == 0
    waiting.join()

    assert terminal.seen() == ["made 1", "exports/scaler/1", ""]


def test_a_sweep_shows_a_line_for_each_variant_and_reports_a_failure_at_once(net):
    error = "+model.number=2: error: "
    shown = [
        "% of ",
        "smdecl: 0 done, 1 failed, 2 left",
        "s: +model.number=1",
        "s: +model.number=3",
    ]
    with Terminal(columns=200) as terminal:
        waiting = go_after(terminal, error, *shown)
        code = terminal.run_cli("-m", "-j", "3", *MODEL, "+model.number=1,2,3", cwd=net.root)
        waiting.join()
        seen = terminal.seen()

    assert code == 3
    results = [line for line in seen if line.startswith(("exports/", "smdecl: "))]
    assert error in results[0]
    assert results[1:] == [f"exports/scaler/+model.number={number}/1" for number in (1, 3)]
    assert not any(" left" in line for line in seen)


@pytest.mark.parametrize("place", ["a file", "a dumb terminal"])
def test_standard_error_is_left_alone_elsewhere(terminal, tmp_path, monkeypatch, place):
    monkeypatch.setenv("TERM", "dumb" if place == "a dumb terminal" else "xterm")
    with (tmp_path / "file").open("w") as file:
        descriptor = file.fileno() if place == "a file" else terminal.slave
        with redirected(2, descriptor, "strict"):
            before = os.fstat(2).st_rdev
            with display.shown(is_verbose=False):
                assert os.fstat(2).st_rdev == before


def test_verbose_prints_each_stage_with_its_seconds_and_the_peak_memory(project):
    done = project.run("--verbose", "publish.run_record=runs.jsonl")

    *lines, total = done.stderr.splitlines()
    found = [re.fullmatch(r"smdecl: (\w+) (\d+\.\d{3}) s", line) for line in lines]
    assert [line[1] for line in found] == STAGES[:-1]
    record = json.loads(Path("runs.jsonl").read_text())
    assert {line[1]: float(line[2]) for line in found}.items() <= record["seconds"].items()
    mebibytes = f"{record['peak_memory'] / 2**20:,.0f}"
    assert total == (
        f"smdecl: total {record['seconds']['total']:.3f} s,"
        f" peak memory {mebibytes} MiB ({record['peak_process']})"
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_on_the_terminal(net, terminal, number):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    process = subprocess.Popen(
        **terminal.command("-m", "smdecl", *MODEL),
        cwd=net.root,
        env=env,
        stdout=terminal.slave,
        stderr=terminal.slave,
    )
    terminal.await_text("smdecl: build")
    wait_for(Path("made-1").exists)
    if number == signal.SIGINT:
        terminal.type(b"\x03")
    else:
        process.send_signal(number)

    assert process.wait(timeout=300) == -number
    assert terminal.seen() == [" 10% of 1", ""]  # the model's own


def test_the_stages_of_a_sweep_have_the_name_of_their_variant(project):
    done = project.run("check", "-m", "--verbose", "name=net", "seed=1,word")

    lines = done.stderr.splitlines()
    assert [re.sub(r" [\d.]+ s$", "", line) for line in lines[:5]] == [
        "smdecl: seed=1: compose",
        "smdecl: seed=1: check",
        "smdecl: seed=1: total",
        "smdecl: seed=word: compose",
        "smdecl: seed=word: check",
    ]
    assert (done.returncode, done.stderr.count("error:")) == (2, 1)
