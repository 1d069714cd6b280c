"""What a config may name: every way to run code that nobody chose is refused before anything has run."""

import os
import textwrap

import numpy as np
import pytest

from smdecl import trust
from smdecl.errors import ConfigError, ModelError, TrustError, UsageError
from smdecl.project import Project, find_project, is_library
from tests.conftest import ROOT

NET = """
import pathlib
import tensorflow as tf

pathlib.Path("imported.txt").write_text("")


class Net(tf.Module):
    def __init__(self, inner=None):
        super().__init__()
        pathlib.Path("built.txt").write_text(repr(inner))
        self.inner = [inner]

    @tf.function
    def add(self, x):
        return x + x
"""


def conf(project, text):
    project.write("conf/model/mine.yaml", textwrap.dedent(text))


def refused(project, *overrides, **options):
    """Exports what must be refused; returns the problems by their keys, once nothing was left behind."""
    with pytest.raises(TrustError) as error:
        project.export(*overrides, **options)
    assert error.value.exit_code == 2
    assert not (project.root / "exports").exists()
    assert not (project.root / "built.txt").exists()
    return {problem.key: problem.message for problem in error.value.problems}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("builtins.open", "not defined in the project"),
        ("builtins.eval", "not defined in the project"),
        ("os.system", "not defined in the project"),
        ("posix.system", "not defined in the project"),
        ("shutil.copyfile", "not defined in the project"),
        ("subprocess.Popen", "not defined in the project"),
        ("functools.partial", "not defined in the project"),
        ("__main__.main", "in the script that is running"),
        ("hydra.utils.get_method", "not defined in the project"),
        ("hydra.utils.instantiate", "not defined in the project"),
        ("omegaconf.OmegaConf.load", "not defined in the project"),
        ("numpy.load", "pass --trust numpy or add it to trust"),
        ("smdecl.publishing.publish", "internal to smdecl"),
        ("smdecl.api.export", "internal to smdecl"),
        ("tensorflow.io.write_file", "none of the constructors of tensorflow"),
        ("tensorflow.io.gfile.rmtree", "none of the constructors of tensorflow"),
        ("tensorflow.io.gfile.GFile", "none of the constructors of tensorflow"),
        ("tensorflow.py_function", "none of the constructors of tensorflow"),
        ("tensorflow.numpy_function", "none of the constructors of tensorflow"),
        ("tensorflow.load_op_library", "none of the constructors of tensorflow"),
        ("tensorflow.saved_model.load", "none of the constructors of tensorflow"),
        ("tensorflow.saved_model.save", "none of the constructors of tensorflow"),
        ("tensorflow.train.load_checkpoint", "none of the constructors of tensorflow"),
        ("tensorflow.compat.v1.gfile.DeleteRecursively", "none of the constructors of tensorflow"),
        ("tensorflow.compat.v1.py_func", "none of the constructors of tensorflow"),
        ("tensorflow.keras.utils.get_file", "none of the constructors of tensorflow"),
        ("tensorflow.keras.models.load_model", "none of the constructors of tensorflow"),
        ("tensorflow.keras.layers.Lambda", "none of the constructors of tensorflow"),
        ("tensorflow.python.lib.io.file_io.delete_file", "none of the constructors of tensorflow"),
        ("keras.saving.load_model", "none of the constructors of keras"),
        ("keras.models.load_model", "none of the constructors of keras"),
        ("keras.models.model_from_json", "none of the constructors of keras"),
        ("keras.layers.deserialize", "none of the constructors of keras"),
        ("keras.layers.TFSMLayer", "none of the constructors of keras"),
        ("keras.layers.Lambda", "none of the constructors of keras"),
        ("keras.layers.Dense.from_config", "none of the constructors of keras"),
        ("keras.Model.from_config", "none of the constructors of keras"),
        ("keras.activations.get", "none of the constructors of keras"),
        ("keras.activations.deserialize", "none of the constructors of keras"),
        ("keras.config.enable_unsafe_deserialization", "none of the constructors of keras"),
        ("keras.src.layers.core.lambda_layer.Lambda", "none of the constructors of keras"),
        ("tf_keras.models.load_model", "none of the constructors of tf_keras"),
        ("nomodule.Net", "no module 'nomodule'"),
    ],
)
def test_a_target_that_nobody_chose_is_refused_by_its_name(project, target, reason):
    assert reason in trust.refuse_target(target, find_project(project.root))


