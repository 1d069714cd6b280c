"""Targets that name nothing are refused by the source of their modules, which is not imported."""

import importlib
from pathlib import Path

import pytest
from smdecl.checks.targets import target_names
from smdecl.config import frameworks
from smdecl.config.project import find_project

from tests.checks import changed_configs


def refused(project, target):
    found = changed_configs.problems(project.root, model={"_target_": target})
    return [problem.message for problem in found]


@pytest.fixture
def net(project):
    project.write(
        "ournet.py",
        "import os.path as path\nif path:\n    from json import loads as Loads\n"
        "def setup():\n    global Late\n    Late = 1\nclass Net:\n    pass\nassert False, 'imported'\n",
    )
    project.write("ourpack/__init__.py", "assert False, 'imported'\n")
    project.write("ourpack/own.py", "Net = None\nassert False, 'imported'\n")
    return project


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ournet.Nett", "'ournet' has no attribute 'Nett' (did you mean 'Net'?)"),
        ("ournet.py.Net", "'ournet' has no attribute 'py'; write ournet.Net"),
        ("ournet.sub.Net", "'ournet' has no attribute 'sub'"),
        ("ourpack.owm.Net", "'ourpack' has no attribute 'owm' (did you mean 'own'?)"),
        ("ourpack.own.net2", "'ourpack.own' has no attribute 'net2' (did you mean 'Net'?)"),
        ("keras.layers.Dens", "'keras.layers' has no attribute 'Dens' (did you mean 'Dense'?)"),
        ("tf_keras.layers.Dens", "'tf_keras.layers' has no attribute 'Dens' (did you mean 'Dense'?)"),
        ("tensorflow.lookup.StaticHashTabel", "'tensorflow.lookup' has no attribute 'StaticHashTabel' (did you mean 'StaticHashTable'?)"),
        ("keras.Sequental", "'keras.Sequental' is not a constructor of keras that a config may name (did you mean 'keras.Sequential'?)"),
        ("keras.layer.Dense", "'keras.layer.Dense' is not a constructor of keras that a config may name (did you mean 'keras.layers.Dense'?)"),
        ("tensorflow.keras.Dense", "'tensorflow.keras.Dense' is not a constructor of tensorflow that a config may name (did you mean 'tensorflow.keras.layers.Dense'?)"),
        ("keras.models.load_model", "'keras.models.load_model' is not a constructor of keras that a config may name"),
        ("tf.keras.Model", "no module 'tf' in the current directory or on sys.path (did you mean 'tensorflow.keras.Model'?)"),
        ("keas.Model", "no module 'keas' in the current directory or on sys.path (did you mean 'keras'?)"),
    ],
)  # fmt: skip
def test_a_target_that_names_nothing_is_refused_with_the_nearest_name(net, target, message):
    assert refused(net, target) == [message]


@pytest.mark.parametrize(
    "target", ["ournet.Net", "ournet.path", "ournet.Loads", "ournet.Late", "ourpack.own.Net"]
)
def test_a_name_that_the_source_defines_is_accepted(net, target):
    assert refused(net, target) == []


@pytest.mark.parametrize(
    "source",
    [
        "from os.path import *\n",
        "def __getattr__(name):\n    return name\n",
        "__getattr__, names = print, []\n",
        "from json import loads as __getattr__\n",
        "globals()['Net'] = dict\n",
        "import sys\nsys.modules[__name__] = dict\n",
        "raise RuntimeError\n",
        "import helper\nhelper.publish(__name__, Net=dict)\n",
        "import helper\n@helper.publish\nclass _Net:\n    pass\n",
        "import importlib\nimportlib.import_module(__name__).Net = int\n",
        "from sys import modules\nmodules['ourdyn'].Net = int\n",
        "import sys as _s\n_s.modules['ourdyn'].Net = int\n",
        "import enum\n@enum.global_enum\nclass C(enum.IntEnum):\n    _net = 1\n",
        "import inspect\ninspect.currentframe().f_globals['N' + 'et'] = int\n",
        "import builtins\nbuiltins.exec('N' + 'et = int')\n",
        "import yaml\nyaml.publish(dict)\n",
        "def f():\n    pass\nf.__globals__['N' + 'et'] = int\n",
    ],
)
def test_a_module_whose_names_its_source_does_not_show_is_left_to_the_build(net, source):
    net.write("ourdyn.py", source)

    assert refused(net, "ourdyn.Net") == []


