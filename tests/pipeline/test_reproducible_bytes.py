"""`publish.reproducible` makes a release twice; the order of a config does not affect the bytes."""

import json

import pytest
from smdecl.config.project import find_project
from smdecl.errors import ContractError
from smdecl.pipeline import reproduce, verify
from smdecl.release import manifest

from tests.conftest import tree
from tests.pipeline.reproducible import NET, write_net

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


@pytest.fixture
def net(project):
    return write_net(project)


@pytest.mark.parametrize(
    ("made", "added", "expected"),
    [
        (
            f"self.v = tf.Variable({DRAWN})",
            "x * self.v",
            "variables v: values differ by at most ",
        ),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (
                    "self.place = id(object()) % 100003",
                    "x + float(self.place)",
                    "nodes add/add/y: Const has a different value",
                ),
                (
                    "self.v = tf.Variable(time.time(), dtype=tf.float64)",
                    "x",
                    "variables v: values differ by at most ",
                ),
                (
                    f"self.drawn = {DRAWN}",
                    "x + self.drawn",
                    "nodes add/add/y: Const has a different value",
                ),
            )
        ),
    ],
)
def test_a_release_with_random_bytes_is_not_published_as_reproducible(
    project, made, added, expected
):
    project.write("mynet.py", UNSETTLED.format(made=made, added=added))

    with pytest.raises(ContractError) as error:
        project.export("publish.reproducible=true", "model._target_=mynet.Net")

    assert error.value.exit_code == 4
    assert {problem.key for problem in error.value.problems} == {"publish.reproducible"}
    messages = [
        problem.message.removeprefix("a second export differs: ")
        for problem in error.value.problems
    ]
    assert any(message.startswith(expected) for message in messages)
    assert {message.partition(" ")[0] for message in messages} <= {
        expected.partition(" ")[0],
        "files",
    }
    assert not (project.root / "exports").exists()
    assert project.export("model._target_=mynet.Net").version == 1  # no other project minds


def test_a_reproducible_release_is_published_once(net):
    release = net.export(
        "publish.reproducible=true", "model._target_=mynet.Net", "publish.warmup=true"
    )

    assert [path.name for path in (net.root / "exports" / "adder").iterdir()] == ["1"]
    assert net.export("model._target_=mynet.Net", "publish.warmup=true").digest == release.digest


SIGNATURES = """
{first}: {{method: {method}, inputs: {{x: {{shape: [], dtype: float32}}}}}}
{second}: {{method: {other}, inputs: {{x: {{shape: [], dtype: float32}}}}}}
"""


def test_the_order_of_signatures_does_not_affect_the_bytes(net):
    net.write("mynet.py", NET + "\n    def less(self, x):\n        return x - self.kernel[0]\n")
    net.write(
        "conf/signatures/one.yaml",
        SIGNATURES.format(first="z", method="add", second="a", other="less"),
    )
    net.write(
        "conf/signatures/other.yaml",
        SIGNATURES.format(first="a", method="less", second="z", other="add"),
    )

    one, other = (
        net.export("model._target_=mynet.Net", f"signatures={name}") for name in ("one", "other")
    )

    assert tree(one.path) == tree(other.path)
    assert reproduce.reproduce(one.path, find_project(net.root)) == (one.digest, ())


def test_the_order_of_model_arguments_is_kept(net):
    net.write(
        "mynet.py",
        NET.replace("scale=2.0", "scale=2.0, sizes=None").replace(
            "* scale)", "* float(len(list(sizes)[0])))"
        ),
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


@pytest.mark.parametrize(
    "given", [{"y": "y: 2", "x": "x: [1, 3]"}, pytest.param({}, marks=pytest.mark.slow)]
)
def test_the_order_of_inputs_does_not_affect_the_bytes(net, given):
    net.write("mynet.py", PAIR)
    made = []
    for names in ("yx", "xy"):
        net.write(
            f"conf/signatures/{names}.yaml",
            IN_ORDER.format(inputs=", ".join(SPECS[name] for name in names)),
        )
        examples = (
            [EXAMPLES.format(inputs=", ".join(given[name] for name in names))] if given else []
        )
        made.append(
            net.export(
                "model._target_=mynet.Pair", f"signatures={names}", "publish.warmup=true", *examples
            )
        )

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


def test_numbers_that_json_does_not_have_are_reproduced(net):
    net.write("mynet.py", KEEPING)
    bounds = "+model.bounds={low: -.inf, high: .inf, rest: [.nan]}".replace(".inf", "inf").replace(
        ".nan", "nan"
    )
    release = net.export(
        "model._target_=mynet.Net",
        bounds,
        "+verify.tolerances.serving_default={output_0: {atol: inf}}",
    )

    def refuse(text):
        raise AssertionError(text)

    json.loads((release.path / manifest.FILE).read_text(), parse_constant=refuse)
    assert reproduce.reproduce(release.path, find_project(net.root)) == (release.digest, ())
    verify.verify(release.path)
