"""A sweep exports every variant."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import smdecl
from smdecl import schema
from smdecl.cli import main
from smdecl.isolation import memory
from smdecl.pipeline.sweeping import sweep_threads

from tests.conftest import ROOT, tree
from tests.waiting import processes_with, wait_for


def sweep_record(root):
    (path,) = root.glob("sweeps/*/*/sweep.json")
    variants = json.loads(path.read_text())
    for variant in variants:
        schema.require("sweep", variant)
    return variants


def test_every_variant_is_exported_into_a_directory_named_for_it(project, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    done = project.run("-m", "model=adder,scaler", "signatures=scalar_float,vector_float", "seed=3")

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"exports/{model}/model={model},signatures={signatures}/1"
        for model in ("adder", "scaler")
        for signatures in ("scalar_float", "vector_float")
    ]
    record = sweep_record(project.root)
    assert [variant["path"] for variant in record] == done.stdout.splitlines()
    assert [variant["overrides"] for variant in record][1] == [
        "model=adder",
        "signatures=vector_float",
        "seed=3",
    ]
    assert all(Path(variant["path"], "saved_model.pb").is_file() for variant in record)
    assert "sweep.json" in done.stderr
    assert done.stderr.startswith("smdecl: 1 variant runs at a time: one takes 0.")
    assert "seed=3" not in done.stderr  # what all variants share is left out


@pytest.mark.slow
def test_a_flag_works_anywhere_among_the_overrides_and_a_glob_is_hydras_own(project):
    done = project.run("model=scaler", "-m", "signatures=glob(*float)")

    names = ("scalar_float", "vector_float")
    assert done.stdout.splitlines() == [f"exports/scaler/signatures={name}/1" for name in names]


def test_a_failing_variant_does_not_stop_the_others_and_the_highest_exit_code_wins(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    def __init__(self, size=1):\n"
        "        self.v = tf.Variable(tf.ones([size]))\n"
        "    def add(self, x):\n"
        "        return x + self.v[0]\n",
    )
    project.write("conf/model/mine.yaml", "_target_: mynet.Net\nsize: 1\n")
    arguments = [
        "--config-dir",
        "conf",
        "-m",
        "model=mine,addr,adder",
        "signatures.serving_default.method=add,ad",
    ]

    done = project.run(*arguments)

    record = sweep_record(project.root)
    assert [variant["exit_code"] for variant in record] == [0, 2, 2, 2, 0, 2]
    assert [variant["state"] == "published" for variant in record] == [
        code == 0 for code in (0, 2, 2, 2, 0, 2)
    ]
    assert len(done.stdout.splitlines()) == 2
    assert (
        "unknown method 'ad' of Net; expected one of add (did you mean 'add'?)"
        in record[1]["errors"][0]
    )
    assert (
        "unknown option 'addr' for model; expected one of adder, concat, dense, mine, scaler, typed_adder, typed_concat (did you mean 'adder'?)"
        in record[2]["errors"][0]
    )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    unknown = ["unknown option 'addr'" in line for line in errors]
    assert unknown == [True, True, False, False]  # what cannot be composed is reported first
    assert done.stderr.count("error:") == 4
    assert "Traceback" not in done.stderr


def test_an_unreadable_primary_config_is_reported(project):
    project.write("conf/export.yaml", "a: [\n")

    done = project.run("-m", "--config-dir", "conf", "model=adder,scaler")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "smdecl: error: conf/export.yaml:2: invalid YAML: expected the node content, but found '<stream end>'\n"
    )


def test_a_failure_of_the_models_code_shows_in_the_exit_code(project):
    done = project.run("-m", "model=scaler", "model.factor=1,word")

    assert done.returncode == 3
    assert done.stdout == "exports/scaler/model.factor=1/1\n"


def test_a_variant_has_the_bytes_of_a_single_export_in_one_directory(
    project,
):
    done = project.run(
        "-m",
        "model=scaler",
        "devices.build=/device:CPU:0,null",
        "signatures=[scalar_float],vector_float",
    )

    paths = done.stdout.splitlines()
    assert paths == [
        "exports/scaler/devices.build=%2Fdevice:CPU:0,signatures=%5Bscalar_float%5D/1",
        "exports/scaler/devices.build=%2Fdevice:CPU:0,signatures=vector_float/1",
        "exports/scaler/devices.build=null,signatures=%5Bscalar_float%5D/1",
        "exports/scaler/devices.build=null,signatures=vector_float/1",
    ]
    alone = project.export("model=scaler", "signatures=vector_float")
    assert tree(Path(paths[-1])) == tree(alone.path)


def test_what_is_published_stays_so_if_its_path_cannot_be_printed(project, monkeypatch, capfd):
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails
    monkeypatch.setattr(sys, "stdout", full)
    code = main.run(["-m", "model=scaler"])
    with contextlib.suppress(OSError):
        full.close()

    refusal = "error: published exports/scaler/1, but cannot write to standard output"
    printed = capfd.readouterr().err
    assert (code, printed.count(refusal)) == (5, 1)
    assert printed.startswith("smdecl: one variant, because no override has several values,")
    (entry,) = sweep_record(project.root)
    assert (entry["state"], entry["exit_code"], entry["errors"]) == ("published", 0, [])


WAITING = """
import pathlib, time
import tensorflow as tf
from smdecl.models import Scaler