@pytest.mark.parametrize(
    "target", ["builtins.open", "subprocess.Popen", "tensorflow.io.write_file", "keras.layers.Lambda"]
)
def test_a_refused_target_ends_the_export_before_anything_has_run(project, target):
    reason = trust.refuse_target(target, find_project(project.root))

    assert refused(project, f"model._target_={target}") == {"model._target_": reason}


@pytest.mark.parametrize(
    "target",
    [
        "smdecl.models.Adder",
        "tensorflow.Module",
        "tensorflow.Variable",
        "tensorflow.train.Checkpoint",
        "tensorflow.lookup.StaticHashTable",
        "tensorflow.distribute.MirroredStrategy",
        "tensorflow.keras.layers.Dense",
        "keras.Sequential",
        "keras.layers.Dense",
        "keras.initializers.GlorotUniform",
        "keras.activations.relu",
        "keras.applications.mobilenet.MobileNet",
        "keras.optimizers.schedules.CosineDecay",
    ],
)
def test_constructors_may_be_named(project, target):
    assert trust.refuse_target(target, find_project(project.root)) is None


@pytest.mark.parametrize("target", ["mynet.tf.io.gfile.rmtree", "mynet.tf.keras.layers.Lambda"])
def test_an_alias_of_a_framework_in_a_project_module_is_refused(project, target):
    project.write("mynet.py", NET)

    reason = refused(project, f"model._target_={target}", "+model.path=exports")["model._target_"]

    assert f"{target!r} is an alias of " in reason
    assert "name the constructor itself" in reason


LEADING_OUT = {
    "mynet.os.system": "posix.system: 'posix.system' is not defined in the project",
    "mynet.os.path.join": "posixpath.join",
    "mynet.shell": "posix.system",
    "mynet.partly": "functools.partial",
    "mynet.np.load": "numpy.load: 'numpy' is not defined in the project",
    "mynet.vectorized": "numpy.vectorize",
    "mynet.Tool.create": "argparse.make: 'argparse.make' is not defined in the project",
    "mynet.Decoder.decode": "json.decoder.JSONDecoder.decode",
    "mynet.Net.mro": "builtins.Net.mro",
    "mynet.Net.__class__": "builtins.type",
    "mynet.publishing.publish": "smdecl.publishing.publish: 'smdecl.publishing.publish' is internal to smdecl",
    "smdecl.models.annotations.__class__.__base__": "builtins.object",
}


def test_every_name_in_a_project_module_that_leads_out_of_it_is_refused(project):
    project.write(
        "mynet.py",
        NET
        + textwrap.dedent("""
            import functools, json, os
            import numpy as np
            from smdecl import publishing

            shell = os.system
            partly = functools.partial(os.system, "touch built.txt")
            vectorized = np.vectorize(os.system)


            class Foreign:
                @classmethod
                def create(cls, *args):
                    raise AssertionError

            Foreign.create.__func__.__module__ = "argparse"  # as if it were defined there
            Foreign.create.__func__.__qualname__ = "make"


            class Tool(Foreign): ...
            class Decoder(json.JSONDecoder): ...
            """),
    )

    nodes = ",".join(f"{{_target_:{target}}}" for target in LEADING_OUT)

    reasons = refused(project, "model._target_=mynet.Net", f"+model.inner=[{nodes}]")

    assert len(reasons) == len(LEADING_OUT)
    for number, (target, leads_to) in enumerate(LEADING_OUT.items()):
        assert reasons[f"model.inner[{number}]._target_"].startswith(f"{target!r} leads to {leads_to}")


def test_a_refused_target_deep_in_lists_and_arguments_is_found(project):
    project.write("mynet.py", NET)
    conf(
        project,
        """
        _target_: mynet.Net
        _args_:
          - layers:
              - {units: 3}
              - _target_: mynet.Net
                inner: [[{_target_: os.system, command: touch built.txt}]]
        """,
    )

    assert list(refused(project, "model=mine")) == ["model._args_[0].layers[1].inner[0][0]._target_"]


def test_a_partial_of_refused_code_is_refused(project):
    project.write("mynet.py", NET)

    problems = refused(project, "model._target_=mynet.Net", "+model.inner={_target_: os.system, _partial_: true}")

    assert list(problems) == ["model.inner._target_"]


