"""An attacker puts files with the names of modules into the current directory of a user."""

import os
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest
import smdecl
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ModelError, TrustError
from smdecl.isolation import confine
from smdecl.isolation.confine import Confinement
from smdecl.pipeline.children import children

from tests.conftest import ROOT

# `python -m` itself imports some from the current directory, before smdecl begins; the installed command imports none.
BY_PYTHON = ("collections", "contextlib", "functools", "runpy", "types")
NAMES = (
    "argparse", "dataclasses", "google", "hydra", "jinja2", "json", "keras", "multiprocessing", "numpy", "rich",
    "signal", "subprocess", "tensorflow", "threading", "tomllib", "typing", "yaml", "zipfile",
)  # fmt: skip
TRAP = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').write_text(''); raise SystemExit(0)\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("made")
    overrides = [
        "model=adder",
        "signatures=scalar_float",
        "verify.generate=1",
        f"export_dir={base}",
    ]
    return smdecl.export(smdecl.compose(overrides)).path


@pytest.fixture
def trapped(tmp_path):
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(TRAP)
    return tmp_path


def run(cwd, *arguments):
    """Runs the installed command, which has no current directory on its path."""
    for name in BY_PYTHON:
        (cwd / f"{name}.py").write_text(TRAP)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = f"import sys; sys.path.append({str(ROOT)!r}); from smdecl.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-I", "-c", program, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def run_as_module(cwd, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "smdecl", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def ran(directory):
    return sorted(path.stem for path in directory.glob("*.ran"))


@pytest.mark.parametrize("verb", ["inspect", "verify", "diff"])
def test_files_beside_a_release_do_not_run(made, trapped, verb):
    arguments = [made, made] if verb == "diff" else [made]
    done = run_as_module(trapped, verb, *arguments)

    assert (done.returncode, ran(trapped)) == (0, []), done.stderr


def test_files_in_the_current_directory_do_not_run_for_what_builds_no_model(trapped):
    assert run_as_module(trapped, "check", "model=adder").returncode == 0
    assert run_as_module(trapped, "--help").returncode == 0
    assert run(trapped, "init", "mine").returncode == 0
    assert ran(trapped) == []


def test_a_project_may_have_modules_of_any_name(trapped):
    (trapped / "pyproject.toml").write_text("")
    (trapped / "mynet.py").write_text(
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    @tf.function(input_signature=[tf.TensorSpec([], name='x')])\n"
        "    def __call__(self, x):\n"
        "        return {'y': x}\n"
    )
    done = run(
        trapped,
        "model._target_=mynet.Net",
        "signatures=none",
        "verify.generate=1",
        "export_dir=out",
    )

    assert (done.returncode, done.stdout, ran(trapped)) == (0, "out/1\n", []), done.stderr


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("signal", "Python's standard library"),
        ("yaml", "an installed package"),
        *((name, "an installed package") for name in ("keras", "tensorflow", "tf_keras", "smdecl")),
    ],
)
def test_a_shadowed_module_is_reported_by_its_name(project, name, kind):
    project.write(f"{name}.py", "class Net: ...")
    with pytest.raises(TrustError) as error:
        check.check(project.compose(f"model._target_={name}.Net"), find_project(project.root))

    assert f"{kind} shadows {name}.py: rename it" in str(error.value)


def test_a_module_that_breaks_its_own_project_is_reported_by_its_name(project):
    project.write("queue.py", "BATCH = 4")
    project.write("mynet.py", "import queue\nNet = queue.BATCH\n")
    with pytest.raises(ModelError) as error:
        project.export("model._target_=mynet.Net")

    assert "package shadows queue in the current directory" in str(error.value)


@pytest.mark.parametrize("name", ["keras.py", "tensorflow/__init__.py"])
def test_a_module_that_shadows_a_framework_is_reported_by_its_name(project, name):
    project.write(name, "x = 1")

    done = project.spawn(
        "model=adder", env={"PYTHONPATH": os.pathsep.join([str(project.root), str(ROOT)])}
    )

    assert done.returncode == 2
    assert (
        f"error: {name} would be imported instead of an installed package; rename it" in done.stderr
    )


def test_a_home_directory_is_not_a_project(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynet.py").write_text("class Net: ...")
    (tmp_path / "secret").write_text("")

    with pytest.raises(
        TrustError, match="that directory is not a project: run smdecl in a different one"
    ):
        check.check(smdecl.compose(["model._target_=mynet.Net"]), find_project(tmp_path))

    (tmp_path / "pyproject.toml").write_text("")
    assert find_project(tmp_path).is_project


def read_by_the_name_of_a_module(directory, name):
    """Confines this process in a directory where a module's file, by its relative name, is a link."""
    os.chdir(directory)
    module = types.ModuleType("odd")
    module.__file__ = name
    sys.modules["odd"] = module
    confine.confine(Confinement(), Path(tempfile.gettempdir()))
    try:
        return Path(name).read_text()
    except PermissionError:
        return ""


@pytest.mark.skipif(confine.abi() == 0, reason="this kernel has no Landlock")
def test_a_relative_name_of_a_module_opens_nothing_in_the_current_directory(tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "<made>").symlink_to(tmp_path / "secret")

    found = children.run(
        read_by_the_name_of_a_module,
        str(tmp_path / "here"),
        "<made>",
        failure=ModelError,
        doing="testing",
    )

    assert found == ""


def relative_files():
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return [name for name, file in files.items() if file and not Path(file).is_absolute()]


def test_all_modules_of_the_server_have_absolute_files():
    assert children.run(relative_files, failure=ModelError, doing="testing") == []
