"""The command line as a user meets it: standard output, standard error, exit codes, signals."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf
from smdecl.cli import arguments
from smdecl.cli.output import rendering
from smdecl.config.settings import Signature, Spec
from smdecl.errors import UsageError
from smdecl.exporting.building.records import ObjectRecord
from smdecl.pipeline.outcomes import Verified
from smdecl.pipeline.records import Plan
from smdecl.savedmodel.records import SignatureRecord, TensorRecord

from tests.conftest import ROOT, run_cli, spawn_cli, tree
from tests.waiting import imports_tensorflow, processes_with, wait_for


def test_one_line_exports_the_adder_and_a_full_standard_output_hides_no_path(project):
    with Path("/dev/full").open("w") as full:
        first = subprocess.run(
            [sys.executable, "-m", "smdecl", "model=adder", "signatures=scalar_float"],
            cwd=project.root, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    second = project.run("export", "model=adder", "signatures=scalar_float")

    assert first.returncode == 5
    assert first.stderr.startswith(
        "smdecl: error: published exports/adder/1, but cannot write to standard output"
    )
    assert (second.stdout, second.stderr, second.returncode) == ("exports/adder/2\n", "", 0)
    # The second one runs in a process that has made exports before.
    assert tree(Path("exports/adder/1")) == tree(Path("exports/adder/2"))


def test_a_bare_call_exports(project):
    assert project.run().stdout == "exports/adder/1\n"


def test_check_prints_nothing_for_a_valid_config(project):
    done = project.run("check", "model=scaler")

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_typo_is_reported_in_one_line_without_a_traceback(project):
    done = project.run("check", "signatures.serving_default.inputs.x.shap=[]")

    assert done.stdout == ""
    assert done.stderr == (
        "smdecl: error: override 'signatures.serving_default.inputs.x.shap=[]': signatures.serving_default.inputs.x"
        ".shap: unknown key 'shap' in signatures.serving_default.inputs.x; expected one of dtype, kind,"
        " name, ragged_rank, row_splits_dtype, shape (did you mean 'shape'?)\n"
    )
    assert done.returncode == 2


def test_plan_prints_what_would_be_saved_and_writes_nothing(project):
    done = project.run("plan", "model=scaler", "signatures=[scalar_float,vector_float]")

    assert done.stdout == (
        "smdecl.models.Scaler\n"
        "  variable factor: float32 []\n"
        "signature serving_default\n"
        "  input  x: float32 []\n"
        "  output output_0: float32 []\n"
        "signature vector\n"
        "  input  x: float32 [batch]\n"
        "  output output_0: float32 [batch]\n"
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert sorted(os.listdir(project.root)) == ["pyproject.toml"]


@pytest.mark.parametrize(
    ("files", "examples", "facts"),
    [
        (("a",), {"s": 1}, "1 file unchanged, 1 example with the loader cpp"),
        (("a", "b"), {"s": 1, "t": 1}, "2 files unchanged, 2 examples with the loader cpp"),
    ],
)
def test_what_verify_counts_is_in_the_singular_or_plural(files, examples, facts):
    found = Verified(Path("r"), "0", files, ("cpp",), examples, is_signed=False, key=None)

    assert rendering.verified(found) == f"r: {facts}"


def test_plan_prints_the_declared_names_of_dims():
    spec = Spec(("batch", None, 3), "float32")
    ragged = Spec(("batch", None, "width"), "int32", kind="ragged")
    declared = Signature(
        "f", {"x": spec, "r": ragged, "o": Spec(None, "bool")}, {"own": replace(spec, name="y")}
    )
    shapes = {"x": (None, None, 3), "r": (None, None), "r_1": (None,), "o": None}
    found = {name: TensorRecord("float32", shape) for name, shape in shapes.items()}
    traced = SignatureRecord(found, {"y": found["x"], "undeclared": found["x"]})
    plan = Plan(ObjectRecord("Net", {}), (), {"key": traced, "own": traced}, {"key": declared})

    assert rendering.plan(plan).splitlines()[1:8] == [
        "signature key",
        "  input  o: float32 (unknown rank)",
        "  input  r: float32 [?, width]",
        "  input  r_1: float32 [?]",
        "  input  x: float32 [batch, ?, 3]",
        "  output undeclared: float32 [?, ?, 3]",
        "  output y: float32 [batch, ?, 3]",
    ]


def test_a_users_own_config_and_model(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    def add(self, x):\n"
        "        print('printed by the model')\n"
        "        return x + 1.0\n",
    )
    project.write("conf/model/mine.yaml", "_target_: mynet.Net\n")

    done = project.run("--config-dir", "conf", "model=mine")

    assert (done.stdout, done.returncode) == ("exports/mine/1\n", 0)
    assert set(done.stderr.splitlines()) == {"printed by the model"}
    loaded = tf.saved_model.load("exports/mine/1").signatures["serving_default"](x=tf.constant(1.0))
    assert loaded["output_0"].numpy() == 2.0


def test_the_models_own_error_shows_its_own_traceback(project):
    project.write("mynet.py", "def make():\n    raise RuntimeError('no luck')\n")

    done = project.run("model._target_=mynet.make")

    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == (
        "Traceback (your code):\n"
        f'  File "{project.root}/mynet.py", line 2, in make\n'
        "    raise RuntimeError('no luck')\n"
        "RuntimeError: no luck\n"
        "smdecl: error: override 'model._target_=mynet.make': model: building mynet.make failed: RuntimeError: no luck\n"
    )


def test_warnings_of_the_audit_go_to_standard_error(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    @tf.function\n"
        "    def never_traced(self, x):\n"
        "        return x\n"
        "    @tf.function\n"
        "    def add(self, x):\n"
        "        return x + 1.0\n",
    )

    done = project.run("model._target_=mynet.Net")

    assert done.stdout == "exports/adder/1\n"
    assert ": audit.untraced_functions: never_traced: was never traced" in done.stderr
    assert done.stderr.startswith("smdecl: warning: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["adder"], "smdecl: error: 'adder' is neither a verb nor an override; verbs are"),
        (["exprot"], "did you mean 'export'?"),
        (["--nothing"], "unrecognized arguments: --nothing; see smdecl --help\n"),
        (
            ["--confg-dir", "conf"],
            "--confg-dir; see smdecl --help (did you mean '--config-dir'?)\n",
        ),
        (
            ["--model=adder"],
            "--model=adder; see smdecl --help; an override has no dashes: model=adder\n",
        ),
        (
            ["-m", "seed=1," + "9" * 4301],
            " an integer has more than 4300 digits; expected fewer\n",
        ),
        (["--config-dir", "nowhere"], "--config-dir: no such directory"),
        (
            ["plan", "-m", "seed=1,2"],
            "-m runs a sweep of exports or checks; plan has one variant",
        ),
        (["--shell-completion"], "expected install=bash or uninstall=bash"),
        (["model=adder", "check"], "the verb comes first: smdecl check ..."),
        (["check", "~signatures"], "signatures: is required"),
        (["--cfg", "everything"], "invalid choice: 'everything'"),
        (["--experimental-rerun", "x.pickle"], "unrecognized arguments: --experimental-rerun"),
    ],
)
def test_an_invalid_command_line_is_exit_code_2(tmp_path, arguments, found):
    done = run_cli(*arguments, cwd=tmp_path)

    assert found in done.stderr
    assert (done.stdout, done.returncode) == ("", 2)


BUILDS_NOTHING = [
    ["check"],
    ["check", "model=addr"],
    ["--help"],
    ["--cfg", "job"],
    ["--info"],
    ["-sc", "install=bash"],
]
IMPORTED = """
import json, sys
from smdecl.cli import main
for line in sys.stdin:
    try:
        main.main(json.loads(line))
    except SystemExit:
        pass
    names = {name.partition(".")[0] for name in sys.modules}
    print("imported", *sorted(names & {"tensorflow", "keras", "numpy"}), file=sys.stderr)
