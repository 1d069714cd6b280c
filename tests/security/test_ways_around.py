"""Ways around the trust rules of a config: none runs code or reveals a secret."""

import base64
import contextlib
import io
import json
import marshal
import pickle
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import smdecl
from smdecl.errors import ConfigError, PublishError, SmdeclError

from tests.conftest import run_script, tree
from tests.security.ways_around import ran, refused, write_evilpkg

# What runs leaves a file whose name begins with ran: a hostile target makes it, or a package when it is imported.
NET = """
import functools, os, pathlib
import keras
import tensorflow as tf
alias, partly = os.system, functools.partial(os.system, "touch ran_partly")
class Tools:
    remove = staticmethod(os.remove)
class Net(tf.Module):
    def __init__(self, inner=None, which=None):
        pathlib.Path("ran_net").write_text("")
    @tf.function
    def add(self, x):
        return x + x
class Deep(keras.Model): ...
"""


def run_lambda(x):
    __import__("pathlib").Path("ran_lambda").write_text("")
    return x


@pytest.fixture
def evilpkg(tmp_path, monkeypatch):
    return write_evilpkg(tmp_path, monkeypatch)


# Refused by their names, before anything is imported.
FOREIGN = [
    "builtins.eval", "builtins.open", "builtins.__import__", "runpy.run_path", "pickle.loads",
    "marshal.loads", "hydra.utils.get_method", "hydra.utils.get_class",
    "hydra.utils.instantiate", "importlib.import_module", "keras.utils.get_file",
    "keras.saving.load_model", "tensorflow.keras.models.load_model", "keras.layers.Lambda",
    "keras.layers.TFSMLayer", "keras.export.TFSMLayer", "tf_keras.layers.Lambda",
    "keras.models.clone_model", "keras.utils.deserialize_keras_object",
    "keras.saving.deserialize_keras_object", "keras.Model.load_weights",
    "tensorflow.io.write_file", "tensorflow.raw_ops.WriteFile",
    "tensorflow.raw_ops.EagerPyFunc", "tensorflow.py_function", "tensorflow.compat.v1.py_func",
    "tensorflow.function", "keras.layers.get", "smdecl.isolation.processes.os.system",
    "smdecl.config.project.find_project",
]  # fmt: skip
# Of modules that may be imported; what they are is seen then.
ALIASES = [
    "smdecl.models.tf.io.gfile.rmtree", "mynet.os.system", "mynet.os.mkdir", "mynet.alias",
    "mynet.partly", "mynet.Tools.remove", "mynet.tf.io.gfile.rmtree",
    "mynet.tf.raw_ops.WriteFile", "mynet.keras.layers.Lambda", "mynet.pathlib.Path",
    "mynet.Deep.load_weights", "mynet.Deep.from_config", "mynet.Net.__subclasses__",
    "mynet.__loader__.get_data", "mynet.Net.__init__.__class__", "mynet.Net.__dict__.get",
    "mynet.functools.partial",
]  # fmt: skip


@pytest.mark.parametrize("targets", [FOREIGN, ALIASES], ids=["by name", "once imported"])
def test_every_target_that_is_not_a_constructor_is_refused(project, targets):
    project.write("mynet.py", NET)
    nodes = ",".join(f"{{_target_:{target}}}" for target in targets)

    # Beside a model of the project's own, whose module may be imported and whose class is then not built.
    text = refused(project, "model._target_=mynet.Net", f"+model.inner=[{nodes}]")

    for number, target in enumerate(targets):
        assert re.search(rf"model\.inner\[{number}\]\._target_: .*{re.escape(target)}", text), (
            target
        )


ASSET = "{_target_: tensorflow.saved_model.Asset, path: FILE}"
READING = [
    ASSET, "{_target_: tensorflow.saved_model.Asset, _args_: [FILE]}", "{_target_: tensorflow.lookup.TextFileInitializer, _args_: [FILE, string, -2, int64, -1]}",
    "{_target_: keras.layers.StringLookup, vocabulary: FILE}", "{_target_: tf_keras.layers.TextVectorization, vocabulary: FILE}",
]  # fmt: skip
ELSEWHERE = ["../elsewhere/evilpkg/__init__.py", "gs://bucket/words.txt", "link.txt", "nowhere.txt"]


@pytest.mark.parametrize(
    ("node", "file"),
    [*((node, "/etc/hostname") for node in READING), *((ASSET, file) for file in ELSEWHERE)],
)
def test_no_outside_file_is_read_into_a_release(project, evilpkg, node, file):
    Path("link.txt").symlink_to("/etc/hostname")
    override = (
        f"model={{_target_: tensorflow.train.Checkpoint, inner: {node.replace('FILE', file)}}}"
    )

    text = refused(project, "~model", f"+{override}", "name=x", "signatures=none")

    assert (
        f"model.inner.{'_args_[0]' if '_args_' in node else node.split(', ')[1].split(':')[0]}: "
        in text
    )
    assert ("no such file" if "nowhere" in file else "is outside the project") in text


