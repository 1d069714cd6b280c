"""Each published release adds a line with what varies between exports to a file outside of it."""

import errno
import json
import os
import re
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from smdecl import schema
from smdecl.errors import ConfigError, ContractError, PublishError, SmdeclError
from smdecl.progress import Peak
from smdecl.release import run_record

from tests.conftest import ROOT, tree

PUBLISHED = {"name": "adder", "release": "exports/adder/1", "version": 1, "digest": "0" * 64}
OF_A_CHILD = {"build", "trace", "save", "inspect", "examples", "sources"}
STAGES = {"compose", "check", "inputs", "start", *OF_A_CHILD, "seal", "verify", "publish", "total"}
PEAK = Peak(1, "build")


def records(path):
    """Returns the records of a file after validating each."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    found = [json.loads(line) for line in text.splitlines()]
    for record in found:
        schema.require("run_record", record)
    return found


def test_each_release_adds_a_line_and_has_the_same_digest(project):
    path = project.root / "logs" / "of" / "runs.jsonl"
    before = datetime.now(timezone.utc) - timedelta(seconds=1)

    releases = [
        project.export("publish.run_record=logs/of/runs.jsonl"),
        project.export(
            "publish.run_record=logs/of/runs.jsonl", "publish=in_place", "export_dir=other"
        ),
        project.export(
            "publish.run_record=logs/of/runs.jsonl", f"export_dir=file://{project.root}/store"
        ),
    ]

    found = records(path)
    assert [
        (record["name"], record["release"], record["version"], record["digest"]) for record in found
    ] == [
        ("adder", "exports/adder/1", 1, releases[0].digest),
        ("adder", "other", None, releases[0].digest),
        ("adder", f"file://{project.root}/store/1", 1, releases[0].digest),
    ]
    for record in found:
        assert before <= datetime.fromisoformat(record["time"]) <= datetime.now(timezone.utc)
        assert set(record["seconds"]) == STAGES
        stages = sum(seconds for stage, seconds in record["seconds"].items() if stage != "total")
        assert 0 < stages <= record["seconds"]["total"] + 0.01
        assert re.fullmatch(r"build|verify \(.*\)", record["peak_process"])
        assert 50 * 2**20 < record["peak_memory"] < 16 * 2**30  # TensorFlow is in it
        assert (record["host"], record["cpus"]) == (
            os.uname().nodename,
            len(os.sched_getaffinity(0)),
        )
    assert not [name for name in tree(project.root / "exports") if "runs" in name]


def test_a_failed_export_adds_no_line(project):
    project.write("runs.jsonl", "")

    project.write("mynet.py", UNUSED)
    with pytest.raises(ContractError):
        project.export(
            "publish.run_record=runs.jsonl", "audit.unused_inputs=error", "model._target_=mynet.Net"
        )

    assert (project.root / "runs.jsonl").read_text() == ""


UNUSED = """
import tensorflow as tf

class Net(tf.Module):
    def add(self, x):
        return tf.constant(1.0)
"""


def test_lines_of_concurrent_exports_do_not_mix(project):
    config = project.compose("publish.run_record=runs.jsonl")
    published = []

    def export():
        import smdecl

        published.append(smdecl.export(config).version)

    threads = [threading.Thread(target=export) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(published) == [1, 2, 3, 4]
    assert sorted(record["version"] for record in records(project.root / "runs.jsonl")) == [
        1,
        2,
        3,
        4,
    ]


def test_long_lines_of_many_processes_do_not_mix(tmp_path):
    script = (
        "import sys; from pathlib import Path; from smdecl.release import run_record\n"
        "from smdecl.progress import Peak\n"
        "for version in range(100):\n"
        "    published = {'name': sys.argv[1] * 20_000, 'release': 'r', 'version': version, 'digest': '0' * 64}\n"
        "    run_record.append(Path('runs.jsonl'), published, {}, Peak(1, 'build'))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script, name], cwd=tmp_path, env=env)
        for name in "abc"
    ]

    assert [process.wait(300) for process in processes] == [0, 0, 0]
    found = [(record["name"], record["version"]) for record in records(tmp_path / "runs.jsonl")]
    assert sorted(found) == [(name * 20_000, version) for name in "abc" for version in range(100)]


NET = """
import os
import tensorflow as tf

class Net(tf.Module):
    def __init__(self):
        super().__init__()
        {does}

    def add(self, x):
        return x + 1.0