"""


def test_verbs_that_build_nothing_import_no_tensorflow(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input="".join(f"{json.dumps(arguments)}\n" for arguments in BUILDS_NOTHING),
        capture_output=True,
        text=True,
        check=True,
    )

    lines = [line for line in done.stderr.splitlines() if line.startswith("imported")]
    assert lines == ["imported"] * len(BUILDS_NOTHING), done.stderr
    assert "config groups" in done.stdout.lower()


def test_importing_smdecl_warns_about_nothing_and_imports_no_tensorflow():
    script = "import smdecl, sys; print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_config_error_does_not_wait_for_tensorflow(tmp_path):
    """The server process is ended in the middle of its import, and nothing of it stays."""
    marker = f"SMDECL_TEST_{time.monotonic_ns()}"

    done = spawn_cli("model=addr", cwd=tmp_path, env={marker: "1"})

    assert done.returncode == 2
    assert processes_with(marker) == []


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "after", ["start", pytest.param("import", marks=pytest.mark.slow), "build"]
)
def test_interrupted_it_leaves_nothing(project, interruptible, number, after):
    project.write(
        "mynet.py",
        "import pathlib, time\ndef make():\n    pathlib.Path('building').touch()\n    time.sleep(600)\n",
    )
    marker = f"SMDECL_TEST_{time.monotonic_ns()}"
    scratch = Path(tempfile.mkdtemp())  # contains a socket, whose path has to be short
    process = interruptible(
        [sys.executable, "-m", "smdecl", "model._target_=mynet.make"],
        cwd=project.root, env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch), marker: "1"},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    reached = {
        "start": lambda: len(processes_with(marker)) > 1,
        "import": lambda: imports_tensorflow(marker),
        "build": Path("building").exists,
    }
    wait_for(reached[after])
    if after == "build":
        assert list(Path("exports/adder").glob(".smdecl-*"))
    os.killpg(process.pid, number)  # as a terminal does
    _, stderr = process.communicate(timeout=300)

    assert process.returncode == -number, stderr
    assert stderr == ""
    assert not Path("exports").exists()
    wait_for(lambda: processes_with(marker) == [])
    scratch.rmdir()  # it is empty


WAITING = """
import pathlib, time
from smdecl.models import Adder
pathlib.Path("building").touch()
while not pathlib.Path("hung_up").exists():
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_nohup_is_honoured(project):
    project.write("mynet.py", WAITING)
    process = subprocess.Popen(
        ["nohup", sys.executable, "-m", "smdecl", "model._target_=mynet.Adder"],
        cwd=project.root, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    wait_for(Path("building").exists)
    process.send_signal(signal.SIGHUP)
    Path("hung_up").touch()

    assert process.communicate(timeout=300)[0] == "exports/adder/1\n"


def test_a_line_of_the_model_that_has_not_ended_ends_before_an_error(project):
    project.write(
        "mynet.py", 'import os\ndef make():\n    os.write(1, b"about to leave")\n    os._exit(3)\n'
    )

    done = project.run("model=scaler", "model._target_=mynet.make", "~model.factor")

    assert done.stderr.startswith("about to leave\nsmdecl: error: ")


def test_a_too_long_path_of_the_temporary_directory_is_reported(project):
    long = project.root / ("x" * 120)
    long.mkdir()

    done = project.spawn(env={"TMPDIR": str(long)})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"smdecl: error: no server process can be started in {str(long)!r}: AF_UNIX path too long; expected a TMPDIR with a"
        " shorter path\n"
    )


@pytest.mark.parametrize(
    "words", [["model.units", "=32"], ["model.units=", "32"], ["model.units", "=", "32"]]
)
def test_spaces_around_the_equals_sign_are_reported(words):
    with pytest.raises(UsageError) as error:
        arguments.parse(["model=mine", *words, "seed=1"])

    assert (
        str(error.value)
        == f"{' '.join(words)!r}: an override has no spaces around its =; write model.units=32"
    )