METHODS = """
import functools, os, pathlib
import keras
import tensorflow as tf
class Net(keras.Model):
    system = staticmethod(os.system)
    def __init__(self):
        super().__init__()
        self.modules = [os]
        self.held, self.tf = os, tf
        self.part = functools.partial(os.system, "touch ran_partial")
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0)
        self.scale = functools.partial(self.scaled, by=2.0)
    def call(self, x):
        return x
    def scaled(self, x, by):
        return x * by
"""


UNFIT = {  # a method and its argument
    "save": "filepath",
    "save_weights": "filepath",
    "load_weights": "filepath",
    "export": "filepath",
    "held.mkdir": "path",
    "held.mkdir.__call__": "path",
    "tf.io.write_file": "filename",
    "tf.io.gfile.mkdir": "path",
    "part": "path",
    "part.__call__": "path",
    "system": "command",
    "held.system.__call__.__call__": "command",
    "__class__.from_config": "config",
    "__init__.__class__": "x",
    "held.fspath": "path",
    "tf.py_function": "func",
}


def test_a_signature_calls_no_method_that_computes_nothing(project):
    project.write("mynet.py", METHODS)
    signatures = [
        f"+signatures.s{number}={{method: {method}, inputs: {{{argument}: {{value: ran.keras}}}}}}"
        for number, (method, argument) in enumerate(UNFIT.items())
    ]

    text = refused(project, "model._target_=mynet.Net", "signatures=none", *signatures)

    for number, method in enumerate(UNFIT):
        assert f"signatures.s{number}.method: {method!r} leads to " in text


def test_a_signature_calls_what_computes(project):
    project.write("mynet.py", METHODS)
    floats, texts = "x: {shape: [], dtype: float32}", "keys: {shape: [batch], dtype: string}"
    specs = {"__call__": floats, "call": floats, "scale": floats, "table.lookup": texts}
    signatures = [
        f"+signatures.s{number}={{method: {method}, inputs: {{{spec}}}}}"
        for number, (method, spec) in enumerate(specs.items())
    ]

    release = project.export("model._target_=mynet.Net", "signatures=none", *signatures)

    assert list(release.signatures) == ["s0", "s1", "s2", "s3"]


@pytest.mark.parametrize("target", ["os.mkdir", "mynet.os.mkdir"])
@pytest.mark.parametrize("override", [
    "+model.inner={_target_:%s,path:ran,_partial_:true}", "+model._args_=[[[{a:[{_target_:mynet.Net,inner:{_target_:%s,path:ran}}]}]]]", "+model.inner={_target_:'${model.which}',path:ran}",
    "+model.inner='${oc.create:{_target_:%s,path:ran}}'", "+model.inner={_target_:'${oc.env:TARGET}',path:ran}",
    "+model.inner={_target_:mynet.Net,_args_:[{_target_:%s,_args_:[ran]}],_recursive_:false}", "devices.strategy={_target_:%s,path:ran}",
    "options.experimental_sharding_callback={_target_:%s,path:ran,_partial_:true}",
])  # fmt: skip
def test_a_refused_target_is_found_wherever_it_stands(project, monkeypatch, target, override):
    monkeypatch.setenv("TARGET", target)
    project.write("mynet.py", NET)
    given = override.replace("%s", target)

    assert refused(
        project, "model._target_=mynet.Net", f"+model.which={target}", given, kind=ConfigError
    )


@pytest.mark.parametrize("framework", ["keras", pytest.param("tf_keras", marks=pytest.mark.slow)])
@pytest.mark.parametrize("argument", [
    "os.system", "mynet.alias", "evilpkg>evil", {"module": "evilpkg", "class_name": "function", "config": "evil", "registered_name": "evil"},
    {"module": "evilpkg", "class_name": "Evil", "config": {}, "registered_name": "Evil"}, {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"},
    {"class_name": "__lambda__", "config": {"value": ["CODE", None, None]}}, {"class_name": "__lambda__", "config": {"code": "CODE", "defaults": None, "closure": None}},
])  # fmt: skip
def test_what_keras_would_make_of_an_argument_runs_nothing(project, evilpkg, framework, argument):
    code = base64.b64encode(marshal.dumps(run_lambda.__code__)).decode()
    layer = {"_target_": f"{framework}.layers.Dense", "units": 2, "activation": argument}
    model = {"_target_": f"{framework}.Sequential", "layers": [layer]}
    text = json.dumps(model).replace("CODE", code)
    signature = {"inputs": {"inputs": {"shape": [2, 2], "dtype": "float32", "name": "x"}}}
    project.write("conf/model/mine.yaml", text)
    project.write("conf/signatures/mine.yaml", json.dumps({"serving_default": signature}))

    with pytest.raises(SmdeclError) as error:
        project.export("model=mine", "signatures=mine")

    assert error.value.exit_code in (2, 3)
    assert ran(project) == []


class Pickled:
    def __reduce__(self):
        return (Path.mkdir, (Path("ran_pickle"),))


def arrays(**held):
    np.savez(buffer := io.BytesIO(), **held)
    return buffer.getvalue()


def keras_file(path, *layers, **members):
    keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(5)]).save(path)
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**held, **members}.items():
            archive.writestr(
                name, content.replace(b'"keras.layers"', b'"evilpkg"') if layers == () else content
            )