"""


def test_a_failed_write_is_reported_and_the_release_is_published(project):
    project.write("mynet.py", NET.format(does='os.mkdir("runs.jsonl")'))

    with pytest.raises(PublishError) as error:
        project.export("model._target_=mynet.Net", "publish.run_record=runs.jsonl")

    expected = "override 'publish.run_record=runs.jsonl': publish.run_record: exports/adder/1 is published, but runs.jsonl"
    assert str(error.value) == f"{expected}: Is a directory"
    assert (project.root / "exports" / "adder" / "1" / "saved_model.pb").is_file()
    assert sorted(path.name for path in (project.root / "exports" / "adder").iterdir()) == ["1"]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (os.mkfifo, errno.ENXIO),
        (lambda path: path.symlink_to("/dev/full"), errno.ENOSPC),
        (Path.mkdir, errno.EISDIR),
    ],
    ids=["pipe", "full", "directory"],
)
def test_a_path_that_cannot_be_written_raises_an_os_error(tmp_path, make, code):
    make(tmp_path / "runs.jsonl")

    with pytest.raises(OSError, match=re.escape(os.strerror(code))) as error:
        run_record.append(tmp_path / "runs.jsonl", PUBLISHED, {}, PEAK)

    assert error.value.errno == code


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (".bashrc", "expected a file whose name ends in .jsonl, got '.bashrc'"),
        (
            "other.jsonl",
            "'other.jsonl' contains no run records; expected a new file or a file of run records",
        ),
        ("deep.jsonl", "'deep.jsonl' contains no run records; expected a new file"),
        ("/dev/full", "expected a file whose name ends in .jsonl, got '/dev/full'"),
        ("pipe.jsonl", "cannot append to 'pipe.jsonl': not a regular file"),
        (
            ".bashrc/runs.jsonl",
            "cannot create '.bashrc/runs.jsonl': '.bashrc' is not a directory",
        ),
        (
            "exports/adder/1/runs.jsonl",
            "expected a path outside export_dir 'exports/adder'",
        ),
        ("a" * 300, "has a NUL or a name of more than 255 bytes"),
        ("a/" * 2500 + "a", "is a path of more than 4000 bytes"),
    ],
)
def test_an_export_appends_only_to_files_of_run_records(project, place, expected):
    project.write(".bashrc", "export A=1\n")
    project.write("other.jsonl", '{"name": "adder"}\n')
    project.write("deep.jsonl", "[" * 60_000)
    os.mkfifo(project.root / "pipe.jsonl")
    before = tree(project.root)

    with pytest.raises(SmdeclError) as error:
        project.export(f"publish.run_record={place}")

    assert expected in str(error.value)
    assert tree(project.root) == before
    assert not (project.root / "exports").exists()


def test_a_user_without_a_name_is_recorded_by_number(project, monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)

    run_record.append(project.root / "runs.jsonl", PUBLISHED, {}, PEAK)

    assert json.loads((project.root / "runs.jsonl").read_text())["user"] == "54321"


def test_a_directory_is_rejected_before_anything_is_built(project):
    (project.root / "logs").mkdir()

    with pytest.raises(ConfigError) as error:
        project.export("publish.run_record=logs")

    assert str(error.value) == (
        "override 'publish.run_record=logs': publish.run_record: expected a file, existing or not, got the directory 'logs'"
    )
    assert not (project.root / "exports").exists()


@pytest.mark.slow
def test_each_variant_of_a_sweep_adds_a_line(project):
    done = project.run("-m", "model=adder,scaler", "publish.run_record=runs.jsonl")

    assert done.returncode == 0
    released = [record["release"] for record in records(project.root / "runs.jsonl")]
    assert (
        sorted(released) == done.stdout.splitlines()
    )  # each line is added when its variant is done
    assert len(done.stdout.splitlines()) == 2


def test_lines_are_appended(tmp_path):
    path = tmp_path / "runs.jsonl"
    published = {"name": "ä", "release": "exports/ä/1", "version": 1, "digest": "0" * 64}
    for seconds in (0.00049, 1.23456):
        run_record.append(path, published, {"total": seconds}, PEAK)

    assert [record["seconds"] for record in records(path)] == [{"total": 0.0}, {"total": 1.235}]
    assert {record["name"] for record in records(path)} == {"ä"}


def test_a_file_with_records_of_an_earlier_version_is_extended(tmp_path):
    path = tmp_path / "runs.jsonl"
    run_record.append(path, PUBLISHED, {"build": 1.0, "total": 2.0}, PEAK)
    (record,) = records(path)
    del record["peak_process"]  # until 0.2.0
    path.write_text(json.dumps(record) + "\n")

    run_record.require_ours(path)
    run_record.append(path, PUBLISHED, {}, PEAK)

    assert [record.get("peak_process") for record in records(path)] == [None, "build"]
