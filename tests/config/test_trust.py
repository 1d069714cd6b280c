"""A config cannot run code that the user did not choose; it is refused before anything runs."""

import textwrap

import pytest
from smdecl.config import trust
from smdecl.config.project import find_project

from tests.config.untrusted import NET, conf, refused


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
        ("__main__.main", "defined in the running script"),
        ("hydra.utils.get_method", "not defined in the project"),
        ("hydra.utils.instantiate", "not defined in the project"),
        ("omegaconf.OmegaConf.load", "not defined in the project"),
        ("numpy.load", "pass --trust numpy or add it to trust"),
        ("smdecl.release.publish_local.following", "internal to smdecl"),
        ("smdecl.api.export", "internal to smdecl"),
        ("tensorflow.io.write_file", "not a constructor of tensorflow"),
        ("tensorflow.io.gfile.rmtree", "not a constructor of tensorflow"),
        ("tensorflow.io.gfile.GFile", "not a constructor of tensorflow"),
        ("tensorflow.py_function", "not a constructor of tensorflow"),
        ("tensorflow.numpy_function", "not a constructor of tensorflow"),
        ("tensorflow.load_op_library", "not a constructor of tensorflow"),
        ("tensorflow.saved_model.load", "not a constructor of tensorflow"),
        ("tensorflow.saved_model.save", "not a constructor of tensorflow"),
        ("tensorflow.train.load_checkpoint", "not a constructor of tensorflow"),
        ("tensorflow.compat.v1.gfile.DeleteRecursively", "not a constructor of tensorflow"),
        ("tensorflow.compat.v1.py_func", "not a constructor of tensorflow"),
        ("tensorflow.keras.utils.get_file", "not a constructor of tensorflow"),
        ("tensorflow.keras.models.load_model", "not a constructor of tensorflow"),
        ("tensorflow.keras.layers.Lambda", "not a constructor of tensorflow"),
        ("tensorflow.python.lib.io.file_io.delete_file", "not a constructor of tensorflow"),
        ("keras.saving.load_model", "not a constructor of keras"),
        ("keras.models.load_model", "not a constructor of keras"),
        ("keras.models.model_from_json", "not a constructor of keras"),
        ("keras.layers.deserialize", "not a constructor of keras"),
        ("keras.layers.TFSMLayer", "not a constructor of keras"),
        ("keras.layers.Lambda", "not a constructor of keras"),
        ("keras.layers.Dense.from_config", "not a constructor of keras"),
        ("keras.Model.from_config", "not a constructor of keras"),
        ("keras.activations.get", "not a constructor of keras"),
        ("keras.activations.deserialize", "not a constructor of keras"),
        ("keras.config.enable_unsafe_deserialization", "not a constructor of keras"),
        ("keras.src.layers.core.lambda_layer.Lambda", "not a constructor of keras"),
        ("tf_keras.models.load_model", "not a constructor of tf_keras"),
        ("nomodule.Net", "no module 'nomodule'"),
    ],
)
def test_an_untrusted_target_is_refused_by_its_name(project, target, reason):
    assert reason in trust.refuse_target(target, find_project(project.root))


@pytest.mark.parametrize(
    "target",
    ["builtins.open", "subprocess.Popen", "tensorflow.io.write_file", "keras.layers.Lambda"],
)
def test_a_refused_target_ends_the_export_before_anything_runs(project, target):
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
    "mynet.publish_local.following": "smdecl.release.publish_local.following: 'smdecl.release.publish_local.following' is internal to smdecl",
    "smdecl.models.annotations.__class__.__base__": "builtins.object",
}


def test_every_name_in_a_project_module_that_leads_out_of_it_is_refused(project):
    project.write(
        "mynet.py",
        NET
        + textwrap.dedent("""
            import functools, json, os
            import numpy as np
            from smdecl.release import publish_local

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
        assert reasons[f"model.inner[{number}]._target_"].startswith(
            f"{target!r} leads to {leads_to}"
        )


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

    assert list(refused(project, "model=mine")) == [
        "model._args_[0].layers[1].inner[0][0]._target_"
    ]


def test_a_partial_of_refused_code_is_refused(project):
    project.write("mynet.py", NET)

    problems = refused(
        project, "model._target_=mynet.Net", "+model.inner={_target_: os.system, _partial_: true}"
    )

    assert list(problems) == ["model.inner._target_"]


def test_a_target_that_is_not_instantiated_recursively_is_refused(project):
    project.write("mynet.py", NET)

    problems = refused(
        project,
        "model._target_=mynet.Net",
        "+model._recursive_=false",
        "+model.inner={_target_: os.system}",
    )

    assert list(problems) == ["model.inner._target_"]


@pytest.mark.parametrize("key", ["devices.strategy", "options.experimental_sharding_callback"])
def test_targets_outside_the_model_are_refused(project, key):
    problems = refused(project, f"{key}={{_target_: os.system, command: touch built.txt}}")

    assert list(problems) == [f"{key}._target_"]


@pytest.mark.parametrize("key", ["devices.strategy", "options.experimental_sharding_callback"])
def test_an_alias_outside_the_model_is_refused_before_the_model_is_built(project, key):
    project.write("mynet.py", NET + "\nimport os\n")

    problems = refused(
        project, "model._target_=mynet.Net", f"{key}={{_target_: mynet.os.system, command: 'true'}}"
    )

    assert list(problems) == [f"{key}._target_"]


def test_nothing_is_imported_if_one_target_is_refused_by_its_name(project):
    project.write("mynet.py", NET)

    refused(
        project, "model._target_=mynet.Net", "+model.inner={_target_: os.system, command: 'true'}"
    )

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
    assert "contains an interpolation that would be resolved again" in problems["model.inner[0]"]
    assert not (project.root / "imported.txt").exists()


def test_an_interpolation_from_the_environment_is_not_resolved(project, monkeypatch):
    monkeypatch.setenv("INNER", "${oc.env:HOME}")
    project.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["INNER"]\n')
    project.write("mynet.py", NET)

    assert list(refused(project, "model._target_=mynet.Net", "+model.inner='${oc.env:INNER}'")) == [
        "model.inner"
    ]


def test_a_nested_target_must_be_a_dotted_path(project):
    project.write("mynet.py", NET)
    targets = ["3", "null", "[os.system]", "''", "mynet", ".mynet.Net", "mynet..Net", "mynet.Net."]
    nodes = ",".join(f"{{_target_:{target}}}" for target in targets)

    problems = refused(project, "model._target_=mynet.Net", f"+model.inner=[{nodes}]")

    assert list(problems) == [f"model.inner[{number}]._target_" for number in range(len(targets))]
    for message in problems.values():
        assert message.startswith("expected module and name, such as mynet.Net, got ")


def test_every_refusal_is_reported_at_once(project):
    problems = refused(
        project, "model._target_=os.system", "+model.command={_target_: builtins.open}"
    )

    assert list(problems) == ["model._target_", "model.command._target_"]


@pytest.mark.parametrize("key", ["launcher", "sweeper", "sweep"])
def test_a_section_of_hydras_settings_must_be_a_mapping(project, key):
    message = "expected a mapping, got '${name}'"

    assert refused(project, f"hydra.{key}='${{name}}'") == {f"hydra.{key}": message}
