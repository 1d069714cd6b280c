"""A release is made again from its manifest: the same bytes, or what differs is named."""

import shutil

import pytest

from smdecl import manifest, reproducing, trust
from smdecl.errors import ConfigError, VerificationError

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


def differences(net, release):
    with pytest.raises(VerificationError) as error:
        reproducing.reproduce(release.path, trust.find_project(net.root))
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

    assert reproducing.reproduce(moved, trust.find_project(net.root)) == release.digest
    assert sorted(path.name for path in net.root.iterdir() if not path.name.startswith((".", "__"))) == [
        "exports", "moved", "mynet.py", "pyproject.toml",
    ]  # fmt: skip


def test_another_source_line_is_told_by_the_node(net):
    release = net.export("model._target_=mynet.Net")
    net.write("mynet.py", NET.replace("x + tf", "x - tf"))

    found = differences(net, release)

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


def test_another_weight_is_told_by_the_variable(net):
    release = net.export("model._target_=mynet.Net")
    net.write("mynet.py", NET.replace("scale=2.0", "scale=4.0"))

    found = differences(net, release)

    (kernel,) = (text for text in found if text.startswith("variables kernel: has other values, by at most "))
    assert sorted({*found} - {kernel}) == [
        "files assets.extra/smdecl/examples.npz: has other bytes",
        "files fingerprint.pb: has other bytes",
        "files variables/variables.data-00000-of-00001: has other bytes",
        "files variables/variables.index: has other bytes",
    ]


def test_another_environment_is_told_by_the_package(net):
    release = net.export("model._target_=mynet.Net")
    text = manifest.read(release.path)
    text["environment"]["numpy"] = "1.0"
    text["checksum"] = manifest._checksum(text)
    (release.path / manifest.FILE).write_text(manifest._text(text))
    assert reproducing.reproduce(release.path, trust.find_project(net.root)) == release.digest  # it made no difference

    net.write("mynet.py", NET.replace("x + tf", "x - tf"))
    assert differences(net, release)[0].startswith("environment numpy: was 1.0, and is ")


def test_what_was_changed_since_is_not_made_again(net):
    release = net.export()
    (release.path / "saved_model.pb").write_bytes(b"")

    assert [text.partition(":")[0] for text in differences(net, release)] == [str(release.path / "saved_model.pb")]


def test_what_is_not_trusted_is_not_run_because_a_manifest_names_it(net):
    net.write("elsewhere/outside.py", NET)
    release = net.export("model._target_=mynet.Net")
    shutil.copytree(release.path, net.root / "elsewhere" / "release")
    other = net.root / "elsewhere"
    (other / "pyproject.toml").write_text("")

    with pytest.raises(ConfigError, match="mynet"):
        reproducing.reproduce(other / "release", trust.find_project(other))


def test_the_command_line_makes_a_release_again(net):
    release = net.export("model._target_=mynet.Net")

    done = net.run("reproduce", str(release.path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"exports/adder/1: made again, the same bytes: {release.digest}\n"

    net.write("mynet.py", NET.replace("x + tf", "x - tf"))
    done = net.run("reproduce", str(release.path))
    assert (done.returncode, done.stdout) == (4, "")
    assert "smdecl: error: exports/adder/1: files saved_model.pb: has other bytes\n" in done.stderr
