"""A project with a model and its release, for the tests of `smdecl reproduce`."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import smdecl
from smdecl.release import manifest

from tests.shared import made_once

NET = """
import tensorflow as tf

class Net(tf.Module):
    def __init__(self, scale=2.0):
        super().__init__()
        self.kernel = tf.Variable(tf.random.normal([3]) * scale)

    def add(self, x):
        return x + tf.reduce_sum(self.kernel)
"""


def make(directory):
    """Exports the release of NET, which is the same in any project."""
    (directory / "pyproject.toml").write_text("")
    (directory / "mynet.py").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.syspath_prepend(directory)
        smdecl.export(smdecl.compose(["model._target_=mynet.Net"]))


def write_net(project):
    project.write("mynet.py", NET)
    return project


@dataclass(frozen=True)
class Copy:
    """A release that was copied: where it is in its project, and its digest."""

    path: Path
    digest: str


def copy_release(factory, net):
    """Copies the release of NET into a project, and returns it."""
    path = Path("exports/adder/1")
    shutil.copytree(made_once(factory, "reproducible", make) / path, net.root / path)
    return Copy(path, manifest.read(path)["digest"])
