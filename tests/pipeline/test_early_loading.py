"""Loaders begin when a model is saved, while its code still computes the examples."""

import os

import pytest
from smdecl.errors import ModelError

# A module for custom_ops, which every process that loads the export imports first.
NAMES_ITS_PROCESS = """
import ctypes

PR_SET_NAME = 15
ctypes.CDLL(None).prctl(PR_SET_NAME, b"a-loader", 0, 0, 0)
"""
WAITS = """
import os
from pathlib import Path

import tensorflow as tf

from tests.waiting import wait_for


def others():
    for place in Path("/proc").glob("[0-9]*"):
        if int(place.name) != os.getpid():
            try:
                yield (place / "comm").read_text().strip()
            except OSError:
                pass


class Waits(tf.Module):
    @tf.function
    def add(self, x):
        if tf.executing_eagerly():
            wait_for(lambda: list(others()).count("a-loader") >= 2)
        return x + 1.0
"""
CHANGES = """
from pathlib import Path

import tensorflow as tf


class Changes(tf.Module):
    @tf.function
    def add(self, x):
        if tf.executing_eagerly():
            for path in Path(__file__).parent.rglob(".*/moved/fingerprint.pb"):
                path.write_bytes(path.read_bytes())
                path.with_name("saved_model.cpb").write_bytes(b"")
        return x + 1.0
"""


@pytest.fixture
def export(project, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    def export(name, source):
        project.write(f"{name}.py", source)
        target = f"model._target_={name}.{name.capitalize()}"
        overrides = ["model=adder", target, "verify.generate=1"]
        return project.export(*overrides)

    return export


def test_both_loaders_begin_while_an_example_is_computed(project, export):
    project.write("pyproject.toml", '[tool.smdecl]\ncustom_ops = ["naming"]\n')
    project.write("naming.py", NAMES_ITS_PROCESS)

    assert export("waits", WAITS).version == 1


def test_what_the_model_changes_or_adds_after_it_is_saved_is_an_error(project, export):
    changed = "the model's code changed {!r} in the release after the model was saved"
    files = ["fingerprint.pb", "saved_model.cpb"]
    with pytest.raises(ModelError, match="changed 'fingerprint.pb'") as error:
        export("changes", CHANGES)

    messages = [problem.message for problem in error.value.problems]
    assert messages == [changed.format(file) for file in files]
    assert not (project.root / "exports").exists()
