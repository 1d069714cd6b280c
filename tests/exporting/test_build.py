"""Building a live object from a config: seeds, arguments, and the errors if it cannot be built."""

import random

import numpy as np
import pytest
from smdecl.errors import ModelError, TrustError

from tests.exporting.building_projects import (
    NET,
    ROWS,
    conf,
    described,
    problems,
    served,
    write_net,
)


@pytest.fixture
def net(project):
    return write_net(project)


def test_the_seed_decides_what_random_initialisers_make(net):
    conf(net, "{_target_: mykeras.Net}")

    first, second = net.export("model=mine", ROWS), net.export("model=mine", ROWS)
    other = net.export("model=mine", ROWS, "seed=1")

    x = np.ones([1, 3], np.float32)
    assert first.digest == second.digest
    assert served(first, x=x)["output_0"].tolist() == served(second, x=x)["output_0"].tolist()
    assert served(first, x=x)["output_0"].tolist() != served(other, x=x)["output_0"].tolist()


def test_the_seed_applies_to_the_generators_of_python_numpy_and_tensorflow(net):
    net.write(
        "mynet.py",
        "import random\nimport numpy as np\nimport tensorflow as tf\nfrom smdecl.models import Scaler\n"
        "class Net(Scaler):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        drawn = [random.random(), np.random.rand(), tf.random.uniform([])]\n"
        "        self.drawn = tf.Variable(tf.cast(drawn, tf.float64))\n"
        "    @tf.function\n"
        "    def add(self, x):\n"
        "        return self.drawn + tf.cast(0 * x, tf.float64)\n",
    )

    drawn = [
        served(
            net.export(
                "model._target_=mynet.Net",
                "signatures.serving_default.outputs=null",
                f"seed={seed}",
            ),
            x=0.0,
        )
        for seed in (5, 5, 6)
    ]

    values = [outputs["output_0"].tolist() for outputs in drawn]
    assert values[0] == values[1]
    assert all(one != other for one, other in zip(values[0], values[2], strict=True))
    assert values[0][:2] == pytest.approx(
        [random.Random(5).random(), np.random.RandomState(5).rand()]
    )


# A node, and its problems by key.
UNFIT = [
    (
        "{_target_: mynet.Net, units: 1, scal: 2}",
        {
            "model.scal": "unknown argument 'scal' of Net; expected one of units, bias, scale, inner (did you mean 'scale'?)"
        },
    ),
    ("{_target_: mynet.Net}", {"model.units": "missing required argument 'units' of Net"}),
    (
        "{_target_: mynet.Net, unitz: 1}",
        {
            "model.unitz": "unknown argument 'unitz' of Net; expected one of units, bias, scale, inner (did you mean 'units'?)",
            "model.units": "missing required argument 'units' of Net",
        },
    ),
    (
        "{_target_: mynet.Nothing, x: 1}",
        {"model.x": "unknown argument 'x' of Nothing; expected none"},
    ),
    (
        "{_target_: mynet.Net, _args_: [1, 2, 3]}",
        {"model._args_": "Net accepts at most 2 positional arguments, got 3"},
    ),
    (
        "{_target_: mynet.Net, _args_: [1], units: 2}",
        {"model.units": "duplicate argument 'units' of Net; _args_ sets it already"},
    ),
    (
        "{_target_: mynet.Net, _args_: []}",
        {"model.units": "missing required argument 'units' of Net"},
    ),
    (
        "{_target_: mynet.ByPosition}",
        {
            "model._args_": "missing required argument 'units' of ByPosition, which is positional-only"
        },
    ),
    (
        "{_target_: mynet.ByPosition, units: 1}",
        {
            "model.units": "unknown argument 'units' of ByPosition; expected none",
            "model._args_": "missing required argument 'units' of ByPosition, which is positional-only",
        },
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: [{deep: {_target_: mynet.make, unit: 2}}]}",
        {
            "model.inner[0].deep.unit": "unknown argument 'unit' of make; expected one of units, kind (did you mean 'units'?)"
        },
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _partial_: 3}}",
        {"model.inner._partial_": "expected true or false, got 3"},
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _recursive_: maybe}}",
        {"model.inner._recursive_": "expected true or false, got 'maybe'"},
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _convert_: every}}",
        {"model.inner._convert_": "expected one of none, partial, object, all, got 'every'"},
    ),
    (
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _args_: abc}}",
        {"model.inner._args_": "expected a list, got 'abc'"},
    ),
]