def test_a_refused_target_is_not_hidden_by_instantiating_it_not_at_once(project):
    project.write("mynet.py", NET)

    problems = refused(
        project, "model._target_=mynet.Net", "+model._recursive_=false", "+model.inner={_target_: os.system}"
    )

    assert list(problems) == ["model.inner._target_"]


@pytest.mark.parametrize("key", ["devices.strategy", "options.experimental_sharding_callback"])
def test_the_other_places_that_are_instantiated_are_judged_alike(project, key):
    problems = refused(project, f"{key}={{_target_: os.system, command: touch built.txt}}")

    assert list(problems) == [f"{key}._target_"]


@pytest.mark.parametrize("key", ["devices.strategy", "options.experimental_sharding_callback"])
def test_an_alias_in_the_other_places_is_refused_before_the_model_is_built(project, key):
    project.write("mynet.py", NET + "\nimport os\n")

    problems = refused(project, "model._target_=mynet.Net", f"{key}={{_target_: mynet.os.system, command: 'true'}}")

    assert list(problems) == [f"{key}._target_"]


def test_nothing_is_imported_where_one_target_is_refused_by_its_name(project):
    project.write("mynet.py", NET)

    refused(project, "model._target_=mynet.Net", "+model.inner={_target_: os.system, command: 'true'}")

    assert not (project.root / "imported.txt").exists()


def test_an_escaped_interpolation_cannot_make_a_target_later(project):
    # Composing turns it into a plain string, and instantiating would resolve that string as an interpolation.
    project.write("mynet.py", NET)
    conf(
        project,
        r"""
        _target_: mynet.Net
        inner: ['\${oc.create:{_target_: tensorflow.io.write_file, filename: built.txt, contents: x}}']
        """,
    )

    problems = refused(project, "model=mine")

    assert list(problems) == ["model.inner[0]"]
    assert "holds an interpolation that would be resolved once more" in problems["model.inner[0]"]
    assert not (project.root / "imported.txt").exists()


def test_an_interpolation_from_the_environment_is_not_resolved(project, monkeypatch):
    monkeypatch.setenv("INNER", "${oc.env:HOME}")
    project.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["INNER"]\n')
    project.write("mynet.py", NET)

    assert list(refused(project, "model._target_=mynet.Net", "+model.inner='${oc.env:INNER}'")) == ["model.inner"]


def test_every_nested_target_that_is_no_dotted_path_is_refused(project):
    project.write("mynet.py", NET)
    targets = ["3", "null", "[os.system]", "''", "mynet", ".mynet.Net", "mynet..Net", "mynet.Net."]
    nodes = ",".join(f"{{_target_:{target}}}" for target in targets)

    problems = refused(project, "model._target_=mynet.Net", f"+model.inner=[{nodes}]")

    assert list(problems) == [f"model.inner[{number}]._target_" for number in range(len(targets))]
    for message in problems.values():
        assert message.endswith("takes module and name, such as mynet.Net")


def test_every_refusal_is_told_at_once(project):
    problems = refused(project, "model._target_=os.system", "+model.command={_target_: builtins.open}")

    assert list(problems) == ["model._target_", "model.command._target_"]


def test_a_package_that_is_installed_within_the_project_is_not_the_projects(project, monkeypatch):
    site_packages = project.root / ".venv/lib/python3.11/site-packages"
    project.write(".venv/lib/python3.11/site-packages/installed/__init__.py", NET)
    monkeypatch.syspath_prepend(site_packages)

    reason = refused(project, "model._target_=installed.Net")["model._target_"]

    assert "pass --trust installed" in reason
    assert not (project.root / "imported.txt").exists()


def test_a_symbolic_link_to_a_module_outside_is_not_the_projects(project, tmp_path):
    (tmp_path / "outside.py").write_text(NET)
    (project.root / "linked.py").symlink_to(tmp_path / "outside.py")

    assert "'linked' is not defined in the project" in refused(project, "model._target_=linked.Net")["model._target_"]


def test_a_symbolic_link_to_a_submodule_outside_is_not_the_projects(project, tmp_path):
    (tmp_path / "outside.py").write_text(NET)
    project.write("mypackage/__init__.py", "")
    (project.root / "mypackage/linked.py").symlink_to(tmp_path / "outside.py")

    reason = refused(project, "model._target_=mypackage.linked.Net")["model._target_"]

    assert f"'mypackage.linked' is not defined in the project {project.root}" in reason
    assert not (project.root / "imported.txt").exists()


