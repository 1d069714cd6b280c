"""Targets that name nothing are refused by the source of their modules, which is not imported."""

import importlib

import pytest
from smdecl.checks import target_names
from smdecl.config import frameworks

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
    assert [target for target in allowed if target_names.refuse(target)] == []


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
    both = project.run("check", "model._target_=broken.net.make", "seed=a")
    assert (both.returncode, len(both.stderr.splitlines())) == (2, 2)
