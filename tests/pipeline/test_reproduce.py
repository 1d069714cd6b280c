"""`smdecl reproduce` makes a release again from its manifest, and names every difference."""

import re
import shutil

import pytest
import tensorflow as tf
from smdecl.config.project import find_project
from smdecl.errors import VerificationError
from smdecl.pipeline import reproduce
from smdecl.release import manifest

from tests.conftest import forge_manifest, tree
from tests.pipeline.reproducible import NET, copy_release, write_net


@pytest.fixture
def net(project):
    return write_net(project)


@pytest.fixture
def release(net, tmp_path_factory):
    return copy_release(tmp_path_factory, net)


def differences(net, release):
    with pytest.raises(VerificationError) as error:
        reproduce.reproduce(release.path, find_project(net.root))
    return [problem.message.removeprefix(f"{release.path}: ") for problem in error.value.problems]


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(["model=adder"], marks=pytest.mark.slow),
        ["model._target_=mynet.Net", "seed=7", "+model.scale=3.5", "publish.warmup=true"],
        pytest.param(
            ["model=dense", "signatures=none", "publish=in_place", "verify=load"],
            marks=pytest.mark.slow,
        ),
        [
            "model=scaler",
            "signatures=[scalar_float,vector_float]",
            "devices=cpu",
            "options=serving",
        ],
    ],
)
def test_a_moved_release_is_reproduced(net, overrides):
    release = net.export(*overrides)
    moved = shutil.move(release.path, net.root / "moved")

    assert reproduce.reproduce(moved, find_project(net.root))[0] == release.digest
    assert sorted(path.name for path in net.root.iterdir() if not path.name.startswith((".", "__"))) == [
        "exports", "moved", "mynet.py", "pyproject.toml",
    ]  # fmt: skip


def test_a_changed_module_is_the_cause_and_the_rest_follows_in_short(net, release):
    net.write("mynet.py", NET.replace("x + tf", "x - tf"))

    found = differences(net, release)

    assert re.fullmatch("inputs mynet.py: changed from [0-9a-f]{12} to [0-9a-f]{12}", found.pop(0))
    assert found == [
        "differs in 3 files: assets.extra/smdecl/examples.npz, fingerprint.pb, saved_model.pb",
        "the model differs in 2 ops, 3 nodes;"
        " export it to a new export_dir, and smdecl diff shows each",
    ]


def test_without_a_known_cause_every_difference_is_reported(net, release):
    # As if the model drew different values in each process.
    copy = net.root / "copy"
    shutil.copytree(release.path, copy)
    net.write("mynet.py", NET.replace("scale=2.0", "scale=4.0"))
    again = net.export("model._target_=mynet.Net", "name=again")
    digest = manifest.read(again.path)["inputs"]["mynet.py"]
    forge_manifest(copy, inputs={"mynet.py": digest})

    with pytest.raises(VerificationError) as caught:
        reproduce.reproduce(copy, find_project(net.root))

    found = [problem.message.removeprefix(f"{copy}: ") for problem in caught.value.problems]
    assert found.pop(0).startswith("variables kernel: values differ by at most ")
    assert sorted(found) == [
        "files assets.extra/smdecl/examples.npz: content differs",
        "files fingerprint.pb: content differs",
        "files variables/variables.data-00000-of-00001: content differs",
        "files variables/variables.index: content differs",
    ]


def test_a_changed_environment_is_reported_with_its_package(net, release):
    environment = manifest.read(release.path)["environment"]
    forge_manifest(release.path, environment={**environment, "numpy": "1.0"})
    assert (
        reproduce.reproduce(release.path, find_project(net.root))[0] == release.digest
    )  # it made no difference

    net.write("mynet.py", NET.replace("x + tf", "x - tf"))
    assert [
        text
        for text in differences(net, release)
        if text.startswith("environment numpy: changed from 1.0 to ")
    ]


def test_a_changed_release_is_not_reproduced(net, release):
    (release.path / "saved_model.pb").write_bytes(b"")

    assert [text.partition(":")[0] for text in differences(net, release)] == [
        str(release.path / "saved_model.pb")
    ]


def test_the_command_line_reproduces_a_release(net, release):
    done = net.run("reproduce", str(release.path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"exports/adder/1: made again, the same bytes: {release.digest}\n"

    net.write("mynet.py", NET.replace("x + tf", "x - tf"))
    done = net.run("reproduce", str(release.path))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("smdecl: error: exports/adder/1: inputs mynet.py: changed from ")


def test_a_different_config_is_reported_with_its_keys(net):
    release = net.export(
        "model._target_=mynet.Net", "+model.scale=2.0", "name=mine", "publish.warmup=true"
    )

    done = net.run(
        "reproduce", str(release.path), "model=adder", "seed=3", "name=mine", "publish.warmup=true"
    )

    assert (done.returncode, done.stdout) == (4, "")
    messages = [
        line.removeprefix(f"smdecl: error: {release.path}: ") for line in done.stderr.splitlines()
    ]
    assert [line for line in messages if line.startswith("config ")] == [
        'config model._target_: changed from "mynet.Net" to "smdecl.models.Adder"',
        "config model.scale: was removed: 2.0",
        "config seed: changed from 0 to 3",
    ]
    assert len(messages) == 6
    assert "assets.extra/tf_serving_warmup_requests" in messages[4]
    assert "1 variable" in messages[5]


def test_a_different_config_with_the_same_bytes_reproduces_the_release(net):
    release = net.export("model=scaler")

    done = net.run(
        "reproduce", str(release.path), "model=scaler", "verify.rtol=0.5", "export_dir=elsewhere"
    )

    warning = (
        f"{release.path}: config verify.rtol: changed from null to 0.5; the bytes are the same"
    )
    assert (done.returncode, done.stderr) == (0, f"smdecl: warning: {warning}\n")
    assert done.stdout == f"{release.path}: made again, the same bytes: {release.digest}\n"
    assert not (net.root / "elsewhere").exists()


def test_environment_compares_only_the_environments(net, release):
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
        f"smdecl: error: {release}: environment numpy: changed from 1.0 to {numpy}",
        f"smdecl: error: {release}: environment own: was removed: 2",
        f"smdecl: error: {release}: the packages that it was made with: pip install numpy==1.0 own==2",
    ]


def test_only_packages_in_the_manifest_are_compared(net, release):
    done = net.run("reproduce", str(release.path), "--environment", "--trust", "scipy")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_config_with_a_signature_is_reproduced_without_the_key(net, release):
    again = net.compose("model._target_=mynet.Net", "publish.sign=/nowhere.pem")
    assert reproduce.reproduce(release.path, find_project(net.root), again)[0] == release.digest


def test_moved_weights_reproduce_the_release_without_a_change(net, monkeypatch):
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