def test_a_namespace_package_that_is_partly_outside_is_not_the_projects(project, tmp_path, monkeypatch):
    project.write("spread/mine.py", NET)
    (tmp_path / "elsewhere/spread").mkdir(parents=True)
    assert project.export("model._target_=spread.mine.Net", "name=mine").version == 1
    (project.root / "imported.txt").unlink()

    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    with pytest.raises(TrustError, match="'spread' is not defined in the project"):
        project.export("model._target_=spread.mine.Net")
    assert not (project.root / "imported.txt").exists()


@pytest.mark.parametrize("name", ["json", "colorsys"])
def test_a_project_file_that_shadows_the_standard_library_is_not_taken_for_it(project, name):
    project.write(f"{name}.py", NET)

    assert "is not defined in the project" in refused(project, f"model._target_={name}.Net")["model._target_"]


def test_what_was_imported_already_is_not_taken_for_a_project_file_of_its_name(project):
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


def test_a_package_is_refused_until_the_caller_trusts_it(project, installed):
    reason = refused(project, "model._target_=thirdparty.Net")["model._target_"]

    assert reason == (
        f"'thirdparty' is not defined in the project {project.root}; to trust it, pass --trust thirdparty or add it to"
        " trust under [tool.smdecl] in the project's pyproject.toml"
    )
    assert not (project.root / "imported.txt").exists()
    assert project.export("model._target_=thirdparty.Net", "name=net", trust_packages=["thirdparty"]).version == 1


def test_a_package_that_the_projects_pyproject_trusts_may_be_named(project, installed):
    project.write("pyproject.toml", '[tool.smdecl]\ntrust = ["thirdparty"]\n')

    assert project.export("model._target_=thirdparty.nets.Net", "name=net").version == 1


def test_a_config_cannot_trust_a_package(project, installed):
    with pytest.raises(ConfigError, match="trust"):
        project.export("model._target_=thirdparty.Net", "+trust=[thirdparty]")
    project.write("conf/pyproject.toml", '[tool.smdecl]\ntrust = ["thirdparty"]\n')

    assert list(refused(project, "model._target_=thirdparty.Net")) == ["model._target_"]


def test_trust_is_for_the_package_alone_and_not_for_what_it_imports(project, installed):
    problems = refused(project, "model._target_=thirdparty.nets.pathlib.Path", trust_packages=["thirdparty"])

    assert "'thirdparty.nets.pathlib.Path' leads to pathlib.Path" in problems["model._target_"]


def test_trusting_a_framework_opens_none_of_its_functions(project):
    assert list(refused(project, "model._target_=tensorflow.io.write_file", trust_packages=["tensorflow"]))


def test_a_project_class_may_use_a_trusted_alias(project, installed):
    project.write("mynet.py", "from thirdparty import Net\n")

    assert "'mynet.Net' leads to thirdparty.nets.Net" in refused(project, "model._target_=mynet.Net")["model._target_"]
    (project.root / "imported.txt").unlink()
    assert project.export("model._target_=mynet.Net", "name=net", trust_packages=["thirdparty"]).version == 1


def test_a_lambda_and_a_function_of_the_project_are_its_own(project):
    project.write("mynet.py", NET + "\nmake = lambda: Net()\ndef build(inner=None): return Net(inner)\n")

    assert project.export("model._target_=mynet.make", "name=a").version == 1
    assert project.export("model._target_=mynet.build", "name=b").version == 1


def test_the_project_is_the_nearest_directory_upwards_that_has_a_pyproject(project, monkeypatch):
    project.write("pyproject.toml", '[tool.smdecl]\ntrust = ["somewhere"]\n')
    below = project.root / "a/b"
    below.mkdir(parents=True)

    assert find_project(below) == Project(project.root, frozenset(["somewhere"]))
    assert find_project(below, ["more"]).trusted == {"somewhere", "more"}


def test_packages_and_libraries_with_custom_ops_are_declared_in_the_order_they_load_in(project):
    names = ["tensorflow_text", "mine.ops", "ops/libmine.so", "libmine.so.2"]
    project.write("pyproject.toml", f"[tool.smdecl]\ncustom_ops = {names}\n")

    assert find_project(project.root).custom_ops == tuple(names)
    assert [is_library(name) for name in names] == [False, False, True, True]