def make(number):
    pathlib.Path(f"built-{number}").touch()
    if number == 0:  # until the others have been built
        end = time.monotonic() + 300
        while not all(pathlib.Path(f"built-{other}").exists() for other in (1, 2)):
            assert time.monotonic() < end
            time.sleep(0.02)
    if number == 3:
        time.sleep(600)
    return Scaler(factor=number)
"""
MODEL = ["model=scaler", "model._target_=mynet.make", "~model.factor"]


@pytest.fixture
def waiting(project):
    project.write("mynet.py", WAITING)
    return project


def test_variants_run_at_the_same_time_and_are_reported_in_order(waiting):
    done = waiting.run("-m", "--jobs", "3", *MODEL, "+model.number=0,1,2")

    assert done.stdout.splitlines() == [
        f"exports/scaler/+model.number={number}/1" for number in range(3)
    ]
    assert done.returncode == 0


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_sweep_leaves_what_was_published_before_and_no_process(
    waiting, interruptible, number
):
    marker = f"SMDECL_TEST_{os.getpid()}_{number}"
    states = ["published", "unfinished", "published", "unfinished"]
    scratch = Path(tempfile.mkdtemp())  # contains a socket, whose path has to be short
    process = interruptible(
        [sys.executable, "-m", "smdecl", "-m", "-j", "2", *MODEL, "+model.number=1,3,2,3.0"],
        cwd=waiting.root, env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), marker: "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: Path("built-3.0").exists())
    # Whatever ends the process now, the file has what is published.
    wait_for(lambda: [one["state"] for one in sweep_record(waiting.root)] == states)
    os.killpg(process.pid, number)  # as a terminal does
    stdout, stderr = process.communicate(timeout=300)

    published = [
        f"exports/scaler/+model.number={done}/1" for done in (1, 2)
    ]  # the other waited for its turn to be printed
    assert (process.returncode, stdout.splitlines()) == (-number, published)
    (summary,) = waiting.root.glob("sweeps/*/*/sweep.json")
    place = summary.relative_to(waiting.root)
    counts = "2 published, 0 failed, 2 unfinished"
    assert stderr == (
        f"smdecl: ended before all variants were done: {counts}; to run the others, add --resume {place}\n"
    )
    assert sorted(map(str, Path("exports/scaler").glob("*/*"))) == published
    outcomes = [
        (variant["state"], variant["path"], variant["exit_code"])
        for variant in sweep_record(waiting.root)
    ]
    assert outcomes == [
        ("published", published[0], 0), ("unfinished", None, None),
        ("published", published[1], 0), ("unfinished", None, None),
    ]  # fmt: skip
    assert len(list(waiting.root.glob("sweeps/*/*/*/result.json"))) == 2
    wait_for(lambda: processes_with(marker) == [])
    scratch.rmdir()  # it is empty


@pytest.mark.slow
def test_a_variant_has_the_settings_of_a_hydra_job(project):
    done = project.run(
        "-m",
        "model=adder,scaler",
        "export_dir='${now:%f}/${hydra:job.num}'",
        "hydra.sweep.subdir='n${hydra.job.num}'",
    )

    first, second = (Path(line) for line in done.stdout.splitlines())
    assert first.parts[0] == second.parts[0]  # one time for the whole sweep
    assert (first.parts[1:], second.parts[1:]) == (
        ("0", "model=adder", "1"),
        ("1", "model=scaler", "1"),
    )
    assert len(list(project.root.glob("sweeps/*/*/n1/result.json"))) == 1


@pytest.mark.parametrize("arguments", [["--jobs", "0", "-m"], ["--jobs", "2"], ["--jobs", "auto"]])
def test_an_invalid_number_of_jobs_is_refused(project, arguments):
    done = project.run(*arguments, "model=adder,scaler")

    expected = "--jobs is the number of variants of a sweep that run at the same time; expected at least 1, or auto, together with -m"
    assert (done.returncode, done.stderr) == (2, f"smdecl: error: {expected}\n")


def test_an_empty_sweep_is_refused(project):
    done = project.run("-m", "model=scaler", "model.factor=range(1,1)", "signatures=glob(zz*)")

    assert (done.returncode, done.stdout) == (2, "")
    expected = "is an empty sweep; expected a range or a pattern with a value in it"
    assert done.stderr.splitlines() == [
        f"smdecl: error: override 'model.factor=range(1,1)': {expected}",
        f"smdecl: error: override 'signatures=glob(zz*)': {expected}",
    ]


def test_nothing_is_exported_if_the_records_cannot_be_written(project):
    project.write("sweeps", "a file")

    done = project.run("-m", "model=adder,scaler")

    assert (done.returncode, done.stdout) == (5, "")
    assert re.fullmatch(
        r"smdecl: error: hydra.sweep.dir: cannot write 'sweeps/\S+/sweep.json': \w.*; expected a directory that can be written\n",
        done.stderr,
    )
    assert not (project.root / "exports").exists()


def test_every_variant_is_checked(project):
    done = project.run(
        "check",
        "-m",
        "model=adder,addr,scaler",
        "signatures.serving_default.inputs.x.dtype=float32,flaot32",
        "seed=1",
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 4
    assert (
        "smdecl: model=scaler signatures.serving_default.inputs.x.dtype=flaot32: error: "
        in done.stderr
    )
    assert not (project.root / "sweeps").exists()


FAILING = """
import os
def make(k):
    print("partial", end="")
    raise ValueError(f"no [/INST] with {os.environ['OMP_NUM_THREADS']}")