@pytest.mark.parametrize(
    ("target", "messages"),
    [
        ("ourspace.net.Net", []),
        ("ourspace.deep.net.Net", []),
        ("ourspace.ned.Net", ["'ourspace' has no attribute 'ned' (did you mean 'net'?)"]),
        ("ourspace.Net", ["'ourspace' has no attribute 'Net' (did you mean 'net'?)"]),
        ("ourspace.deep", ["'ourspace' has no attribute 'deep'"]),
        ("ourspace.deep.ned.Net", ["'ourspace.deep' has no attribute 'ned' (did you mean 'net'?)"]),
        ("ourspace." + "n" * 300, ["'ourspace' has no attribute '" + "n" * 300 + "'"]),
    ],
)
def test_a_directory_without_init_defines_only_submodules(project, target, messages):
    project.write("ourspace/net.py", "class Net:\n    pass\n")
    project.write("ourspace/deep/net.py", "class Net:\n    pass\n")

    assert refused(project, target) == messages


@pytest.mark.parametrize(
    ("target", "file", "source"),
    [
        ("ourpack.other.Net", "ourpack/__init__.py", "__path__.append('elsewhere')\n"),
        ("ournet.Added", "later.py", "import ournet\nournet.Added = dict\n"),
        ("ournet.Added", "later.py", "def publish(m, n):\n    setattr(m, n, dict)\n"),
    ],
)
def test_a_name_that_a_different_module_may_define_is_left_to_the_build(net, target, file, source):
    assert refused(net, target) != []
    net.write(file, source)

    assert refused(net, target) == []


@pytest.mark.parametrize("name", ["Net", "Missing"])
def test_a_module_that_logs_or_is_a_script_is_checked(net, name):
    net.write(
        "ournet.py",
        "import logging\nlog = logging.getLogger(__name__)\nclass Net:\n    pass\n"
        "if __name__ == '__main__':\n    print(Net)\n",
    )

    assert (refused(net, f"ournet.{name}") == []) is (name == "Net")


def test_the_legacy_keras_in_tensorflow_is_left_to_the_build(net, monkeypatch):
    target = "tensorflow.keras.layers.LocallyConnected1D"
    assert refused(net, target) != []
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")

    assert refused(net, target) == []


def test_a_changed_module_is_read_again(net):
    assert refused(net, "ournet.Other") != []
    net.write("ournet.py", "class Other:\n    pass\n")

    assert refused(net, "ournet.Other") == []


# A module of a framework as a target names it, and where its names can be imported from.
MODULES = {
    "keras": "keras",
    "keras.applications": "keras.applications",
    "keras.initializers": "keras.initializers",
    "keras.layers": "keras.layers",
    "keras.models": "keras.models",
    "tensorflow": "tensorflow",
    "tensorflow.keras": "keras",
    "tensorflow.keras.layers": "keras.layers",
    "tensorflow.lookup": "tensorflow._api.v2.lookup",
    "tensorflow.saved_model": "tensorflow._api.v2.saved_model",
    "tensorflow.train": "tensorflow._api.v2.train",
    "tf_keras": "tf_keras",
    "tf_keras.layers": "tf_keras.layers",
}


def test_no_name_of_the_frameworks_is_refused():
    allowed = []
    for module, place in MODULES.items():
        targets = [f"{module}.{name}" for name in dir(importlib.import_module(place))]
        allowed += [target for target in targets if frameworks.refuse_name(target) is None]

    assert len(allowed) > 300
    here = find_project(Path.cwd())
    assert [target for target in allowed if target_names.refuse(target, here)] == []


def test_a_syntax_error_of_the_module_is_the_error_of_the_model(project):
    project.write("broken/__init__.py", "")
    project.write("broken/net.py", "import os\n\ndef make(:\n    pass\n")

    done = project.run("check", "model._target_=broken.net.make")

    assert done.returncode == 3
    *frames, line = done.stderr.splitlines()
    assert frames[0].endswith('broken/net.py", line 3')
    assert line == (
        "smdecl: error: override 'model._target_=broken.net.make': model._target_:"
        " importing 'broken.net' failed: SyntaxError: invalid syntax (net.py, line 3)"
    )
    project.write("broken/__init__.py", "class net:\n    make = dict\n")
    assert project.run("check", "model._target_=broken.net.make").returncode == 0
    project.write("broken/__init__.py", "")
    both = project.run("check", "model._target_=broken.net.make", "seed=a")
    assert (both.returncode, len(both.stderr.splitlines())) == (2, 2)
