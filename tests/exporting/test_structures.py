"""Records of the model as arguments and results, declared by their fields."""

import collections
import dataclasses
from typing import Annotated, NamedTuple

import attr
import numpy as np
import pytest
import tensorflow as tf
from smdecl.config.settings import Spec, Value
from smdecl.errors import ConfigError, ModelError
from smdecl.exporting.signatures import record_kinds, structures

from tests.serving import serve

SPEC = Spec((None,), "float32")
SPECS = {"start": SPEC, "stop": SPEC}
Plain = collections.namedtuple("Plain", "start stop")


class Span(NamedTuple):
    start: tf.Tensor
    stop: tf.Tensor = 1.0


@attr.s(auto_attribs=True)
class Attrs:
    start: tf.Tensor
    stop: tf.Tensor


@dataclasses.dataclass
class Data:
    span: Span
    rows: list[Span]


class Ext(tf.experimental.ExtensionType):
    start: tf.Tensor
    stop: tf.Tensor


def take(value, annotation=None, default=None, own=None):
    """Returns what `pack` makes of an argument, each spec by its place."""

    def method(x):
        pass

    method.__annotations__ = {} if annotation is None else {"x": annotation}
    method.__defaults__ = None if default is None else (default,)
    kind = record_kinds.kinds(method, ["x"], own).get("x")
    assert list(structures.problems((), value, kind)) == []
    return structures.pack(value, kind, lambda place, _: place)


@pytest.mark.parametrize(
    "given",
    [
        {"annotation": Span},
        {"annotation": Span | None},
        {"annotation": Span | tf.Tensor},
        {"annotation": Annotated[Span, "of time"]},
        {"default": Span(0.0)},
        {"own": [Span(tf.TensorSpec([]), tf.TensorSpec([]))]},
    ],
)
def test_a_mapping_becomes_the_record_that_the_method_expects(given):
    assert take(SPECS, **given) == Span(("start",), ("stop",))
    assert isinstance(take(SPECS, **given), Span)


def test_records_of_other_kinds_and_in_lists_and_in_records():
    assert take(SPECS, Attrs) == Attrs(("start",), ("stop",))
    assert take(SPECS, default=Plain(1, 2)) == Plain(("start",), ("stop",))
    found = take({"span": SPECS, "rows": (SPECS, {"start": SPEC})}, Data)
    assert found == Data(
        Span(("span", "start"), ("span", "stop")),
        [Span(("rows", 0, "start"), ("rows", 0, "stop")), Span(("rows", 1, "start"), 1.0)],
    )
    assert take({"a": SPECS}, dict[str, Span]) == {"a": Span(("a", "start"), ("a", "stop"))}
    assert take({"a": SPECS}) == {"a": {"start": ("a", "start"), "stop": ("a", "stop")}}


def test_an_extension_type_is_made_of_specs_and_of_tensors():
    kind = record_kinds.kinds(
        lambda x: None, ["x"], [Ext.Spec(tf.TensorSpec([]), tf.TensorSpec([]))]
    )["x"]
    specs = structures.pack(SPECS, kind, lambda *_: tf.TensorSpec([None]))
    tensors = structures.pack(SPECS, kind, lambda *_: tf.constant([1.0]))

    assert specs == Ext.Spec(tf.TensorSpec([None]), tf.TensorSpec([None]))
    assert isinstance(tensors, Ext)


def test_unknown_and_missing_fields_and_a_list_for_a_record_are_reported():
    def method(span: Span, rows: list[Data], maybe: Span | tf.Tensor):
        pass

    kinds = record_kinds.kinds(method, ["span", "rows", "maybe"], None)
    given = {"span": {"strat": SPEC}, "rows": ({"span": (SPEC,), "rows": ()},), "maybe": SPEC}
    found = [
        str(one)
        for name, nest in given.items()
        for one in structures.problems((name,), nest, kinds[name])
    ]

    assert found == [
        "span.strat: unknown field 'strat' of Span; expected one of start, stop (did you mean 'start'?)",
        "span.start: missing required field 'start' of Span",
        "rows[0].span: expected a mapping of the fields of Span (start, stop), got a list",
    ]
    assert list(structures.problems((), Value(None), kinds["span"])) == []


