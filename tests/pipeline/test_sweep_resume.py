"""A resumed sweep runs only what an earlier run has not published."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from smdecl.pipeline.sweeping import sweep_resume
from smdecl.pipeline.sweeping.sweep_resume import Target
from smdecl.pipeline.sweeping.sweep_summary import Summary
from smdecl.pipeline.sweeping.variants import Variant
from smdecl.release import presence

from tests.conftest import ROOT
from tests.waiting import wait_for

MODEL = """
from smdecl.models import Scaler

def make(factor):
    print("made", factor)
    return Scaler(factor=factor)
"""
SWEEP = ["--config-dir", "conf", "-m", "model=mine", "model.factor=1,word,3"]


@pytest.fixture
def ready(project):
    project.write("mynet.py", MODEL)
    project.write("conf/model/mine.yaml", "_target_: mynet.make\nfactor: 1\n")
    return project


def newest(root):
    return max(root.glob("sweeps/*/*/sweep.json"))


def entries(file):
    return json.loads(file.read_text())


def published():
    return sorted(map(str, Path("exports").glob("*/*/*")))


def made(done):
    return [line for line in done.stderr.splitlines() if line.startswith("made")]


def test_only_what_is_not_published_as_it_was_runs(ready):
    first = ready.run(*SWEEP)
    paths = [f"exports/mine/model.factor={factor}/1" for factor in (1, 3)]
    assert first.stdout.splitlines() == paths

    # As after a mistake in the code, which no config shows.
    ready.write("mynet.py", MODEL.replace("factor=factor", "factor=len(str(factor))"))
    record = newest(ready.root)
    again = ready.run(*SWEEP, "--resume", str(record))

    paths.insert(1, "exports/mine/model.factor=word/1")
    assert (again.returncode, again.stdout.splitlines()) == (0, paths)
    assert made(again) == ["made word"]
    skips = "smdecl: 2 of 3 variants are published already and skipped; runs 1 failed"
    assert again.stderr.splitlines()[0] == skips
    assert [line.split()[5] for line in again.stderr.splitlines() if line[:1] == "│"][::2] == [
        "skipped", "skipped",
    ]  # fmt: skip
    before, now = entries(record), entries(newest(ready.root))
    assert [entry["skipped"] for entry in now] == [True, False, True]
    assert now[0] == {**before[0], "skipped": True}
    assert [entry["state"] for entry in now] == ["published"] * 3

    shutil.rmtree(paths[0])
    Path(paths[2], "fingerprint.pb").unlink()
    # A directory for all runs: what an earlier one left in it counts for none.
    more = [*SWEEP[:3], "model.factor=1,word,3,5", "model=mine", "hydra.sweep.dir=sweeps/0"]
    third = ready.run(*more, "--resume", str(newest(ready.root)))

    assert third.stderr.splitlines()[:3] == [
        f"smdecl: model.factor=1 runs again: {paths[0]}: no such release",
        f"smdecl: model.factor=3 runs again: {paths[2]}/fingerprint.pb: no such file",
        "smdecl: 1 of 4 variants are published already and skipped; runs 2 changed, 1 new",
    ]
    assert third.stdout.splitlines() == [
        *paths[:2], "exports/mine/model.factor=3/2", "exports/mine/model.factor=5/1",
    ]  # fmt: skip


def test_a_variant_whose_config_has_changed_runs_again(tmp_path):
    swept = [["model=mine", f"seed={seed}"] for seed in range(4)]
    summary = Summary(tmp_path, swept, [f"{seed:064}" for seed in range(4)])
    for number in range(3):
        path = str(tmp_path / str(number))
        variant = Variant(number, tuple(swept[number]), 0, path, "d" * 64, (), 1.0)
        summary.add(variant)
    summary.write()

    # In a different order, and one cannot be composed anymore.
    configs = ["f" * 64, f"{1:064}", None, f"{3:064}", "e" * 64]
    later = [*swept, ["model=mine", "seed=4"]]
    targets = [config and Target(config, f"{tmp_path}/") for config in configs]
    found = sweep_resume.resume(summary.file, later[::-1], targets[::-1])

    assert found.skipped == {}
    assert found.remarks == [
        "seed=2 runs again: its config has changed",
        f"seed=1 runs again: {tmp_path / '1'}: no such release",
        "seed=0 runs again: its config has changed",
        "0 of 5 variants are published already and skipped; runs 1 new, 1 unfinished, 3 changed",
    ]


@pytest.mark.parametrize(
    ("overrides", "config", "base", "remark"),
    [
        (["seed=1", "model=x"], "1", "1", "1 of 1 variants are published already and skipped"),
        (["seed=01", "model=x"], "1", "1", "1 of 1 variants are published already and skipped"),
        (["seed=1", "model=x"], "9", "1", "seed=1 model=x runs again: its config has changed"),
        (["seed=1", "model=x"], "1", "9", "not in 9"),
        (["seed=2", "seed=3"], "3", "3", "1 of 1 variants are published already and skipped"),
        (["seed=3", "model=x"], "3", "9", "0 of 1 variants are published already and skipped; runs 1 new"),
        (["seed=4", "model=x"], "4", "4", "0 of 1 variants are published already and skipped; runs 1 failed"),
    ],
)  # fmt: skip
def test_a_variant_is_known_by_its_config_and_by_its_overrides_in_any_order(
    tmp_path, monkeypatch, overrides, config, base, remark
):
    monkeypatch.setattr(presence, "refuse", lambda *_: None)
    swept = [
        ["model=x", "seed=1"],
        ["seed=3", "seed=2"],
        ["seed=2", "seed=3"],
        ["model=x", "seed=4"],
    ]
    summary = Summary(tmp_path, swept, [number * 64 for number in "1234"])
    for number, each in enumerate(swept, start=1):
        failed = number == 4
        path = None if failed else f"{number}/1"
        digest = None if failed else "d" * 64
        summary.add(Variant(number - 1, tuple(each), 3 * failed, path, digest, (), 1.0))
    summary.write()

    found = sweep_resume.resume(summary.file, [overrides], [Target(config * 64, base)])

    assert remark in found.remarks[0]
    assert all(each.overrides == tuple(overrides) for each in found.skipped.values())


KILLED = """
import pathlib, time
from smdecl.models import Scaler