def test_unknown_arguments_of_a_target_are_reported_with_the_known_ones(net):
    conf(net, f"{{_target_: mynet.Net, units: 1, inner: [{', '.join(node for node, _ in UNFIT)}]}}")

    expected = {}
    for number, (_, found) in enumerate(UNFIT):
        for key, message in found.items():
            expected[key.replace("model", f"model.inner[{number}]", 1)] = message
    assert problems(net, "model=mine") == expected


def test_arguments_are_accepted_by_name_and_by_position(net):
    nodes = [
        "{_target_: mynet.Net, units: 1, scale: 2}",
        "{_target_: mynet.Net, _args_: [1, 2]}",
        "{_target_: mynet.Net, _args_: [1], bias: 2}",
        "{_target_: mynet.ByPosition, _args_: [1]}",
        "{_target_: mynet.Anything, _args_: [1, 2, 3, 4], anything: 5}",
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.make, _partial_: true}}",
        "{_target_: mynet.Net, units: 1, inner: {_target_: mynet.Net, _partial_: true}}",
    ]
    conf(net, f"{{_target_: mynet.Net, units: 1, inner: [{', '.join(nodes)}]}}")

    assert described(net, "model=mine").class_name == "mynet.Net"


def test_the_problems_of_all_targets_are_reported_at_once(net):
    conf(
        net,
        "{_target_: mynet.Net, inner: [{_target_: mynet.Ne}, {_target_: mynet.CONSTANT}, {_target_: json.load}]}",
    )
    assert list(problems(net, "model=mine", kind=TrustError)) == ["model.inner[2]._target_"]

    conf(net, "{_target_: mynet.Net, inner: [{_target_: mynet.Ne}, {_target_: mynet.CONSTANT}]}")
    assert problems(net, "model=mine") == {
        "model.units": "missing required argument 'units' of Net",
        "model.inner[0]._target_": "'mynet' has no attribute 'Ne' (did you mean 'Net'?)",
        "model.inner[1]._target_": "expected a class or function, but 'mynet.CONSTANT' is of type int",
    }


def test_a_missing_class_is_reported_with_the_nearest_name(net):
    dynamic = "from os.path import *\n"  # so that only an import shows the names
    net.write("mypackage/__init__.py", dynamic)
    net.write("mypackage/own.py", f"{dynamic}{NET}")
    messages = {
        "mynet.Nett": "'mynet' has no attribute 'Nett' (did you mean 'Net'?)",
        "mynet.Net.zzz": "'mynet.Net' has no attribute 'zzz'",
        "mynet.sub.Net": "'mynet' has no attribute 'sub'",
        "mypackage.sub.Net": "'mypackage' has no attribute 'sub'",
        "mypackage.own.Nett": "'mypackage.own' has no attribute 'Nett' (did you mean 'Net'?)",
    }
    nodes = ", ".join(f"{{_target_: {target}}}" for target in messages)
    conf(net, f"{{_target_: mynet.Net, units: 1, inner: [{nodes}]}}")

    assert list(problems(net, "model=mine").values()) == list(messages.values())


def test_a_class_in_a_submodule_that_is_not_imported_yet_is_found(net):
    net.write("mypackage/__init__.py", "")
    net.write("mypackage/deep/own.py", NET)

    assert (
        described(net, "model._target_=mypackage.deep.own.Nothing").class_name
        == "mypackage.deep.own.Nothing"
    )


