"""A manifest lists the modules and the packages that the model's code imports."""

import hashlib
import subprocess
import sys
from importlib import metadata

import pytest
from smdecl.exporting.building import imports
from smdecl.pipeline import packages
from smdecl.release import manifest

from tests.conftest import ROOT

IMPORTING = """
import tensorflow as tf

import extlib.constants
import scipy.special


class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.factor = tf.Variable(scipy.special.gamma(5.0) * extlib.constants.FACTOR, dtype=tf.float32)

    @tf.function
    def add(self, x):
        import later

        return x * self.factor + later.SHIFT
"""


@pytest.mark.slow
def test_modules_that_the_model_imports_are_listed(project):
    project.write("mynet.py", IMPORTING)
    outside = project.root.parent / "outside"
    for name, text in {
        "extlib/__init__.py": "",
        "extlib/constants.py": "FACTOR = 2.0",
        "later.py": "SHIFT = 1",
    }.items():
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text(text)
    done = project.spawn("model._target_=mynet.Net", env={"PYTHONPATH": f"{outside}:{ROOT}"})
    assert done.returncode == 0, done.stderr
    plain = manifest.read(project.export().path)

    text = manifest.read(project.root / done.stdout.strip())

    assert {*text["inputs"]} == {
        "extlib/__init__.py",
        "extlib/constants.py",
        "later.py",
        "mynet.py",
    }
    later = (outside / "later.py").read_bytes()
    assert text["inputs"]["later.py"] == hashlib.sha256(later).hexdigest()
    more = {
        name: version
        for name, version in text["environment"].items()
        if name not in plain["environment"]
    }
    assert more == {"scipy": metadata.version("scipy")}
    assert {*plain["environment"]} == {*packages.ALWAYS, "python"}
    assert plain["inputs"] == {}


def test_a_namespace_is_not_the_distribution_of_its_packages():
    import google.protobuf  # noqa: F401 - a package of the namespace google
    import yaml  # noqa: F401 - of a distribution with another name

    assert imports.distributions(imports.brought({*sys.modules} - {"yaml", "google.protobuf"})) == {
        "PyYAML", "protobuf",
    }  # fmt: skip


def test_a_commit_that_lacks_a_module_cannot_make_the_release(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n\nclass Net(tf.Module):\n    def add(self, x):\n        return x\n",
    )
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (
        ["init", "-q"],
        ["add", "pyproject.toml"],
        ["commit", "-q", "-m", "Nothing yet"],
    ):
        subprocess.run([*git, *command], cwd=project.root, check=True)
    known, unknown = (
        project.export(f"model._target_={target}")
        for target in ("smdecl.models.Adder", "mynet.Net")
    )
    assert [manifest.read(each.path)["source"]["clean"] for each in (known, unknown)] == [
        True,
        False,
    ]

    for command in (["add", "mynet.py"], ["commit", "-q", "-m", "The model"]):
        subprocess.run([*git, *command], cwd=project.root, check=True)
    assert manifest.read(project.export("model._target_=mynet.Net").path)["source"]["clean"]
