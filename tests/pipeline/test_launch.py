"""Hydra's launchers run the variants of a sweep with the same results."""

import importlib.util
import json
import os
import re

import pytest

from tests.conftest import ROOT, tree

LAUNCHERS = {
    "joblib": "hydra_joblib_launcher",
    "submitit_local": "hydra_submitit_launcher",
    "ray": "hydra_ray_launcher",
}
SWEEP = ["--config-dir", "conf", "-m", "model.factor=2,three,4", "model=mine,addr"]
MODEL = """
import warnings
from smdecl.models import Scaler

def make(factor):
    print("from the model")
    return Scaler(factor + 0)
"""


def write_project(project):
    project.write("mynet.py", MODEL)
    project.write("conf/model/mine.yaml", "_target_: mynet.make\nfactor: 1\n")


def results_of(project, done):
    """Returns what a sweep gives, and removes it: stdout, errors, exit code, record and releases."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("smdecl: ")]
    (path,) = project.root.glob("sweeps/*/*/sweep.json")
    record = json.loads(path.read_text().replace(str(project.root), "."))
    record = [{**variant, "seconds": None} for variant in record]
    table = [
        re.sub(r"│ \d+\.\d ", "│ - ", line) for line in done.stderr.splitlines() if line[:1] == "│"
    ]
    releases = tree(project.root / "exports")
    for place in ("exports", "sweeps"):
        (project.root / place).rename(project.root / f"{place}-{len(list(project.root.iterdir()))}")
    return (
        done.returncode,
        done.stdout,
        errors,
        re.sub(r" +", " ", "\n".join(table)),
        record,
        releases,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Returns a project, and the results of its sweep without a launcher."""
    from tests.conftest import Project

    project = Project(tmp_path_factory.mktemp("alone"))
    project.write("pyproject.toml", "")
    write_project(project)
    return results_of(project, project.spawn(*SWEEP))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_gives_the_same_results_as_a_sweep_without_one(project, alone, launcher):
    if importlib.util.find_spec(f"hydra_plugins.{LAUNCHERS[launcher]}") is None:
        pytest.skip(
            f"hydra_plugins.{LAUNCHERS[launcher]} is not installed; it is large, and no part of the test extra"
        )
    write_project(project)
    # TensorFlow imports joblib where scikit-learn is installed, which hides what joblib does to multiprocessing.
    project.write("sklearn.py", "raise ImportError\n")

    done = project.spawn(
        "--trust",
        "hydra_plugins",
        f"hydra/launcher={launcher}",
        *SWEEP,
        env={"RAY_AUTH_MODE": "disabled"},
    )

    code, stdout, errors, table, record, releases = results_of(project, done)
    assert (code, stdout) == alone[:2]
    assert (code, len(stdout.splitlines())) == (3, 2)
    # A sweep without a launcher reports a variant as soon as it fails.
    assert sorted(errors) == sorted(alone[2])
    assert table == alone[3]
    assert record == alone[4]
    assert [variant["exit_code"] for variant in record] == [0, 2, 3, 2, 0, 2]
    assert releases.keys() == alone[5].keys()
    assert releases == alone[5]


LAUNCHER = """
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore


class Mine(BasicLauncher):
    def __init__(self, folder, fails):
        super().__init__()
        assert folder.startswith("sweeps/") and folder.endswith("/mine"), folder
        self.fails = fails

    def launch(self, job_overrides, initial_job_idx):
        print("from the launcher")
        runs = [super(Mine, self).launch([job], n) for n, job in reversed(list(enumerate(job_overrides)))]
        if self.fails:
            raise RuntimeError("the queue is closed")
        return [run for runs in reversed(runs) for run in runs]


ConfigStore.instance().store(
    group="hydra/launcher",
    name="mine",
    node={
        "_target_": "hydra_plugins.mine.Mine", "folder": "${hydra.sweep.dir}/mine", "fails": False,
    },
)
"""


@pytest.fixture
def launcher(project):
    project.write("plugins/hydra_plugins/mine.py", LAUNCHER)
    return ["hydra/launcher=mine", "-m", "model=adder,addr,scaler"]


def spawn_with_plugins(project, *arguments):
    """Plugins are found where packages are installed, and not in the current directory."""
    path = os.pathsep.join((str(ROOT), str(project.root / "plugins")))
    return project.spawn(*arguments, env={"PYTHONPATH": path})


@pytest.mark.slow
def test_a_trusted_launcher_runs_and_its_settings_may_interpolate(project, launcher):
    refused = spawn_with_plugins(project, *launcher)
    done = spawn_with_plugins(project, "--trust", "hydra_plugins", *launcher)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Hydra may not run 'hydra_plugins.mine.Mine'" in refused.stderr
    assert (done.returncode, done.stdout) == (
        2,
        "exports/adder/model=adder/1\nexports/scaler/model=scaler/1\n",
    )
    assert "from the launcher" in done.stderr


