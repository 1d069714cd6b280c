"""Which modules the project defines, and which packages it must trust first."""

import os

import numpy as np
import pytest
from smdecl.config import trust
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, ModelError, TrustError
from smdecl.release import manifest

from tests.config.untrusted import NET, refused
from tests.conftest import ROOT


def test_a_package_installed_inside_the_project_is_not_its_own(project, monkeypatch):
    site_packages = project.root / ".venv/lib/python3.11/site-packages"
    project.write(".venv/lib/python3.11/site-packages/installed/__init__.py", NET)
    monkeypatch.syspath_prepend(site_packages)

    reason = refused(project, "model._target_=installed.Net")["model._target_"]

    assert "pass --trust installed" in reason
    assert not (project.root / "imported.txt").exists()


def test_a_symbolic_link_to_an_outside_module_is_not_its_own(project, tmp_path):
    (tmp_path / "outside.py").write_text(NET)
    (project.root / "linked.py").symlink_to(tmp_path / "outside.py")

    assert (
        "'linked' is not defined in the project"
        in refused(project, "model._target_=linked.Net")["model._target_"]
    )


def test_a_symbolic_link_to_an_outside_submodule_is_not_its_own(project, tmp_path):
    (tmp_path / "outside.py").write_text(NET)
    project.write("mypackage/__init__.py", "")
    (project.root / "mypackage/linked.py").symlink_to(tmp_path / "outside.py")

    reason = refused(project, "model._target_=mypackage.linked.Net")["model._target_"]

    assert f"'mypackage.linked' is not defined in the project {project.root}" in reason
    assert not (project.root / "imported.txt").exists()


def test_a_namespace_package_that_is_partly_outside_is_not_its_own(project, tmp_path, monkeypatch):
    project.write("spread/mine.py", NET)
    (tmp_path / "elsewhere/spread").mkdir(parents=True)
    assert project.export("model._target_=spread.mine.Net", "name=mine").version == 1
    (project.root / "imported.txt").unlink()

    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    with pytest.raises(TrustError, match="'spread' is not defined in the project"):
        project.export("model._target_=spread.mine.Net")
    assert not (project.root / "imported.txt").exists()


@pytest.mark.parametrize("name", ["json", "colorsys"])
def test_a_file_named_like_a_standard_module_is_refused(project, name):
    project.write(f"{name}.py", NET)

    assert (
        "is not defined in the project"
        in refused(project, f"model._target_={name}.Net")["model._target_"]
    )


def test_a_module_imported_before_is_not_mistaken_for_a_project_file_of_its_name(project):
    # By its name alone numpy.load could be the project's, were it not that numpy has been imported from elsewhere.
    project.write("numpy.py", NET)

    reason = trust.refuse_object(np.load, "numpy.load", find_project(project.root))

    assert "'numpy' is not defined in the project" in reason


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package outside the project, importable."""
    package = tmp_path / "elsewhere" / "thirdparty"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from thirdparty.nets import Net\n")
    (package / "nets.py").write_text(NET)
    monkeypatch.syspath_prepend(package.parent)
    return package.parent


def test_a_package_is_refused_unless_the_caller_trusts_it(project, installed):
    reason = refused(project, "model._target_=thirdparty.Net")["model._target_"]

    assert reason == (
        f"'thirdparty' is not defined in the project {project.root}; to trust it, pass --trust thirdparty or add it to"
        " trust under [tool.smdecl] in the project's pyproject.toml"
    )
    assert not (project.root / "imported.txt").exists()
    assert (
        project.export(
            "model._target_=thirdparty.Net", "name=net", trust_packages=["thirdparty"]
        ).version
        == 1
    )


def test_a_package_in_a_target_directory_is_installed(project, installed):
    """As `pip install --target` leaves it."""
    metadata = installed / "thirdparty-1.5.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.5\n")
    (installed / "thirdparty" / "nets.py").write_text("from smdecl.models import Adder as Net\n")
    project.write("pyproject.toml", '[tool.smdecl]\ntrust = ["thirdparty"]\nconfine = true\n')

    release = project.export("model._target_=thirdparty.nets.Net", "name=net")

    assert manifest.read(release.path)["environment"]["thirdparty"] == "1.5"


def test_the_pyproject_may_trust_a_package(project, installed):
    project.write("pyproject.toml", '[tool.smdecl]\ntrust = ["thirdparty"]\n')

    assert project.export("model._target_=thirdparty.nets.Net", "name=net").version == 1


def test_a_config_cannot_trust_a_package(project, installed):
    with pytest.raises(ConfigError, match="trust"):
        project.export("model._target_=thirdparty.Net", "+trust=[thirdparty]")
    project.write("conf/pyproject.toml", '[tool.smdecl]\ntrust = ["thirdparty"]\n')

    assert list(refused(project, "model._target_=thirdparty.Net")) == ["model._target_"]


def test_trust_in_a_package_excludes_what_it_imports(project, installed):
    problems = refused(
        project, "model._target_=thirdparty.nets.pathlib.Path", trust_packages=["thirdparty"]
    )

    assert "'thirdparty.nets.pathlib.Path' leads to pathlib." in problems["model._target_"]


def test_trust_in_a_framework_allows_none_of_its_functions(project):
    assert list(
        refused(project, "model._target_=tensorflow.io.write_file", trust_packages=["tensorflow"])
    )


def test_a_project_class_may_use_a_trusted_alias(project, installed):
    project.write("mynet.py", "from thirdparty import Net\n")

    assert (
        "'mynet.Net' leads to thirdparty.nets.Net"
        in refused(project, "model._target_=mynet.Net")["model._target_"]
    )
    (project.root / "imported.txt").unlink()
    assert (
        project.export(
            "model._target_=mynet.Net", "name=net", trust_packages=["thirdparty"]
        ).version
        == 1
    )


def test_a_lambda_or_a_function_of_the_project_may_be_a_target(project):
    project.write(
        "mynet.py", NET + "\nmake = lambda: Net()\ndef build(inner=None): return Net(inner)\n"
    )

    assert project.export("model._target_=mynet.make", "name=a").version == 1
    assert project.export("model._target_=mynet.build", "name=b").version == 1


def test_a_module_that_fails_to_import_is_not_an_error_of_trust(project):
    project.write("mynet.py", "raise ValueError('broken')\n")

    with pytest.raises(ModelError, match="importing 'mynet' failed: ValueError: broken"):
        project.export("model._target_=mynet.Net")


def test_the_command_line_refuses_with_exit_code_2_and_has_a_flag_to_trust(project, installed):
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(installed)])}

    refusal = project.run("check", "model._target_=thirdparty.Net", env=path)
    taken = project.run("check", "model._target_=thirdparty.Net", "--trust", "thirdparty", env=path)

    assert refusal.returncode == 2
    assert "to trust it, pass --trust thirdparty" in refusal.stderr
    assert "Traceback" not in refusal.stderr
    assert (taken.returncode, taken.stderr) == (0, "")


def test_a_file_name_that_cannot_exist_is_refused(project):
    (project.root / "loop.json").symlink_to("loop.json")
    for name in ("loop.json", "a" * 300 + ".json"):
        key = "model.x.path"
        found = refused(
            project,
            "model=adder",
            f"+model.x={{_target_: tensorflow.saved_model.Asset, path: {name}}}",
        )
        assert found[key].startswith(f"no such file: {name!r}")
