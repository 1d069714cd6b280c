"""A release is made again from its manifest: the same bytes, or what differs is named."""

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf

import smdecl
from smdecl.config.project import find_project
from smdecl.errors import ContractError, ModelError, SmdeclError, TrustError, VerificationError
from smdecl.pipeline import export, reproduce
from smdecl.release import manifest
from tests.conftest import forge_manifest, tree

NET = """
import tensorflow as tf

class Net(tf.Module):
    def __init__(self, scale=2.0):
        super().__init__()
        self.kernel = tf.Variable(tf.random.normal([3]) * scale)

    def add(self, x):
        return x + tf.reduce_sum(self.kernel)
"""


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    return project


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The release of NET, which is the same in any project."""
    root = tmp_path_factory.mktemp("made")
    (root / "pyproject.toml").write_text("")
    (root / "mynet.py").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.syspath_prepend(root)
        release = smdecl.export(smdecl.compose(["model._target_=mynet.Net"]))
    return replace(release, path=root / release.path)


@pytest.fixture
def release(net, made):
    """The release of NET in a project of its own."""
    path = Path("exports") / "adder" / "1"
    shutil.copytree(made.path, net.root / path)
    return replace(made, path=path)


def differences(net, release):
    with pytest.raises(VerificationError) as error:
        reproduce.reproduce(release.path, find_project(net.root))
    return [problem.message.removeprefix(f"{release.path}: ") for problem in error.value.problems]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=adder"],
        ["model._target_=mynet.Net", "seed=7", "+model.scale=3.5", "publish.warmup=true"],
        ["model=dense", "signatures=none", "publish=in_place", "verify=load"],
        ["model=scaler", "signatures=[scalar_float,vector_float]", "devices=cpu", "options=serving"],
    ],
)
def test_a_release_is_made_again_wherever_it_was_moved(net, overrides):
    release = net.export(*overrides)
    moved = shutil.move(release.path, net.root / "moved")

    assert reproduce.reproduce(moved, find_project(net.root))[0] == release.digest
    assert sorted(path.name for path in net.root.iterdir() if not path.name.startswith((".", "__"))) == [
        "exports", "moved", "mynet.py", "pyproject.toml",
    ]  # fmt: skip


def test_another_source_line_is_told_by_the_node(net, release):
    net.write("mynet.py", NET.replace("x + tf", "x - tf"))

    found = differences(net, release)

    assert found.pop(0).startswith("inputs mynet.py: was ")
    assert found == [
        "ops AddV2: 1 before, 0 now",
        "ops Sub: 0 before, 1 now",
        "nodes add/add: is gone",
        "nodes add/sub: is new",
        "nodes add/Identity: Identity takes other inputs",
        "files assets.extra/smdecl/examples.npz: has other bytes",
        "files fingerprint.pb: has other bytes",
        "files saved_model.pb: has other bytes",
    ]


def test_another_weight_is_told_by_the_variable(net, release):
    net.write("mynet.py", NET.replace("scale=2.0", "scale=4.0"))

    found = differences(net, release)

    (kernel,) = (text for text in found if text.startswith("variables kernel: has other values, by at most "))
    assert found.pop(0).startswith("inputs mynet.py: was ")
    assert sorted({*found} - {kernel}) == [
        "files assets.extra/smdecl/examples.npz: has other bytes",
        "files fingerprint.pb: has other bytes",
        "files variables/variables.data-00000-of-00001: has other bytes",
        "files variables/variables.index: has other bytes",
    ]


def test_another_environment_is_told_by_the_package(net, release):
    environment = manifest.read(release.path)["environment"]
    forge_manifest(release.path, environment={**environment, "numpy": "1.0"})
    assert reproduce.reproduce(release.path, find_project(net.root))[0] == release.digest  # it made no difference

    net.write("mynet.py", NET.replace("x + tf", "x - tf"))
    assert [text for text in differences(net, release) if text.startswith("environment numpy: was 1.0, and is ")]


def test_what_was_changed_since_is_not_made_again(net, release):
    (release.path / "saved_model.pb").write_bytes(b"")

    assert [text.partition(":")[0] for text in differences(net, release)] == [str(release.path / "saved_model.pb")]


def test_what_is_not_trusted_is_not_run_because_a_manifest_names_it(net, release):
    net.write("elsewhere/outside.py", NET)
    shutil.copytree(release.path, net.root / "elsewhere" / "release")
    other = net.root / "elsewhere"
    (other / "pyproject.toml").write_text("")

    with pytest.raises(TrustError) as error:
        reproduce.reproduce(other / "release", find_project(other))
    assert (error.value.exit_code, [str(problem) for problem in error.value.problems]) == (
        2,
        [
            f"model._target_: 'mynet' is not defined in the project {other}; to trust it, pass --trust mynet or add it"
            " to trust under [tool.smdecl] in the project's pyproject.toml",
            f"{other}/release: {elsewhere(other)}",
        ],
    )


def elsewhere(root, more=""):
    takes = "run it in the project that the release was made in, or in another checkout of it"
    return f"was made of mynet.py{more}, of which the project {root} has nothing; {takes}"


def test_outside_of_its_project_a_release_is_told_to_be_made_again_there(net, tmp_path, monkeypatch):
    net.write("other.py", "")
    release = net.export("model._target_=mynet.Net", "+model.scale=3.0").path
    net.write("mynet.py", f"import other{NET}")
    more = net.export("model._target_=mynet.Net").path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(net.root)])
    sys.modules.pop("mynet", None)

    for path, others in ((release, ""), (more, " and 1 more")):
        with pytest.raises(VerificationError) as error:
            reproduce.reproduce(net.root / path, find_project(tmp_path))
        assert [str(problem) for problem in error.value.problems] == [
            "model._target_: no module 'mynet' in the current directory or on sys.path",
            f"{net.root / path}: {elsewhere(tmp_path, others)}",
        ]


def test_the_command_line_makes_a_release_again(net, release):
    done = net.run("reproduce", str(release.path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"exports/adder/1: made again, the same bytes: {release.digest}\n"

    net.write("mynet.py", NET.replace("x + tf", "x - tf"))
    done = net.run("reproduce", str(release.path))
    assert (done.returncode, done.stdout) == (4, "")
    assert "smdecl: error: exports/adder/1: files saved_model.pb: has other bytes\n" in done.stderr


def test_another_config_is_told_by_its_keys(net):
    release = net.export("model._target_=mynet.Net", "+model.scale=2.0", "name=mine", "publish.warmup=true")

    done = net.run("reproduce", str(release.path), "model=adder", "seed=3", "name=mine", "publish.warmup=true")

    assert (done.returncode, done.stdout) == (4, "")
    told = [line.removeprefix(f"smdecl: error: {release.path}: ") for line in done.stderr.splitlines()]
    assert [line for line in told if line.startswith("config ")] == [
        'config model._target_: was "mynet.Net", and is "smdecl.models.Adder"',
        "config model.scale: is gone: 2.0",
        "config seed: was 0, and is 3",
    ]
    assert "variables kernel: is gone: float32 [3]" in told
    assert "files assets.extra/tf_serving_warmup_requests: has other bytes" in told


def test_another_config_that_makes_the_same_bytes_makes_the_release_again(net):
    release = net.export("model=scaler")

    done = net.run("reproduce", str(release.path), "model=scaler", "verify.rtol=0.5", "export_dir=elsewhere")

    warning = f"{release.path}: config verify.rtol: was null, and is 0.5; the bytes are the same"
    assert (done.returncode, done.stderr) == (0, f"smdecl: warning: {warning}\n")
    assert done.stdout == f"{release.path}: made again, the same bytes: {release.digest}\n"
    assert not (net.root / "elsewhere").exists()


def test_the_environments_alone_are_compared_where_that_is_asked_for(net, release):
    release = release.path
    done = net.run("reproduce", str(release), "--environment")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{release}: made in the same environment\n"

    environment = manifest.read(release)["environment"]
    numpy = environment["numpy"]
    forge_manifest(release, environment={**environment, "numpy": "1.0", "own": "2"})
    net.write("mynet.py", "raise SystemExit  # nothing of the model is made for it")

    done = net.run("reproduce", "--environment", str(release))

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines() == [
        f"smdecl: error: {release}: environment numpy: was 1.0, and is {numpy}",
        f"smdecl: error: {release}: environment own: is gone: 2",
    ]


def test_what_is_not_installed_here_is_told_and_what_a_manifest_does_not_name_is_not(net, release):
    done = net.run("reproduce", str(release.path), "--environment", "--trust", "scipy")

    assert (done.returncode, done.stderr) == (0, "")


UNSETTLED = """
import os, time