@pytest.mark.slow
def test_a_failing_launcher_leaves_a_record_of_every_variant(project, launcher):
    project.write(
        "plugins/hydra_plugins/mine.py", LAUNCHER.replace("runs = [", "runs = not self.fails and [")
    )

    done = spawn_with_plugins(
        project, "--trust", "hydra_plugins", "hydra.launcher.fails=true", *launcher
    )

    (path,) = project.root.glob("sweeps/*/*/sweep.json")
    reason = "hydra.launcher: the launcher failed before the variant was done: RuntimeError: the queue is closed"
    errors = [variant["errors"] for variant in json.loads(path.read_text())]
    assert (done.returncode, done.stdout) == (2, "")
    assert errors[0] == errors[2] == [reason]
    assert "unknown option 'addr' for model" in errors[1][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", ["'${model}'", "'\\${hydra.job.name}'", "'${hydra.verbose}'", "'${oc.env:HOME}'"]
)
def test_a_launchers_settings_cannot_make_a_target(project, launcher, setting):
    arguments = ["hydra.verbose='${model}'", f"hydra.launcher.folder={setting}"]

    done = spawn_with_plugins(project, "--trust", "hydra_plugins", *arguments, *launcher)

    assert (done.returncode, done.stdout) == (2, "")
    assert not (project.root / "exports").exists()
    assert "hydra.launcher.folder" in done.stderr


@pytest.mark.slow
def test_a_sweep_by_a_launcher_can_be_resumed(project, launcher):
    arguments = ["--trust", "hydra_plugins", *launcher[:-1], "hydra.sweep.dir=sweeps/0"]
    first = spawn_with_plugins(project, *arguments, "model=adder,addr")
    assert (first.returncode, first.stdout) == (2, "exports/adder/model=adder/1\n")

    resume = ["--resume", "sweeps/0/sweep.json"]
    again = spawn_with_plugins(project, *arguments, "model=adder,addr,scaler", *resume)

    assert (again.returncode, again.stdout.splitlines()) == (
        2,
        ["exports/adder/model=adder/1", "exports/scaler/model=scaler/1"],
    )
    assert "1 of 3 variants are published already and skipped; runs 1 failed, 1 new" in again.stderr
    record = json.loads((project.root / "sweeps/0/sweep.json").read_text())
    assert [variant["skipped"] for variant in record] == [True, False, False]
    assert [variant["state"] for variant in record] == ["published", "failed", "published"]

    # What an earlier run left in the directory counts for none.
    dead = LAUNCHER.replace("runs = [", "raise RuntimeError; [")
    project.write("plugins/hydra_plugins/mine.py", dead)
    last = spawn_with_plugins(project, *arguments, "model=adder,scaler")
    assert (last.returncode, last.stdout) == (2, "")


AWAITING = """
import json, pathlib, time
from smdecl.models import Scaler

def make(number):
    record, end = pathlib.Path("sweeps/0/sweep.json"), time.monotonic() + 300
    while [one["state"] for one in json.loads(record.read_text())][:number] != ["published"] * number:
        assert time.monotonic() < end
        time.sleep(0.05)
    return Scaler(number)
"""


@pytest.mark.slow
def test_the_record_has_each_outcome_before_the_next_job_of_a_launcher_ends(project):
    project.write("mynet.py", AWAITING)
    project.write("conf/model/mine.yaml", "_target_: mynet.make\nnumber: 0\n")
    sweep = ["--config-dir", "conf", "-m", "model=mine", "model.number=0,1"]

    done = project.spawn(*sweep, "hydra.output_subdir=.h", "hydra.sweep.dir=sweeps/0")

    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr


SWEEPER = """
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore

class Mine(BasicSweeper):
    pass

node = {"_target_": "hydra_plugins.mine.Mine", "max_batch_size": None, "params": None}
ConfigStore.instance().store(group="hydra/sweeper", name="mine", node=node)
"""


@pytest.mark.slow
def test_a_sweep_whose_variants_a_plugin_decides_cannot_be_resumed(project):
    project.write("plugins/hydra_plugins/mine.py", SWEEPER)
    project.write("sweep.json", "[]")
    sweep = ["--trust", "hydra_plugins", "hydra/sweeper=mine", "-m", "seed=1,2"]

    done = spawn_with_plugins(project, *sweep, "--resume", "sweep.json")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "smdecl: error: hydra.sweeper: 'hydra_plugins.mine.Mine' decides which variants there are;"
        " to resume an earlier run, expected Hydra's own sweeper\n"
    )