def make(factor):
    pathlib.Path(f"built-{factor}").touch()
    while factor == 2 and not pathlib.Path("resumed").exists():
        time.sleep(0.02)
    return Scaler(factor=factor)
"""


@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_publishes_nothing_twice(ready, interruptible):
    ready.write("mynet.py", KILLED)
    arguments = [*SWEEP[:-1], "model.factor=1,2,3"]
    process = interruptible(
        [sys.executable, "-m", "smdecl", *arguments, "-j", "1"],
        cwd=ready.root, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for(Path("built-2").exists)
    record = newest(ready.root)
    wait_for(lambda: entries(record)[0]["state"] == "published")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert [entry["state"] for entry in entries(record)] == [
        "published", "unfinished", "unfinished",
    ]  # fmt: skip

    Path("resumed").touch()
    paths = [f"exports/mine/model.factor={factor}/1" for factor in (1, 2, 3)]
    resumed = ready.run(*arguments, "--resume", str(record))
    assert (resumed.returncode, resumed.stdout.splitlines()) == (0, paths)
    assert "1 of 3 variants are published already and skipped; runs 2 unfinished" in resumed.stderr
    # As if it was killed after it had published, and before it recorded that.
    unrecorded = ready.run(*arguments, "--resume", str(record))
    assert unrecorded.stdout.splitlines() == paths
    assert published() == paths


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file or directory"),
        ("{", "invalid JSON"),
        ("{}", "not the record of a sweep of this version of smdecl"),
        ('[{"overrides": []}]', "not the record of a sweep of this version of smdecl"),
    ],
)
def test_what_is_not_the_record_of_a_sweep_is_refused(project, text, reason):
    if text is not None:
        project.write("x.json", text)

    done = project.run("-m", "model=adder,scaler", "--resume", "x.json")

    expected = "expected the sweep.json of an earlier run"
    assert done.stderr == f"smdecl: error: cannot resume 'x.json': {reason}; {expected}\n"
    assert done.returncode == 2
    assert not (project.root / "sweeps").exists()


@pytest.mark.parametrize("arguments", [["seed=1"], ["check", "-m", "seed=1,2"]])
def test_only_a_sweep_of_exports_can_be_resumed(project, arguments):
    done = project.run(*arguments, "--resume", "x.json")

    expected = "--resume goes on with a sweep of exports; expected -m and the same overrides"
    assert (done.returncode, done.stderr) == (2, f"smdecl: error: {expected}\n")


def test_the_digest_of_a_config_has_no_values_of_the_environment(project, monkeypatch):
    project.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["WORD"]\n')

    def target(word):
        monkeypatch.setenv("WORD", word)
        return Target.of(project.compose("export_dir='out/${oc.env:WORD}'"), "seed=1")

    other = Target.of(project.compose("export_dir=out"), "seed=1")
    assert target("one").config == target("two").config != other.config
    assert [target("two").base, other.base] == ["out/two/seed=1", "out/seed=1"]


@pytest.mark.parametrize(
    ("path", "base", "change"),
    [
        ("out/seed=1/1", "out/seed=1", "no such release"),
        ("out/seed=1", "./out//seed=1/", "no such release"),
        ("memory:///out/seed=1/1", "memory://out/seed=1", "no such release"),
        ("out/seed=1/1", "/out/seed=1", "not in /out/seed=1"),
        ("out/seed=1/1/1", "out/seed=1", "not in out/seed=1"),
        ("/tmp/1", "out/seed=1", "not in out/seed=1"),
    ],
)
def test_only_a_release_where_the_variant_is_published_counts(project, path, base, change):
    summary = Summary(Path("sweep"), [["seed=1"]], ["c" * 64])
    summary.add(Variant(0, ("seed=1",), 0, path, "d" * 64, (), 1.0))
    summary.write()

    found = sweep_resume.resume(summary.file, [["seed=1"]], [Target("c" * 64, base)])

    assert found.remarks[0] == f"seed=1 runs again: {path}: {change}"