import tensorflow as tf

class Net(tf.Module):
    def __init__(self):
        super().__init__()
        {made}

    def add(self, x):
        return {added}
"""
DRAWN = 'int.from_bytes(os.urandom(4), "big") / 2**32'


@pytest.mark.parametrize(
    ("made", "added", "told"),
    [
        (f"self.v = tf.Variable({DRAWN})", "x * self.v", "variables v: has other values, by at most "),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (
                    "self.place = id(object()) % 100003",
                    "x + float(self.place)",
                    "nodes add/add/y: Const has another value",
                ),
                (
                    "self.v = tf.Variable(time.time(), dtype=tf.float64)",
                    "x",
                    "variables v: has other values, by at most ",
                ),
                (f"self.drawn = {DRAWN}", "x + self.drawn", "nodes add/add/y: Const has another value"),
            )
        ),
    ],
)
def test_what_is_another_each_time_is_not_published_where_it_is_to_be_reproducible(project, made, added, told):
    project.write("mynet.py", UNSETTLED.format(made=made, added=added))

    with pytest.raises(ContractError) as error:
        project.export("publish.reproducible=true", "model._target_=mynet.Net")

    assert error.value.exit_code == 4
    assert {problem.key for problem in error.value.problems} == {"publish.reproducible"}
    messages = [problem.message.removeprefix("a second export is another one: ") for problem in error.value.problems]
    assert any(message.startswith(told) for message in messages)
    assert {message.partition(" ")[0] for message in messages} <= {told.partition(" ")[0], "files"}
    assert not (project.root / "exports").exists()
    assert project.export("model._target_=mynet.Net").version == 1  # it is nobody else's to mind


def test_what_is_the_same_each_time_is_published_once(net):
    release = net.export("publish.reproducible=true", "model._target_=mynet.Net", "publish.warmup=true")

    assert [path.name for path in (net.root / "exports" / "adder").iterdir()] == ["1"]
    assert net.export("model._target_=mynet.Net", "publish.warmup=true").digest == release.digest


def test_what_the_environment_holds_is_told_by_its_name(net):
    net.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["SMDECL_TEST_TOKEN"]\n')
    net.write("mynet.py", NET.replace("scale=2.0", "scale=2.0, token=None"))
    told = "+model.token=${oc.env:SMDECL_TEST_TOKEN}"
    os.environ["SMDECL_TEST_TOKEN"] = "hunter2secret"
    try:
        release = net.export("model._target_=mynet.Net", told)
        net.write(
            "mynet.py",
            NET.replace("scale=2.0", "scale=2.0, token=None").replace("super().__init__()", "raise OSError(token)"),
        )
        with pytest.raises(ModelError) as error:
            reproduce.reproduce(release.path, find_project(net.root))
    finally:
        del os.environ["SMDECL_TEST_TOKEN"]

    assert "hunter2secret" not in str(error.value) + error.value.traceback_text
    assert "${oc.env:SMDECL_TEST_TOKEN}" in str(error.value)


def test_a_config_that_signs_is_compared_by_who_has_no_key(net, release):
    again = net.compose("model._target_=mynet.Net", "publish.sign=/nowhere.pem")
    assert reproduce.reproduce(release.path, find_project(net.root), again)[0] == release.digest


@pytest.mark.parametrize("arguments", [["seed=5"], ["--config-name", "other"], ["--config-dir", "conf"]])
def test_environments_are_compared_with_no_config(net, arguments):
    done = net.run("reproduce", "exports/adder/1", "--environment", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "smdecl: error: smdecl reproduce: --environment compares with the manifest, and takes no config\n"
    )


def test_another_primary_config_is_not_passed_over(net, release):
    done = net.run("reproduce", str(release.path), "--config-name", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere" in done.stderr


@pytest.mark.parametrize(
    "changed", [{}, {"signatures": {"x": 5}, "verify": []}, {"signatures": {}, "verify": 1}, {"name": "${"}]
)
def test_a_manifest_whose_config_is_none_is_told(net, release, changed):
    config = manifest.read(release.path)["config"]
    forge_manifest(release.path, config={**config, **changed} if "name" in changed else changed)

    with pytest.raises(SmdeclError) as error:
        reproduce.reproduce(release.path, find_project(net.root))
    assert error.value.exit_code in (2, 4)
    if "name" not in changed:
        with pytest.raises(VerificationError, match="its config cannot be verified by: "):
            export.verify(release.path)


SIGNATURES = """
{first}: {{method: {method}, inputs: {{x: {{shape: [], dtype: float32}}}}}}
{second}: {{method: {other}, inputs: {{x: {{shape: [], dtype: float32}}}}}}
"""


def test_the_order_of_signatures_is_nothing_to_the_bytes(net):
    net.write("mynet.py", NET + "\n    def less(self, x):\n        return x - self.kernel[0]\n")
    net.write("conf/signatures/one.yaml", SIGNATURES.format(first="z", method="add", second="a", other="less"))
    net.write("conf/signatures/other.yaml", SIGNATURES.format(first="a", method="less", second="z", other="add"))

    one, other = (net.export("model._target_=mynet.Net", f"signatures={name}") for name in ("one", "other"))

    assert tree(one.path) == tree(other.path)
    assert reproduce.reproduce(one.path, find_project(net.root)) == (one.digest, ())


def test_the_order_of_what_a_model_is_given_is_kept(net):
    net.write(
        "mynet.py",
        NET.replace("scale=2.0", "scale=2.0, sizes=None").replace("* scale)", "* float(len(list(sizes)[0])))"),
    )
    release = net.export("model._target_=mynet.Net", "+model.sizes={three: a, ab: b}")

    assert reproduce.reproduce(release.path, find_project(net.root)) == (release.digest, ())


PAIR = """
import tensorflow as tf

