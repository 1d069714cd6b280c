"""`--watch`: what a save of a file starts and prints, in a real process."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from smdecl.cli.watching import watch_reports, watch_verbs
from smdecl.cli.watching.watch_reports import Outcome
from smdecl.errors import ConfigError, ModelError, Origin, Problem, SmdeclError

from tests.conftest import ROOT, run_cli, tree
from tests.watching import Watch, save

MODEL = """
import tensorflow as tf
class Net(tf.Module):
    def __init__(self, units):
        super().__init__()
        self.bias = tf.Variable(tf.ones([units]), name="bias")
    def add(self, x):
        return x + self.bias[0]
"""


@pytest.fixture
def watch(project, interruptible):
    pytest.importorskip("watchfiles")
    return lambda *arguments: Watch(interruptible, project.root, *arguments, "--watch")


def test_check_runs_again_after_each_save_and_prints_what_changed(project, watch):
    file = project.write("conf/publish/mine.yaml", "version: next\n")
    watched = watch("check", "--config-dir", "conf", "publish=mine")
    changed = "smdecl: changed: conf/publish/mine.yaml"
    assert watched.until("smdecl: waiting") == ["ok", "smdecl: waiting for changes; Ctrl-C ends"]

    save(file, "version: v2\n")
    assert watched.until("smdecl: error") == [
        changed,
        "smdecl: error: conf/publish/mine.yaml:1: publish.version: invalid version 'v2';"
        " expected next, a non-negative integer or null",
    ]

    save(file, "# a line above\nversion: v2\nkeep: none\n")
    told = watched.until("smdecl: 1 error as before")
    assert [line.partition("; ")[0] for line in told] == [
        changed,
        "smdecl: error: conf/publish/mine.yaml:3: publish.keep: expected an integer or null,"
        ' got the string "none"',
        "smdecl: 1 error as before",
    ]

    save(file, "version: [\n")
    told = watched.until("smdecl: error")  # what else is wrong is not known to be fixed
    assert told[0] == changed
    assert "invalid YAML" in told[1]

    save(file, "version: next\n")
    told = watched.until("ok")
    assert told[1].startswith("smdecl: fixed: conf/publish/mine.yaml:2: invalid YAML")
    assert [told[0], *told[2:]] == [changed, "ok"]

    shutil.move(project.root / "conf", project.root / "aside")
    assert "no such directory" in watched.until("smdecl: error")[-1]
    shutil.move(project.root / "aside", project.root / "conf")
    assert watched.until("ok")[0] == changed
    project.write("conf/publish/.mine.yaml.swp", "")
    project.write("exports/adder/1/saved_model.pb", "")
    save(project.root / "pyproject.toml", "[tool.smdecl]\n")
    assert watched.until("ok") == ["smdecl: changed: pyproject.toml", "ok"]

    assert watched.interrupt() == (-signal.SIGINT, "")


def test_a_file_that_a_changed_config_names_is_watched_from_then_on(project, watch):
    examples = "examples: {{serving_default: [{{inputs: {{x: {{file: {}}}}}}}]}}\n"
    config = project.write("conf/verify/mine.yaml", examples.format("x.npy"))
    np.save("x.npy", np.float32(1))
    watched = watch("check", "--config-dir", "conf", "verify=mine")
    watched.until("smdecl: waiting")

    save(Path("x.npy"), "nothing of NumPy's")
    assert watched.until("smdecl: error")[0] == "smdecl: changed: x.npy"
    save(config, examples.format("new/y.npy"))
    assert "no such file: 'new/y.npy'" in watched.until("smdecl: error")[-1]
    Path("new").mkdir()
    np.save("new/y.npy", np.float32(1))
    watched.until("ok")
    watched.interrupt()


@pytest.mark.slow
def test_plan_imports_a_changed_module_afresh_on_the_same_server(project, watch):
    module = project.write("mynet.py", MODEL)
    project.write("conf/model/mine.yaml", "_target_: mynet.Net\nunits: 2\n")
    watched = watch("plan", "--config-dir", "conf", "model=mine")
    assert watched.until("smdecl: waiting")[:2] == ["mynet.Net", "  variable bias: float32 [2]"]
    server = watched.server()

    save(module, MODEL.replace('name="bias"', 'name="offset"'))
    assert watched.until("+ ") == [
        "smdecl: changed: mynet.py",
        "  mynet.Net",
        "-   variable bias: float32 [2]",
        "+   variable offset: float32 [2]",
    ]

    save(module, MODEL.replace("[units]", "[units"))
    assert "SyntaxError" in watched.until("smdecl: error")[-1]
    save(module, MODEL)
    assert watched.until("+ ")[-2:] == [
        "-   variable offset: float32 [2]",
        "+   variable bias: float32 [2]",
    ]
    assert watched.server() == server
    assert watched.interrupt()[0] == -signal.SIGINT


@pytest.mark.slow
def test_export_publishes_a_version_only_if_its_bytes_changed(project, watch):
    module = project.write("mynet.py", MODEL)
    config = project.write("conf/model/mine.yaml", "_target_: mynet.Net\nunits: 2\n")
    arguments = ("--config-dir", "conf", "model=mine")
    watched = watch(*arguments)
    assert watched.until("smdecl: waiting")[0] == "exports/mine/1"

    save(module, f"{MODEL}# a comment\n")
    assert watched.until("unchanged") == [
        "smdecl: changed: mynet.py",
        "unchanged: exports/mine/1",
    ]

    save(config, "_target_: mynet.Net\nunits: 3\n")
    told = watched.until("same: ")
    assert told[:2] == ["smdecl: changed: conf/model/mine.yaml", "exports/mine/2"]
    assert "internal  config model.units: changed from 2 to 3" in told
    assert [line for line in told if "saved_model.pb" in line] == []

    fresh = project.spawn(*arguments, "export_dir=fresh")
    assert (fresh.stdout, fresh.stderr) == ("fresh/1\n", "")
    assert tree(Path("fresh/1")) == tree(Path("exports/mine/2"))
    assert watched.interrupt()[0] == -signal.SIGINT
    assert sorted(os.listdir("exports/mine")) == ["1", "2"]


def test_export_publishes_where_its_release_is_missing_and_says_so(project, capsys):
    verb = watch_verbs.of("export")
    arguments = ("model=adder", "signatures=scalar_float", "publish.compatible=true")

    def export(directory):
        release = verb.run(project.compose(*arguments, f"export_dir={directory}"), ())
        capsys.readouterr()
        verb.show(release, release)
        printed = capsys.readouterr()
        return printed.err + printed.out.splitlines()[0]

    assert export("a") == "a/1"
    broken = project.write("b/1/saved_model.pb", "nothing of TensorFlow's")
    with pytest.raises(SmdeclError):
        export("b")
    shutil.rmtree(broken.parent)
    assert export("b") == "b/1"
    shutil.rmtree("b/1")

    lost = "smdecl: not as it was published: b/1: no such release\n"
    assert [export("b"), export("b")] == [f"{lost}b/1", "unchanged: b/1"]
    damaged = Path("b/1/fingerprint.pb")
    damaged.write_bytes(b"")
    assert export("b").startswith(f"smdecl: not as it was published: {damaged}: content differs")


@pytest.mark.parametrize(
    "options",
    [
        (),
        pytest.param(("publish.version=1", "publish.replace=true"), marks=pytest.mark.slow),
    ],
)
def test_a_new_start_publishes_only_what_differs_from_the_newest_release(project, capsys, options):
    released = project.export("model=scaler", *options[:1])

    def start(*overrides):
        verb = watch_verbs.of("export")
        release = verb.run(project.compose("model=scaler", *options, *overrides), ())
        capsys.readouterr()
        verb.show(None, release)
        return capsys.readouterr()

    before = released.path.stat().st_ino
    again = start("publish.models_config=m.config")
    assert (again.out, again.err) == ("unchanged: exports/scaler/1\n", "")
    assert released.path.stat().st_ino == before
    assert "exports/scaler" in Path("m.config").read_text()
    (released.path / "fingerprint.pb").unlink()
    later = start("model.factor=5")
    assert later.out == f"exports/scaler/{1 if options else 2}\n"
    assert later.err == (
        "smdecl: not as it was published: exports/scaler/1/fingerprint.pb: no such file\n"
    )


def test_the_missing_package_is_named(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)

    done = project.run("check", "--watch")

    assert (done.stdout, done.returncode) == ("", 2)
    assert "--watch needs watchfiles: " in done.stderr
    assert done.stderr.endswith("pip install 'smdecl[watch]'\n")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["-m", "seed=1,2"], "--watch runs one export, check or plan again after each change"),
        (["verify", "x"], "--watch goes with export, check and plan, not with verify"),
        (["reproduce", "x"], "--watch goes with export, check and plan, not with reproduce"),
        (["--cfg", "job"], "--watch goes with a run; --cfg only prints something"),
    ],
)
def test_what_cannot_run_again_is_refused(tmp_path, arguments, found):
    done = run_cli(*arguments, "--watch", cwd=tmp_path)

    assert found in done.stderr
    assert (done.stdout, done.returncode) == ("", 2)


def outcome(error=None, *, is_composed=True):
    return Outcome(is_composed, None, error, ())


def test_only_a_run_that_comes_as_far_tells_what_is_fixed(capsys):
    problem = Problem(("model",), "building failed", Origin("a.yaml", 1))
    config = ConfigError(Problem(("seed",), "invalid", Origin("a.yaml", 2)))

    watch_reports.problems(outcome(ModelError(problem)), outcome(config))
    assert capsys.readouterr().err == "smdecl: error: a.yaml:2: seed: invalid\n"

    watch_reports.problems(outcome(config), outcome(ModelError(problem)))
    assert capsys.readouterr().err == (
        "smdecl: fixed: a.yaml:2: seed: invalid\nsmdecl: error: a.yaml:1: model: building failed\n"
    )


def test_an_error_whose_line_moved_is_the_same(capsys):
    errors = [ConfigError(Problem((), "invalid", Origin("a.yaml", line))) for line in (1, 5)]

    watch_reports.problems(*map(outcome, errors))

    assert capsys.readouterr().err == "smdecl: 1 error as before\n"


def test_changed_lines_are_below_their_heading():
    before = "Net\n  variable v\nsignature a\n  input x\nsignature b\n  input x\n"
    now = "Net\n  variable v\nsignature a\n  input x\nsignature b\n  input y\nsignature c\n"

    assert watch_reports.changed_lines(before, now).splitlines() == [
        "  signature b",
        "-   input x",
        "+   input y",
        "+ signature c",
    ]
    assert watch_reports.changed_lines(now, now) == ""


def test_a_closed_standard_output_ends_the_loop(project):
    pytest.importorskip("watchfiles")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "smdecl", "check", "--watch"], cwd=project.root,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip

    assert done.returncode == 5
    assert "cannot write to standard output" in done.stderr