"""


def test_failing_variants_leave_no_directory_and_their_errors_are_text(project):
    project.write("mynet.py", FAILING)

    done = project.run(
        "-m", *MODEL[:1], "model._target_=mynet.make", "~model.factor", "+model.k=1,3"
    )

    assert (done.returncode, done.stdout) == (3, "")
    assert "[/INST]" in done.stderr
    assert done.stderr.splitlines().count("partial") == 2
    assert not (project.root / "exports").exists()


def test_a_variant_reads_the_environment_of_the_sweep(project):
    project.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["OMP_NUM_THREADS"]\n')
    arguments = ["-m", "seed=0,1,2", "export_dir='out/${oc.env:OMP_NUM_THREADS}'"]
    done = project.run(*arguments, env={"OMP_NUM_THREADS": "7"})

    assert done.stdout.splitlines() == [f"out/7/seed={seed}/1" for seed in range(3)], done.stderr


@pytest.mark.slow
def test_variants_before_a_failing_one_in_a_batch_are_exported_once(project):
    done = project.spawn(
        "-m", "model=adder,addr", "hydra.output_subdir=.h", "hydra.sweeper.max_batch_size=1"
    )

    assert (done.returncode, done.stdout.splitlines()) == (2, ["exports/adder/model=adder/1"])


@pytest.mark.slow
def test_a_sweep_directory_may_have_any_name_and_more_keys_may_be_excluded(project):
    done = project.run(
        "-m", "model=adder,scaler", "seed=1,2", "hydra.sweep.dir=\"my sweeps (1), it's\"",
        "hydra.job.config.override_dirname.exclude_keys=[model]",
    )  # fmt: skip

    assert done.stdout.splitlines() == [
        f"exports/{model}/seed={seed}/1" for model in ("adder", "scaler") for seed in (1, 2)
    ]
    assert (project.root / "my sweeps (1), it's" / "sweep.json").is_file()


def test_an_interrupt_while_variants_are_submitted_ends_those_that_run(project, monkeypatch):
    class Interrupted(ThreadPoolExecutor):
        submitted = 0

        def submit(self, *arguments):
            Interrupted.submitted += 1
            if Interrupted.submitted == 3:
                raise KeyboardInterrupt
            return super().submit(*arguments)

    monkeypatch.setattr(sweep_threads, "ThreadPoolExecutor", Interrupted)
    monkeypatch.chdir(project.root)
    before = {*threading.enumerate()}

    with pytest.raises(KeyboardInterrupt):
        smdecl.sweep(["model=scaler", "model.factor=1,2,3"])

    left = {thread.name for thread in {*threading.enumerate()} - before}
    assert not [name for name in left if "ThreadPoolExecutor" in name]
    assert [*project.root.glob("exports/scaler/*/1")] == []