class Pair(tf.Module):
    def ask(self, x, y):
        return {"sum": tf.reduce_sum(x) + y, "first": x}
"""
IN_ORDER = "serving_default: {{method: ask, inputs: {{{inputs}}}}}\n"
SPECS = {"y": "y: {shape: [], dtype: float32}", "x": "x: {shape: [n], dtype: float32}"}
EXAMPLES = "+verify.examples.serving_default=[{{inputs: {{{inputs}}}}}]"


@pytest.mark.parametrize("given", [{}, {"y": "y: 2", "x": "x: [1, 3]"}])
def test_the_order_of_inputs_is_nothing_to_the_bytes(net, given):
    net.write("mynet.py", PAIR)
    made = []
    for names in ("yx", "xy"):
        net.write(f"conf/signatures/{names}.yaml", IN_ORDER.format(inputs=", ".join(SPECS[name] for name in names)))
        examples = [EXAMPLES.format(inputs=", ".join(given[name] for name in names))] if given else []
        made.append(net.export("model._target_=mynet.Pair", f"signatures={names}", "publish.warmup=true", *examples))

    assert tree(made[0].path) == tree(made[1].path)
    for release in made:
        assert reproduce.reproduce(release.path, find_project(net.root)) == (release.digest, ())


KEEPING = """
import math

