"""Measures the peak memory of an export of many variables against the plain script: python tests/benchmarks/memory.py.

The export's processes are the program's own and the one that builds and saves, which the server of its forks begins;
that of the verification, the next one, is a loader's, and is told by itself. Reads Linux's /proc; each command runs once, for memory is not noisy.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def peaks(command: list[str], directory: Path) -> tuple[float, float, list[float]]:
    """Returns the seconds that a command took, its peak GiB, and those of its grandchildren in the order they began."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=directory, env={**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}"})
    own, seen = 0.0, dict[int, float]()
    while process.poll() is None:
        own = max(own, _peak(process.pid))
        for pid in [grandchild for child in _children(process.pid) for grandchild in _children(child)]:
            seen[pid] = max(seen.get(pid, 0), _peak(pid))
        time.sleep(0.02)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    return time.perf_counter() - started, own, list(seen.values())


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended
        return []


def _peak(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 2**20 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2, help="of variables")
    gib = parser.parse_args().gib
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        plain, script, _ = peaks([sys.executable, str(HERE / "big.py"), str(gib), "plain"], directory)
        smdecl = [sys.executable, "-m", "smdecl"]
        exported, own, (saving, verifying) = peaks(
            [*smdecl, "--trust", "big", "model._target_=big.Big", f"+model.gib={gib}"], directory
        )
        verified, _, _ = peaks([*smdecl, "verify", "exports/adder/1"], directory)
    print(f"| {gib:g} GiB of variables | seconds | peak GiB | |\n| --- | --- | --- | --- |")
    print(f"| plain script | {plain:.1f} | {script:.2f} | |")
    ratio = (own + saving) / script
    print(
        f"| smdecl: exported, hashed, verified | {exported:.1f} | {own + saving:.2f} | {ratio:.2f} x the plain script |"
    )
    print(f"| its verification, a process of its own | | {verifying:.2f} | |")
    print(f"| smdecl verify: hashed and verified again | {verified:.1f} | | |")


if __name__ == "__main__":
    main()
