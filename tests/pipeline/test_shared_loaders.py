"""Small variants of a sweep are verified in turn by one process."""

import json
import os
import threading
from dataclasses import replace

import pytest
from smdecl.pipeline.shared_loaders import SharedLoaders

NETS = """
import tensorflow as tf


class Table(tf.Module):
    def __init__(self, value):
        super().__init__()
        keys = tf.range(4, dtype=tf.int64)
        values = tf.lookup.KeyValueTensorInitializer(keys, keys + value)
        self.table = tf.lookup.StaticHashTable(values, -1)

    @tf.function
    def add(self, x):
        return self.table.lookup(tf.cast(x, tf.int64))


class Net(tf.Module):
    def __init__(self, value, wrong=0.0):
        super().__init__()
        self.value = tf.Variable(float(value))
        self.wrong = wrong

    @tf.function
    def add(self, x):
        # Eagerly it computes the expected values, and graphs compute others.
        return x * self.value + (0.0 if tf.executing_eagerly() else self.wrong)
"""
SIGNATURE = """
serving_default:
  method: add
  inputs: {x: {shape: [], dtype: float32}}
"""


@pytest.fixture
def sweep(project, monkeypatch):
    """Runs a sweep on two cores, and returns the exit code and the record of each variant."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    project.write("mynet.py", NETS)
    project.write("conf/signatures/scalar.yaml", SIGNATURE)
    for name in ("Table", "Net"):
        project.write(f"conf/model/{name}.yaml", f"_target_: mynet.{name}\nvalue: 1\n")

    def run(*overrides):
        done = project.run("--config-dir", "conf", "-m", "signatures=scalar", *overrides)
        (path,) = project.root.glob("sweeps/*/*/sweep.json")
        return done, json.loads(path.read_text())

    return run


@pytest.fixture
def most_processes(monkeypatch):
    """Lists how many processes there are whenever a variant is to be verified."""
    counts = []
    verify = SharedLoaders.verify

    def counted(self, *arguments):
        # One thread passes on what each process prints.
        names = [thread.name for thread in threading.enumerate()]
        counts.append(names.count("smdecl-lines"))
        return verify(self, *arguments)

    monkeypatch.setattr(SharedLoaders, "verify", counted)
    return counts


@pytest.fixture
def shares(monkeypatch):
    """Lists what each attempt to share a process came to."""
    outcomes = []
    share = SharedLoaders.share

    def noting(self, root):
        shared = share(self, root)

        def verify(*arguments):
            replayed = shared.verify(*arguments)
            outcomes.append(replayed is not None)
            return replayed

        return replace(shared, verify=verify)

    monkeypatch.setattr(SharedLoaders, "share", noting)
    return outcomes


def test_small_variants_are_verified_in_one_process(sweep, shares):
    done, record = sweep("model=Net", "model.value=1,2,3,4")

    assert [variant["exit_code"] for variant in record] == [0, 0, 0, 0], done.stderr
    assert shares
    assert all(shares)


def test_a_failure_is_found_again_in_a_process_of_its_own(sweep, shares):
    _, record = sweep("model=Net", "model.value=1,2", "+model.wrong=0,1")

    assert [variant["exit_code"] for variant in record] == [0, 4, 0, 4]
    for variant in (record[1], record[3]):
        (first, *_) = variant["errors"]
        assert "serving_default: example 0, python loader: output_0 is " in first
    assert {*shares} == {True, False}


def test_variants_with_tables_of_one_name_do_not_share_a_process(sweep, shares):
    done, record = sweep("model=Table", "model.value=1,10,100")

    assert [variant["exit_code"] for variant in record] == [0, 0, 0], done.stderr
    assert shares
    assert not any(shares)


@pytest.mark.slow
def test_no_more_processes_run_than_are_needed(sweep, most_processes):
    """Each variant has an export_dir of its own, so none can use the process of another."""
    done, _ = sweep("model=Net", "model.value=range(1,10)", "export_dir=out/${model.value}")

    assert done.returncode == 0, done.stderr
    assert most_processes
    assert max(most_processes) <= 4  # two threads each make one release and verify one
