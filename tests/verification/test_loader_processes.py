"""Loaders run in separate processes: if one dies, the other still reports its result."""

import os

import pytest
from smdecl.errors import VerificationError
from smdecl.pipeline import worker
from smdecl.pipeline.children import children

# A custom ops module, which every process that loads the export imports.
ABORTS = """
import os
import tensorflow as tf

tf.saved_model.load = lambda *args, **options: os.abort()
"""
# The graph computes something else than the object in memory.
DIFFERENT = """
import tensorflow as tf

class Net(tf.Module):
    @tf.function
    def add(self, x):
        return x + (4.0 if tf.executing_eagerly() else 1.0)
"""
ONE = "+verify.examples={serving_default: [{inputs: {x: 1.0}}]}"
DIED = "the process that was loading and running the export with the {} was killed by SIGABRT (stage verify)"
DIFFERS = "cpp loader: output_0 is 2.0, expected 5.0 within rtol 0.0001, atol 1e-05"


@pytest.fixture
def messages(project):
    """Exports a model for which one loader dies and the other differs; returns the messages."""
    project.write("pyproject.toml", '[tool.smdecl]\ncustom_ops = ["aborts"]\n')
    project.write("aborts.py", ABORTS)
    project.write("mynet.py", DIFFERENT)

    def export():
        with pytest.raises(VerificationError) as error:
            project.export("model._target_=mynet.Net", ONE)
        return [problem.message.partition(";")[0] for problem in error.value.problems]

    return export


def test_a_loader_that_dies_does_not_hide_the_result_of_the_other(messages, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    assert messages() == [DIED.format("python loader"), DIFFERS]


@pytest.mark.parametrize("custom_ops", ["[]", '["mine"]'])
def test_only_loaders_with_custom_ops_can_start_processes(project, monkeypatch, custom_ops):
    project.write("pyproject.toml", f"[tool.smdecl]\ncustom_ops = {custom_ops}\n")
    project.write("mine.py", "import tensorflow\n")
    running = children.running
    started = []

    def noting(function, *arguments, **keywords):
        if function is worker.verify:
            started.append(keywords["starts_processes"])
        return running(function, *arguments, **keywords)

    monkeypatch.setattr(children, "running", noting)
    project.export("model=adder")

    assert set(started) == {custom_ops != "[]"}


def test_one_process_runs_all_loaders_if_no_core_is_idle(messages, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})

    assert messages() == [DIED.format("python and cpp loaders")]
