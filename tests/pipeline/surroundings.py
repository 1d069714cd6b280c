"""Exports in different surroundings: user, directory, threads, locale and time."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.conftest import ROOT, Project, run_cli
from tests.pipeline import zoo

WARMUP = "publish.warmup=true"


@dataclass(frozen=True)
class Surroundings:
    """What an export is made in, beside its config.

    Attributes:
        place: Of the project: another copy, of another age.
        within: The working directory, below the project.
        cpus: How many are visible; None for all.
        backwards: The variants of a sweep in the other order.
        env: Of the caller.
    """

    place: str = ""
    within: str = ""
    cpus: int | None = None
    backwards: bool = False
    env: dict = field(default_factory=dict)


USER = {
    "USER": "other",
    "LOGNAME": "other",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "C",
    "TZ": "Asia/Tokyo",
}


THREADS = {"OMP_NUM_THREADS": "3", "TF_NUM_INTRAOP_THREADS": "5", "TF_NUM_INTEROP_THREADS": "3"}


SURROUNDINGS = {
    "another process": Surroundings(),
    "another order": Surroundings(backwards=True),
    "another hash seed": Surroundings(env={"PYTHONHASHSEED": "4242"}),
    "another place": Surroundings(place="another place/of more/depth"),
    "another working directory": Surroundings(within="inner/one"),
    "another user": Surroundings(env=USER),
    "one processor": Surroundings(cpus=1),
    "other threads": Surroundings(env=THREADS),
}


ALL_AT_ONCE = Surroundings(
    "another place/of more/depth",
    "inner/one",
    1,
    True,
    {**USER, **THREADS, "PYTHONHASHSEED": "4242"},
)


def make_project(root: Path) -> Project:
    project = Project(root)
    project.write("pyproject.toml", "")
    project.write("zoo.py", Path(zoo.__file__).read_text(encoding="utf-8"))
    # The config has a path relative to the working directory, whichever that is.
    for vocabularies in ("vocabularies", "inner/one/vocabularies"):
        project.write(f"{vocabularies}/words.txt", "the\ncat\ndog\nsat\n")
    for kind, values in zoo.RELEASES.items():
        text = yaml.safe_dump({"name": kind, **values})
        project.write(
            f"conf/release/{kind}.yaml",
            f"# @package _global_\ndefaults:\n  - override /signatures: none\n{text}",
        )
    if shutil.which("git"):  # the manifest has the commit
        author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        for command in (
            ["init", "-q"],
            ["add", "."],
            [*author, "commit", "-q", "-m", "The models"],
        ):
            subprocess.run(["git", *command], cwd=root, check=True)
    return project


def sweep(project, kinds, surroundings, *overrides):
    """Returns the release of each kind, made by one command."""
    root = project.root
    if surroundings.place:
        root = root.parent / f"{root.name} moved" / surroundings.place
        shutil.copytree(
            project.root, root, ignore=shutil.ignore_patterns("exports", "sweeps", "__pycache__")
        )
        for path in root.rglob("*"):
            os.utime(path, (1e9, 1e9))
    out = tempfile.mkdtemp(prefix="exports", dir=root)
    ordered = kinds[::-1] if surroundings.backwards else kinds
    run(
        root, surroundings, "-m", f"release={','.join(ordered)}", WARMUP, f"export_dir='{out}/${{name}}'", *overrides
    )  # fmt: skip
    return {kind: only(Path(out, kind).rglob("saved_model.pb")).parent for kind in kinds}


def run(root, surroundings, *arguments):
    arguments = ["--config-dir", str(root / "conf"), *arguments]
    if surroundings == Surroundings():
        done = run_cli(*arguments, cwd=root)
        assert done.returncode == 0, done.stderr
        return
    limit = f"os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{surroundings.cpus}]); "
    done = subprocess.run(
        [sys.executable, "-c", f"import os, sys; {limit}os.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
         "-m", "smdecl", *arguments],
        cwd=root / surroundings.within,
        env={**os.environ, **surroundings.env, "PYTHONPATH": os.pathsep.join([str(root), str(ROOT)])},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def only(found):
    (one,) = found
    return one


def differences(first, second):
    """Says of each file and directory that two trees do not both have, or have otherwise, what it is with it."""
    trees = [
        {path.relative_to(root).as_posix(): path for path in root.rglob("*")}
        for root in (first, second)
    ]
    found = {}
    for name in sorted({*trees[0], *trees[1]}):
        places = [tree.get(name) for tree in trees]
        if None in places:
            found[name] = f"only in {places[0] or places[1]}"
        elif len({path.is_dir() for path in places}) > 1:
            found[name] = "is a directory in one"
        elif places[0].is_file():
            before, after = (path.read_bytes() for path in places)
            if before != after:
                pairs = enumerate(zip(before, after, strict=False))
                start = next((at for at, (a, b) in pairs if a != b), min(len(before), len(after)))
                here = slice(max(0, start - 40), start + 40)
                found[name] = (
                    f"differs at byte {start} of {len(before)}: {before[here]!r} and {after[here]!r}"
                )
    return found


def compare(before, after):
    return {kind: found for kind in before if (found := differences(before[kind], after[kind]))}