def test_without_a_pyproject_the_project_is_the_directory_itself(tmp_path):
    assert find_project(tmp_path) == Project(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.smdecl\n", "pyproject.toml: cannot be read: "),
        (
            '[tool.smdecl]\ntrust = "mypackage"\n',
            "tool.smdecl.trust: got 'mypackage'; takes a list of top-level package",
        ),
        (
            '[tool.smdecl]\nenvironment = ["A-B"]\n',
            "tool.smdecl.environment: got ['A-B']; takes a list of names of environment variables",
        ),
        ('[tool.smdecl]\ntrust = ["a.b"]\n', "tool.smdecl.trust: got ['a.b']; takes a list of top-level package names"),
        ("[tool.smdecl]\ntrust = [3]\n", "tool.smdecl.trust: got [3]; takes a list of top-level package names"),
        ("[tool.smdecl.trust]\nnumpy = true\n", "tool.smdecl.trust: got {'numpy': True}; takes a list"),
        (
            '[tool.smdecl]\ncustom_ops = ["/usr/lib/libmine.so"]\n',
            "tool.smdecl.custom_ops: got ['/usr/lib/libmine.so']; takes a list of packages and library files in the",
        ),
        ('[tool.smdecl]\ncustom_ops = ["a-b"]\n', "tool.smdecl.custom_ops: got ['a-b']; takes a list of packages"),
        ('[tool]\nsmdecl = "x"\n', "tool.smdecl: got 'x'; takes a table with the keys trust, environment"),
        (
            "[tool.smdecl]\ntrsut = []\n",
            "tool.smdecl.trsut: is no key; takes trust, environment, custom_ops, confine, reads, writes; did you mean",
        ),
    ],
)
def test_a_malformed_trust_is_told_with_the_file_and_what_is_taken(project, text, message):
    project.write("pyproject.toml", text)

    with pytest.raises(UsageError) as error:
        project.export("model=adder")

    assert message in str(error.value)
    assert str(project.root / "pyproject.toml") in str(error.value)
    assert error.value.exit_code == 2


def test_a_pyproject_that_is_no_text_is_told(project):
    (project.root / "pyproject.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match="cannot be read"):
        project.export("model=adder")


def test_a_tool_that_is_no_table_trusts_nothing(project):
    project.write("pyproject.toml", "tool = 3\n")

    assert find_project(project.root).trusted == frozenset()


@pytest.mark.parametrize("name", ["a.b", "", "*", "scikit-learn"])
def test_what_the_command_line_trusts_is_the_name_of_a_package(project, name):
    with pytest.raises(UsageError) as error:
        project.export("model=adder", trust_packages=[name])

    assert str(error.value) == f"--trust: got {name!r}; takes the name of a top-level package"


def test_a_module_that_fails_while_it_is_imported_is_no_matter_of_trust(project):
    project.write("mynet.py", "raise ValueError('broken')\n")

    with pytest.raises(ModelError, match="importing 'mynet' failed: ValueError: broken"):
        project.export("model._target_=mynet.Net")


def test_the_command_line_refuses_with_exit_code_2_and_trusts_by_its_flag(project, installed):
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(installed)])}

    refusal = project.run("check", "model._target_=thirdparty.Net", env=path)
    taken = project.run("check", "model._target_=thirdparty.Net", "--trust", "thirdparty", env=path)

    assert refusal.returncode == 2
    assert "to trust it, pass --trust thirdparty" in refusal.stderr
    assert "Traceback" not in refusal.stderr
    assert (taken.returncode, taken.stderr) == (0, "")


@pytest.mark.parametrize("key", ["launcher", "sweeper", "sweep"])
def test_a_setting_of_hydras_that_is_no_mapping_is_refused(project, key):
    told = "got '${name}'; takes a mapping of its settings"

    assert refused(project, f"hydra.{key}='${{name}}'") == {f"hydra.{key}": told}


def test_a_file_whose_name_leads_nowhere_is_none_of_the_projects(project):
    (project.root / "loop.json").symlink_to("loop.json")
    for name in ("loop.json", "a" * 300 + ".json"):
        key = "model.x.path"
        found = refused(project, "model=adder", f"+model.x={{_target_: tensorflow.saved_model.Asset, path: {name}}}")
        assert found == {key: f"no file {name!r}"}