import tensorflow as tf

class Net(tf.Module):
    def __init__(self, bounds):
        super().__init__()
        self.low, self.high = tf.Variable(bounds["low"]), tf.Variable(bounds["high"])
        assert math.isnan(bounds["rest"][0])

    def add(self, x):
        return tf.clip_by_value(x, self.low, self.high)
"""


def test_what_json_has_no_number_for_is_the_same_when_it_is_made_again(net):
    net.write("mynet.py", KEEPING)
    bounds = "+model.bounds={low: -.inf, high: .inf, rest: [.nan]}".replace(".inf", "inf").replace(".nan", "nan")
    release = net.export(
        "model._target_=mynet.Net", bounds, "+verify.tolerances.serving_default={output_0: {atol: inf}}"
    )

    def refuse(text):
        raise AssertionError(text)

    json.loads((release.path / manifest.FILE).read_text(), parse_constant=refuse)
    assert reproduce.reproduce(release.path, find_project(net.root)) == (release.digest, ())
    export.verify(release.path)


@pytest.mark.parametrize("gone", ["mynet.py", "factor.index"])
def test_what_a_release_was_made_of_and_is_gone_is_no_fault_of_who_asks(net, gone):
    net.write("mynet.py", NET)
    tf.train.Checkpoint(kernel=tf.Variable([1.0, 2.0, 3.0])).write("factor")
    config = ["model._target_=mynet.Net", "weights=checkpoint", "weights.path=factor"]
    release = net.export(*config)
    (net.root / gone).unlink()

    with pytest.raises(VerificationError, match=gone.partition(".")[0]) as error:
        reproduce.reproduce(release.path, find_project(net.root))
    assert error.value.exit_code == 4
    with pytest.raises(SmdeclError) as error:
        reproduce.reproduce(release.path, find_project(net.root), net.compose(*config))
    assert error.value.exit_code == 2


def test_another_place_of_the_weights_makes_the_release_again_and_is_not_told(net, monkeypatch):
    net.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["WDIR"]\n')
    tf.train.Checkpoint(kernel=tf.Variable([1.0, 2.0, 3.0])).write("factor")
    net.write("x.json", "1.5")
    places = [net.root / "one_secret_place", net.root / "another"]
    for place in places:
        place.mkdir()
        for file in (*net.root.glob("factor.*"), net.root / "x.json"):
            shutil.copy(file, place)
    monkeypatch.setenv("WDIR", str(places[0]))
    release = net.export(
        "model._target_=mynet.Net", "weights=checkpoint", "weights.path='${oc.env:WDIR}/factor'",
        "+verify.examples.serving_default=[{inputs: {x: {file: '${oc.env:WDIR}/x.json'}}}]",
    )  # fmt: skip

    assert sorted(manifest.read(release.path)["inputs"]) == [
        "${oc.env:WDIR}/factor.data-00000-of-00001", "${oc.env:WDIR}/factor.index", "${oc.env:WDIR}/x.json", "mynet.py",
    ]  # fmt: skip
    assert str(places[0]).encode() not in b"".join(tree(release.path).values())
    monkeypatch.setenv("WDIR", str(places[1]))
    shutil.rmtree(places[0])
    assert reproduce.reproduce(release.path, find_project(net.root)) == (release.digest, ())
