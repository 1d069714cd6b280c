"""Writes op_sets.json of the audits: the ops and op attributes of each TensorFlow release.

Run it after a new minor release. It downloads the wheel of the release and lists the ops that the
shared library in it registers. This needs neither an installation nor a matching Python:

    python scripts/make_op_sets.py            # adds the releases that the file lacks
    python scripts/make_op_sets.py 2.12 2.21  # updates these releases

For each op (under "") and each of its attributes, the table has the first and the last release that
has it. The last one is null if the newest release has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TABLE = Path(__file__).parents[1] / "smdecl" / "savedmodel/audits/op_sets.json"
RELEASES = tuple(f"2.{minor}" for minor in range(12, 22))
LIBRARIES = (
    "tensorflow/libtensorflow_framework.so.2",
    "tensorflow/libtensorflow_cc.so.2",
)

# Runs in a separate process, because a process can load the library of only one release.
_LIST_OPS = """
import ctypes, sys
class Buffer(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    ]
for path in sys.argv[1:]:
    library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
library.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
buffer = library.TF_GetAllOpList().contents
sys.stdout.buffer.write(ctypes.string_at(buffer.data, buffer.length))
"""


def main() -> None:
    """Adds the op sets of the releases named on the command line to the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "releases", nargs="*", help="minor releases, such as 2.15"
    )
    named = parser.parse_args().releases
    sets = read_table() if TABLE.exists() else {}
    for release in named or [
        release for release in RELEASES if release not in sets
    ]:
        sets[release] = op_set(release)
        print(
            f"{release}: {len({op for op, _ in sets[release]})} ops",
            file=sys.stderr,
        )
    write_table(sets)


def op_set(release: str) -> set[tuple[str, str]]:
    """Returns the (op, attribute) pairs of a release, from its wheel."""
    with tempfile.TemporaryDirectory() as directory:
        options = [
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            "3.11",
        ]
        for platform in ("manylinux2014_x86_64", "manylinux_2_27_x86_64"):
            options += ["--platform", platform]
        requirement = f"tensorflow-cpu=={release}.*"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                *options,
                "-d",
                directory,
                requirement,
            ],
            check=True,
        )
        (wheel,) = Path(directory).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return registered(
                [archive.extract(name, directory) for name in LIBRARIES]
            )


def registered(libraries: list[str]) -> set[tuple[str, str]]:
    """Returns the pairs of op and attribute of TensorFlow's libraries; an op has an empty one."""
    from tensorflow.core.framework import op_def_pb2

    listing = subprocess.run(
        [sys.executable, "-c", _LIST_OPS, *libraries],
        check=True,
        capture_output=True,
    )
    ops = op_def_pb2.OpList.FromString(listing.stdout).op
    # Ops with an underscore are internal: the runtime adds them to graphs, and builds differ.
    public = [op for op in ops if not op.name.startswith("_")]
    return {
        (op.name, name)
        for op in public
        for name in ("", *(attribute.name for attribute in op.attr))
    }


def read_table() -> dict[str, set[tuple[str, str]]]:
    """Returns release to its (op, attribute) pairs."""
    table = json.loads(TABLE.read_text())
    sets: dict[str, set[tuple[str, str]]] = {
        release: set() for release in table["releases"]
    }
    for op, spans in table["ops"].items():
        for attribute, (first, last) in spans.items():
            for release, known in sets.items():
                if _key(first) <= _key(release) and (
                    last is None or _key(release) <= _key(last)
                ):
                    known.add((op, attribute))
    return sets


def write_table(sets: dict[str, set[tuple[str, str]]]) -> None:
    """Writes the first and the last release that has each pair."""
    releases = sorted(sets, key=_key)
    ops: dict[str, dict[str, tuple[str, str | None]]] = {}
    for op, attribute in sorted(set().union(*sets.values())):
        known = [
            release for release in releases if (op, attribute) in sets[release]
        ]
        last = None if known[-1] == releases[-1] else known[-1]
        ops.setdefault(op, {})[attribute] = known[0], last
    # One line per op, so that a new release changes only the lines of the ops that it changes.
    lines = ",\n".join(
        f"  {json.dumps(op)}: {json.dumps(spans)}" for op, spans in ops.items()
    )
    TABLE.write_text(
        f'{{\n "releases": {json.dumps(releases)},\n "ops": {{\n{lines}\n }}\n}}\n'
    )


def _key(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


if __name__ == "__main__":
    main()