@pytest.mark.filterwarnings("ignore")  # Keras warns while it saves
@pytest.mark.parametrize("kind", ["lambda", "module", "npz", "pickle"])
def test_weights_with_code_in_them_are_an_error_and_run_nothing(project, evilpkg, kind):
    path = Path("w.keras")
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Pickled()))
    elif kind == "npz":
        held = arrays(layers=np.array([Pickled()], object))
        keras_file(
            path, keras.layers.Identity(), **{"model.weights.npz": held, "model.weights.h5": b""}
        )
    else:
        keras_file(path, *([keras.layers.Lambda(run_lambda)] if kind == "lambda" else []))
    for left in Path().glob("ran*"):
        left.unlink()

    with pytest.raises(SmdeclError) as error:
        project.export("model=dense", "signatures=none", "weights=keras", f"weights.path={path}")

    assert error.value.exit_code in (2, 3)
    assert ran(project) == []


LEGACY = """
import pathlib, shutil, sys, zipfile
import tf_keras
run = lambda x: [pathlib.Path("ran_lambda").write_text(""), x][1]
code = [tf_keras.layers.Lambda(run)] if "lambda" in sys.argv[1] else []
tf_keras.Sequential([tf_keras.layers.Input((4,)), *code, tf_keras.layers.Dense(5)]).save(sys.argv[1])
if "module" in sys.argv[1]:
    with zipfile.ZipFile(sys.argv[1]) as archive:
        held = {name: archive.read(name).replace(b'"keras.layers"', b'"evilpkg"') for name in archive.namelist()}
    with zipfile.ZipFile(sys.argv[1], "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
pathlib.Path(sys.argv[1]).rename("w.keras")
"""


@pytest.mark.parametrize(
    "file",
    [
        "module.keras",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("lambda.h5", "lambda.keras")),
    ],
)
def test_weights_of_the_legacy_keras_with_code_in_them_run_nothing(project, evilpkg, file):
    run_script(LEGACY, file)
    project.write("mynet.py", "import tf_keras\ndef net(): return tf_keras.Sequential([tf_keras.layers.Input((4,)), tf_keras.layers.Dense(5)])\n")  # fmt: skip
    for left in Path().glob("ran*"):
        left.unlink()

    with contextlib.suppress(SmdeclError):  # what of it is weights can be read all the same
        project.export(
            "model._target_=mynet.net", "signatures=none", "weights=keras", "weights.path=w.keras"
        )

    assert ran(project) == []


def test_an_example_that_is_a_pickle_is_refused_and_not_read(project):
    Path("x.npz").write_bytes(arrays(x=np.array([Pickled()], object)))

    examples = "++verify.examples.serving_default=[{inputs:{x:{file:x.npz}}}]"
    assert "has Python objects, which are not unpickled" in refused(
        project, examples, kind=ConfigError
    )


def test_a_name_leads_nowhere_else(project):
    composition = project.compose()
    for name in ("../x", "/x", "a/../../x", "..", ".", "a//b", ".hidden", "~", "a\\b"):
        renamed = replace(composition, values={**composition.values, "name": name})
        with pytest.raises(ConfigError, match="name: invalid name"):
            smdecl.export(renamed)
    assert tree(project.root) == {"pyproject.toml": b""}


def test_a_link_in_the_place_of_a_version_is_not_followed(project, tmp_path):
    kept = project.export("export_dir=kept").path
    before = tree(kept)
    Path("exports").mkdir()
    Path("exports/1").symlink_to(kept.absolute())

    for overrides in (
        ["publish.version=1"],
        ["publish.version=1", "publish.replace=true"],
        ["signatures={}"],
    ):
        with contextlib.suppress(PublishError, ConfigError):
            project.export("export_dir=exports", *overrides)
    assert tree(kept) == before