MODEL = """
import dataclasses
from typing import NamedTuple

import attr
import tensorflow as tf

class Span(NamedTuple):
    start: tf.Tensor
    stop: tf.Tensor

@attr.s(auto_attribs=True)
class Attrs:
    start: tf.Tensor
    stop: tf.Tensor

@dataclasses.dataclass
class Data:
    start: tf.Tensor
    stop: tf.Tensor

class Ext(tf.experimental.ExtensionType):
    start: tf.Tensor
    stop: tf.Tensor

class Named(tf.experimental.ExtensionType):
    __name__ = "recordnet.Named"
    start: tf.Tensor
    stop: tf.Tensor

SPECS = [tf.TensorSpec([None], tf.float32, name=name) for name in ("low", "high")]

def widened(span, slack):
    if tf.reduce_sum(slack) > 0.0:  # AutoGraph converts it
        slack = slack + 1.0
    return type(span)(start=span.start - slack, stop=span.stop + slack)

class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.slack = tf.Variable(1.0)

    def span(self, x: Span) -> Span: return widened(x, self.slack)
    def attrs(self, x: Attrs): return widened(x, self.slack)
    def data(self, x: Data) -> Data: return widened(x, self.slack)
    def ext(self, x: Ext): return widened(x, self.slack)
    @tf.function(input_signature=[Span(*SPECS)])
    def own(self, x): return widened(x, self.slack)
    @tf.function
    def named(self, x: Named): return widened(x, self.slack)
    @tf.function
    def unnamed(self, x: Ext): return x.start
    @tf.function
    def inside(self, x): return self.unnamed(Ext(x, x))
    @tf.function
    def closed(self, x: Data): return x.start
    @tf.function
    def function(self, x: Span) -> Span: return widened(x, self.slack)
    def silent(self, x): return x.start
    def constant(self): return {"slack": self.slack + 0.0}
"""
FIELDS = "{start: {shape: [n], dtype: float32, name: low}, stop: {shape: [n], dtype: float32, name: high}}"


@pytest.fixture
def export(project):
    project.write("recordnet.py", MODEL)
    return lambda *signatures: project.export(
        "model._target_=recordnet.Net",
        "signatures=none",
        "audit=off",
        "verify.generate=1",
        *signatures,
    )


def test_records_of_every_kind_are_exported_by_their_fields(export):
    names = ["span", "function", "attrs", "data", "ext", "named"]
    declared = [f"+signatures.{name}={{method: {name}, inputs: {{x: {FIELDS}}}}}" for name in names]
    declared += [
        "+signatures.own={method: own}",
        f"+signatures.own_declared={{method: own, inputs: {{x: {FIELDS}}}}}",
    ]
    made = export(*declared, "+signatures.constant={method: constant}")

    assert serve(made.path, "constant") == {"slack": 1.0}
    for key in (*names, "own", "own_declared"):
        rows = {"low": np.array([5], np.float32), "high": np.array([7], np.float32)}
        found = serve(made.path, key, **rows)
        assert {name: value.tolist() for name, value in found.items()} == {
            "start": [3],
            "stop": [9],
        }, key


def test_an_extension_type_that_a_tf_function_cannot_save_without_a_name_is_refused(export):
    reason = (
        "a tf.function with the ExtensionType recordnet.Ext, which TensorFlow cannot save without a"
        ' name; add __name__ = "recordnet.Ext" to the class'
    )
    with pytest.raises(ConfigError, match=rf"signatures\.s\.inputs\.x: Net.unnamed is {reason}$"):
        export(f"+signatures.s={{method: unnamed, inputs: {{x: {FIELDS}}}}}")
    with pytest.raises(ModelError, match=f"model: saving unnamed failed: it is {reason}$"):
        export("+signatures.s={method: inside, inputs: {x: {shape: [n], dtype: float32}}}")


def test_a_dataclass_as_argument_of_a_tf_function_and_an_unnamed_field_are_refused(export):
    with pytest.raises(
        ConfigError,
        match="cannot save one that has a dataclass or attrs class as an argument; remove",
    ):
        export(f"+signatures.s={{method: closed, inputs: {{x: {FIELDS}}}}}")
    with pytest.raises(
        ModelError,
        match="to pass an argument as a class, annotate it with the class or give it a default",
    ):
        export(f"+signatures.s={{method: silent, inputs: {{x: {FIELDS}}}}}")
    with pytest.raises(ConfigError, match=r"signatures\.s\.inputs\.x\.start\.name: is missing"):
        export("+signatures.s={method: span, inputs: {x: {start: {shape: [n], dtype: float32}}}}")
