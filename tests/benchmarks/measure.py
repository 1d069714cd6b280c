"""Measures a command: seconds, CPU seconds, bytes written, and the memory of its process tree.

Memory is sampled in a run that is not timed, because reading it takes time. Reads Linux's /proc.
"""

import json
import os
import resource
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from tests.benchmarks.cases import MEASURED, RECORD, SCRIPTS, Command

ROOT = Path(__file__).resolve().parent.parent.parent
_INTERVAL = 0.05  # seconds between two samples


@dataclass(frozen=True)
class Run:
    """One timed run.

    Attributes:
        seconds: Of wall time.
        cpu: Seconds of CPU of all its processes.
        written: Bytes that its processes wrote to files.
        stages: Stage to seconds, as smdecl's run record has them; empty for other commands.
    """

    seconds: float
    cpu: float
    written: int
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """Peaks in bytes.

    Attributes:
        process: The largest resident set of any one process.
        total: The largest sum over all processes at one time, of the proportional set size: memory
            that several processes share counts once.
    """

    process: int
    total: int


def timed(command: Command, directory: Path) -> Run:
    """Runs a command once, without sampling its memory.

    Of a script that measures a part of its run, the seconds are those of that part.
    """
    _clear(directory)
    cpu, written, started = _cpu(), _written(), perf_counter()
    _wait(_start(command, directory), command)
    whole = {"seconds": perf_counter() - started, "cpu": _cpu() - cpu}
    part = directory / MEASURED
    taken = json.loads(part.read_text()) if part.exists() else whole
    scale = command.scale
    return Run(
        scale * taken["seconds"],
        scale * taken["cpu"],
        int(scale * (_written() - written)),
        _stages(directory / RECORD),
    )


def memory(command: Command, directory: Path) -> Memory:
    """Runs a command once, and samples the memory of its process tree."""
    _clear(directory)
    process = _start(command, directory)
    samples = [Memory(0, 0)]
    done = threading.Event()

    def sample_until_done() -> None:
        while not done.wait(_INTERVAL):
            samples.append(sample(process.pid))

    sampler = threading.Thread(target=sample_until_done)
    sampler.start()
    try:
        _wait(process, command)
    finally:
        done.set()
        sampler.join()
    return Memory(max(one.process for one in samples), max(one.total for one in samples))


def sample(root: int) -> Memory:
    """Returns the largest peak so far of a process and its descendants, and their sum by now."""
    pids = list(_tree(root))
    largest = max((_field(pid, "status", "VmHWM:") for pid in pids), default=0)
    return Memory(largest, sum(_field(pid, "smaps_rollup", "Pss:") for pid in pids))


def _clear(directory: Path) -> None:
    for name in ("out", "sweeps"):
        shutil.rmtree(directory / name, ignore_errors=True)
    for name in (RECORD, MEASURED):
        (directory / name).unlink(missing_ok=True)


def _start(command: Command, directory: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SCRIPTS}"}
    # An installed package has its bytecode.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(
        command.arguments,
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _wait(process: subprocess.Popen[bytes], command: Command) -> None:
    try:
        _, stderr = process.communicate()
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        output = stderr.decode(errors="replace")[-2000:]
        raise SystemExit(
            f"{' '.join(command.arguments)} exited with {process.returncode}:\n{output}"
        )


def _stages(record: Path) -> dict[str, float]:
    if not record.exists():
        return {}
    seconds: dict[str, float] = json.loads(record.read_text().splitlines()[-1])["seconds"]
    return {stage: value for stage, value in seconds.items() if stage != "total"}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _written() -> int:
    """Returns what this process and all that it has waited for wrote to files."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return
    for child in children:
        yield from _tree(int(child))


def _field(pid: int, file: str, name: str) -> int:
    """Returns a field of a file in /proc, in bytes; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)
