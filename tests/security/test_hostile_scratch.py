"""Code leaves something in its temporary directory that harms the process that removes it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from smdecl import scratch
from smdecl.errors import VerificationError
from smdecl.isolation import confine
from smdecl.isolation.confine import Confinement
from smdecl.pipeline.children import children

from tests.conftest import ROOT


@pytest.fixture
def outside(tmp_path):
    """A directory with a file, neither of which its owner may write."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "file").write_text("kept")
    (path / "file").chmod(0o400)
    path.chmod(0o500)
    yield path
    path.chmod(0o700)


def modes(outside):
    return [stat.S_IMODE(path.stat().st_mode) for path in (outside, outside / "file")]


# Run without the rights of root, which needs none of what a directory lacks.
AS_NOBODY = """
import os, pathlib, sys
from smdecl import scratch
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
place = scratch.make()
closed = place / "closed"
closed.mkdir()
(closed / "file").write_text("")
(closed / "below").mkdir()
(closed / "below" / "link").symlink_to(sys.argv[1])
(closed / "link").symlink_to(sys.argv[1])
(closed / "file link").symlink_to(pathlib.Path(sys.argv[1], "file"))
(place / "unwritable").mkdir()
(place / "unwritable" / "link").symlink_to(sys.argv[1])
(place / "unwritable" / "file link").symlink_to(pathlib.Path(sys.argv[1], "file"))
(place / "unwritable").chmod(0o500)
(closed / "below").chmod(0)
closed.chmod(0o100)
scratch.remove(place)
assert not place.exists(), list(place.rglob("*"))
"""


def test_links_in_a_directory_without_rights_change_nothing_outside(outside, tmp_path_factory):
    place = tmp_path_factory.mktemp("scratch")
    for path in (place, *place.parents[:2]):
        path.chmod(0o777)
    before = modes(outside)
    if os.geteuid() == 0:
        for path in (outside, outside / "file"):
            os.chown(path, 65534, 65534)

    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-B", "-c", AS_NOBODY, outside], env=environment, check=True, cwd=ROOT
    )

    assert modes(outside) == before
    assert (outside / "file").read_text() == "kept"


@pytest.mark.parametrize(
    "depth", [30, pytest.param(1100, marks=pytest.mark.slow)]
)  # a path; Python's recursion
def test_a_nest_that_is_deeper_than_a_path_may_be_is_removed(tmp_path, depth):
    tree = tmp_path / "tree"
    tree.mkdir()
    make_nest(tree, depth)
    (tree / "file").write_text("")

    scratch.remove(tree)

    assert not tree.exists()


def make_nest(directory, depth):
    place, name = os.open(directory, os.O_RDONLY), "n" * 200
    for _ in range(depth):
        os.mkdir(name, dir_fd=place)
        below = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)


def test_a_link_in_the_place_of_the_directory_is_not_followed(outside, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(outside)

    scratch.remove(link)

    assert (outside / "file").read_text() == "kept"


def leave_traps(outside):
    place = Path(os.environ["TMPDIR"])
    make_nest(place, 30)
    (place / "link").symlink_to(outside)
    (place / "closed").mkdir(0o000)
    os.mkfifo(place / "pipe")
    return str(place)


@pytest.mark.skipif(confine.abi() == 0, reason="this kernel has no Landlock")
def test_what_a_confined_process_leaves_is_removed_and_harms_nothing(outside):
    before = modes(outside)

    place = children.run(
        leave_traps,
        str(outside),
        failure=VerificationError,
        doing="testing",
        confinement=Confinement(),
    )

    assert not Path(place).exists()
    assert modes(outside) == before
