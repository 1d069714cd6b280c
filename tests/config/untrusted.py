"""Shared by the tests of trust: a module that shows whether it was imported or built."""

import textwrap

import pytest
from smdecl.errors import TrustError

NET = """
import pathlib
import tensorflow as tf

pathlib.Path("imported.txt").write_text("")


class Net(tf.Module):
    def __init__(self, inner=None):
        super().__init__()
        pathlib.Path("built.txt").write_text(repr(inner))
        self.inner = [inner]

    @tf.function
    def add(self, x):
        return x + x
"""


def conf(project, text):
    project.write("conf/model/mine.yaml", textwrap.dedent(text))


def refused(project, *overrides, **options):
    """Exports a config that must be refused without a trace; returns the problems by key."""
    with pytest.raises(TrustError) as error:
        project.export(*overrides, **options)
    assert error.value.exit_code == 2
    assert not (project.root / "exports").exists()
    assert not (project.root / "built.txt").exists()
    return {problem.key: problem.message for problem in error.value.problems}
