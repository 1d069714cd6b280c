"""Measures the peak memory of an export of many variables against the plain script: python tests/benchmarks/memory.py.

The export's processes are this one and the one that builds and saves; that of the verification is a loader's, and is
told by itself. Reads Linux's /proc; each command runs once, for memory is not noisy.
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


def peaks(command: list[str], directory: Path) -> tuple[float, list[float]]:
    """Returns the seconds that a command took and the peak GiB of each of its processes, in the order they began."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=directory, env={**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}"})
    seen: dict[int, float] = {}
    while process.poll() is None:
        for pid in _tree(process.pid):
            seen[pid] = max(seen.get(pid, 0), _peak(pid))
        time.sleep(0.02)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    return time.perf_counter() - started, list(seen.values())


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            found += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
        except OSError:  # it has ended
            continue
    return found


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
        plain, (script, *_) = peaks([sys.executable, str(HERE / "big.py"), str(gib), "plain"], directory)
        smdecl = [sys.executable, "-m", "smdecl"]
        exported, found = peaks([*smdecl, "--trust", "big", "model._target_=big.Big", f"+model.gib={gib}"], directory)
        verified, _ = peaks([*smdecl, "verify", "exports/adder/1"], directory)
    # Beside the program itself there are the server, which imports and forks, and multiprocessing's own.
    own, *others = found
    saving, verifying = others[-2:]  # in the order they began
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
