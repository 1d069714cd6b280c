"""Measures the second `smdecl.export` of a process: python second_export.py."""

import json
import os
from pathlib import Path
from time import perf_counter

import smdecl
from watch import cpu_of


def export() -> None:
    smdecl.export(smdecl.compose(["export_dir=out/smdecl"]))


if __name__ == "__main__":
    export()
    used, started = cpu_of(os.getpid()), perf_counter()
    export()
    seconds = perf_counter() - started
    record = {"seconds": seconds, "cpu": cpu_of(os.getpid()) - used}
    Path("measured.json").write_text(json.dumps(record))