def test_a_module_that_fails_while_it_is_imported_shows_the_users_own_lines(net):
    net.write("helper.py", "def start():\n    raise RuntimeError('no licence')\n")
    net.write("broken.py", "import helper\n\nhelper.start()\nNet = helper.Net\n")

    with pytest.raises(ModelError) as error:
        net.export("model._target_=broken.Net")

    assert error.value.exit_code == 3
    assert str(error.value).endswith(
        "model._target_: importing 'broken' failed: RuntimeError: no licence"
    )
    lines = [
        line
        for line in error.value.traceback_text.splitlines()
        if line.lstrip().startswith("File ")
    ]
    assert [line.rpartition("/")[2] for line in lines] == [
        'broken.py", line 3, in <module>',
        'helper.py", line 2, in start',
    ]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "from not_installed_anywhere import Net\n",
            "ModuleNotFoundError: No module named 'not_installed_anywhere'",
        ),
        ("def f(:\n", "SyntaxError: "),
        (
            "def __getattr__(name):\n    raise RuntimeError('lazily broken')\n",
            "RuntimeError: lazily broken",
        ),
    ],
)
def test_other_failures_of_a_module_are_reported_as_its_own(net, code, message):
    net.write("broken.py", code)

    assert message in problems(net, "model._target_=broken.Net", kind=ModelError)["model._target_"]


def test_a_failing_constructor_is_reported_with_its_key_and_lines(net):
    conf(
        net,
        "{_target_: mynet.Net, units: 1, inner: [{x: 1}, {y: {_target_: mynet.Broken, units: 2}}]}",
    )

    with pytest.raises(ModelError) as error:
        net.export("model=mine")

    assert str(error.value) == (
        "conf/model/mine.yaml:1: model.inner[1].y: building mynet.Broken failed: ValueError: no such units"
    )
    assert 'mynet.py", line ' in error.value.traceback_text
    assert "hydra" not in error.value.traceback_text


@pytest.mark.parametrize(
    ("model", "key", "message"),
    [
        (
            "{_target_: mynet.Plain}",
            "model._target_",
            "any other Trackable, got a Plain from mynet.Plain",
        ),
        (
            "{_target_: mynet.make_nothing}",
            "model._target_",
            "got None from mynet.make_nothing; does it lack a return?",
        ),
        (
            "{_target_: keras.activations.relu, x: 1.0}",
            "model._target_",
            "expected a tf.Module, a Keras model",
        ),
        (
            "{_target_: mynet.make, _partial_: true}",
            "model._partial_",
            "expected false for the model, got true, which",
        ),
        (
            "{_target_: mynet.Net, _partial_: true}",
            "model._partial_",
            "expected false for the model, got true, which",
        ),
    ],
)
def test_an_object_that_tensorflow_cannot_track_is_refused(net, model, key, message):
    conf(net, model)

    found = problems(net, "model=mine")

    assert list(found) == [key]
    assert message in found[key]


def test_lists_and_mappings_arrive_plain(net):
    net.write(
        "mynet.py",
        "from smdecl.models import Adder\n"
        "class Net(Adder):\n"
        "    def __init__(self, value):\n"
        "        assert type(value) is list and type(value[0]) is dict and type(value[0]['a']) is list, value\n",
    )
    conf(net, "{_target_: mynet.Net, value: [{a: [1, 2]}]}")

    assert described(net, "model=mine").class_name == "mynet.Net"


def test_a_target_may_be_below_a_key_with_a_dot(net):
    net.write(
        "mynet.py",
        "from smdecl.models import Adder\n"
        "class Net(Adder):\n"
        "    def __init__(self, parts):\n"
        "        assert type(parts['a.b']) is Adder, parts\n",
    )
    inner = "{_target_: smdecl.models.Adder}"
    conf(net, f"{{_target_: mynet.Net, parts: {{a: [1], a.b: {inner}}}}}")

    assert described(net, "model=mine").class_name == "mynet.Net"


def test_a_factory_builds_the_object(net):
    conf(net, "{_target_: mynet.make, kind: Anything}")

    record = described(net, "model=mine")

    assert record.class_name == "mynet.Anything"
