"""Small variants of a sweep are verified in turn by one process."""

import functools
import json
import os
import sys
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
    def __init__(self, value, wrong=0.0, size=1):
        super().__init__()
        self.value = tf.Variable(float(value))
        self.wrong = wrong
        self.size = size

    @tf.function
    def add(self, x):
        # Eagerly it computes the expected values, and graphs compute others.
        large = tf.reduce_max(tf.fill([self.size, self.size], x))
        return large * self.value + (0.0 if tf.executing_eagerly() else self.wrong)
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


def verify_by(monkeypatch, verify):
    """Has `verify` called with the function that shares a process, and its arguments."""
    share = SharedLoaders.share

    def sharing(self, root):
        shared = share(self, root)
        return replace(shared, verify=functools.partial(verify, shared.verify))

    monkeypatch.setattr(SharedLoaders, "share", sharing)


@pytest.fixture
def most_processes(monkeypatch):
    """Lists how many processes there are whenever a variant is to be verified."""
    counts = []

    def counted(verify, *arguments):
        # One thread passes on what each process prints.
        names = [thread.name for thread in threading.enumerate()]
        counts.append(names.count("smdecl-lines"))
        return verify(*arguments)

    verify_by(monkeypatch, counted)
    return counts


@pytest.fixture
def shares(monkeypatch):
    """Lists what each attempt to share a process came to."""
    outcomes = []

    def noted(verify, *arguments):
        replayed = verify(*arguments)
        outcomes.append(replayed is not None)
        return replayed

    verify_by(monkeypatch, noted)
    return outcomes


def test_small_variants_are_verified_in_one_process(sweep, shares):
    done, record = sweep("model=Net", "model.value=1,2,3,4")

    assert [variant["exit_code"] for variant in record] == [0, 0, 0, 0], done.stderr
    assert shares
    assert all(shares)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak cannot be reset")
def test_the_memory_of_a_variant_is_not_that_of_one_before(sweep, project, shares):
    sizes = "model.value=1,2", "+model.size=4000,4"
    done, _ = sweep("model=Net", *sizes, "publish.run_record=runs.jsonl", "--jobs", "1")

    assert done.returncode == 0, done.stderr
    assert all(shares)
    records = map(json.loads, (project.root / "runs.jsonl").read_text().splitlines())
    large, small, *_ = [record["peak_memory"] for record in records]
    assert large - small > 1 << 25


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
