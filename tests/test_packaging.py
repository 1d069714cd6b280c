"""The configs and schemas are found from a checkout, an editable install and a wheel installed elsewhere."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCRIPT = (
    "import smdecl, sys; from smdecl import resources, schema\n"
    "print(smdecl.compose(['model=scaler']).values['name'], schema.load('manifest')['title'])\n"
    "print(resources.conf_dir())"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The project's files as git has them, in a place of their own."""
    target = tmp_path_factory.mktemp("source") / "smdecl"
    for name in ("smdecl", "conf", "schemas", "examples/start"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, target)
    return target


def environment(directory, *pip):
    """Makes a virtual environment that sees this one's packages, and installs into it."""
    venv.create(directory, with_pip=True)
    (site,) = directory.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages") and path != str(site)]
    (site / "others.pth").write_text("\n".join(others))
    python = directory / "bin" / "python"
    run([python, "-m", "pip", "install", "-q", "--no-deps", *pip], directory)
    return python


def run(command, cwd, **env):
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**plain, **env}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def require_export(python, directory):
    """Exports a model of one's own from another directory, by the module and by the console script."""
    (directory / "conf" / "model").mkdir(parents=True)
    (directory / "conf" / "model" / "mine.yaml").write_text("_target_: mynet.Net\n")
    (directory / "mynet.py").write_text(
        "import tensorflow as tf\nclass Net(tf.Module):\n    def add(self, x):\n        return x + 1.0\n"
    )
    arguments = ["--config-dir", "conf", "model=mine"]
    assert run([python, "-m", "smdecl", *arguments], directory) == ["exports/mine/1"]
    assert run([python.parent / "smdecl", *arguments], directory) == ["exports/mine/2"]
    assert run([python.parent / "smdecl", "init", "new"], directory)[0] == "new/.gitignore"
    assert (directory / "new" / ".smdecl" / "schemas" / "model.schema.json").is_file()
    assert (
        run(
            [python.parent / "smdecl", "check", "--config-dir", "conf", "release=net"],
            directory / "new",
        )
        == []
    )


def test_from_a_checkout(source, tmp_path):
    found = run([sys.executable, "-c", SCRIPT], tmp_path, PYTHONPATH=str(source))

    assert found == ["scaler The manifest of a release", str(source / "conf")]


@pytest.mark.slow
def test_from_an_editable_install(source, tmp_path):
    python = environment(tmp_path / "venv", "-e", str(source))

    assert run([python, "-c", SCRIPT], tmp_path)[1] == str(source / "conf")
    work = tmp_path / "work"
    work.mkdir()
    require_export(python, work)


@pytest.mark.slow
def test_from_a_wheel(source, tmp_path):
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, source], tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    python = environment(tmp_path / "venv", str(wheel))

    assert Path(run([python, "-c", SCRIPT], tmp_path)[1]).parts[-3:] == (
        "site-packages",
        "smdecl",
        "conf",
    )
    work = tmp_path / "work"
    work.mkdir()
    require_export(python, work)


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_the_constraints_pin_what_the_project_takes_and_name_no_index(version):
    text = (ROOT / "constraints" / f"python{version}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    pins = {}
    for entry in re.sub(r"\\\n|^ *#.*\n", "", text, flags=re.M).splitlines():
        requirement, *hashes = entry.split()
        name, pin = requirement.split("==")
        pins[canonicalize_name(name)] = pin
        assert hashes, entry
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = {"python_version": version, "sys_platform": "linux", "platform_machine": "x86_64"}
    for line in [*project["dependencies"], *of_extra(project, "dev")]:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(environment):
            assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), line


def of_extra(project, name):
    """Yields what an extra asks for, and what the extras of the project that it names ask for."""
    for line in project["optional-dependencies"][name]:
        wanted = Requirement(line)
        if wanted.name == project["name"]:
            for extra in wanted.extras:
                yield from of_extra(project, extra)
        else:
            yield line
