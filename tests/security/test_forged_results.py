"""Code that took over a process returns a forged result, to attack the process that reads it."""

import pickle
from pathlib import Path
from typing import Any, Literal

import pytest
from smdecl import errors
from smdecl.config.settings import Signature, Spec, Value
from smdecl.errors import ConfigError, ModelError, Problem, VerificationError
from smdecl.exporting.building.records import ObjectRecord
from smdecl.isolation import results
from smdecl.isolation.results import ResultError
from smdecl.pipeline.children import RESULTS, children
from smdecl.pipeline.records import Plan
from smdecl.savedmodel.records import (
    SignatureRecord,
    TensorRecord,
    TraceRecord,
    VariableRecord,
)
from smdecl.verification.records import VerificationRecord

OBJECT = ObjectRecord("net.Net", {"call": ("x",)})
VARIABLES = (VariableRecord("v", "float32", (1, None)),)
DECLARED = Signature(
    "call", {"x": ({"a": Spec((None, "n"), "float32")}, Value([1, 2.5, {"b": None}]))}, None
)
X = TensorRecord("float32", None)
PLAN = Plan(OBJECT, VARIABLES, {"s": SignatureRecord({"x": X}, {})}, {"s": DECLARED}, {"f": "s"})


def read(data, expected):
    return results.read(data, expected, RESULTS)


def test_a_result_is_read_as_it_was_sent():
    assert read(pickle.dumps(PLAN), Plan) == PLAN
    trace = TraceRecord({"x": X}, {}, {}, {}, {})
    assert read(pickle.dumps(trace), SignatureRecord) == trace
    for anything in (Any, object):
        assert read(pickle.dumps([(1, Path("/a/b")), {X}]), anything) == [(1, Path("/a/b")), {X}]
    assert read(pickle.dumps(1), float) == 1


def test_an_error_is_read_as_it_was_sent():
    error = ConfigError(Problem(("a", 0), "is wrong", errors.Origin("f.yaml", 1)), "File net.py")
    error.__cause__ = OSError("disk")

    found = read(pickle.dumps(error), Plan)

    assert type(found) is ConfigError
    assert (found.problems, found.traceback_text) == (error.problems, "File net.py")
    assert "OSError: disk" in str(found.__cause__)


def changed(record, **values):
    """Returns a copy of a record with other values, of whatever type."""
    copy = object.__new__(type(record))
    copy.__dict__.update({**vars(record), **values})
    return copy


FORGED = {
    "a text": ("text", "result: expected Plan, got str"),
    "a class": (Plan, "result: expected Plan, got type"),
    "a different record": (OBJECT, "result: expected Plan, got ObjectRecord"),
    "a record in the place of a mapping": (
        changed(PLAN, signatures=OBJECT),
        r"result.signatures: expected dict\[str, smdecl.savedmodel.records.SignatureRecord\], got ObjectRecord",
    ),
    "a different record in a mapping": (
        changed(PLAN, signatures={"s": OBJECT}),
        r"result.signatures\['s'\]: expected SignatureRecord, got ObjectRecord",
    ),
    "a boolean in the place of a size": (
        changed(PLAN, variables=(changed(VARIABLES[0], shape=(True,)),)),
        r"result.variables\[0\].shape\[0\]: expected int \| None, got bool",
    ),
    "a list in the place of a tuple": (
        changed(PLAN, obj=changed(OBJECT, restored=["v"])),
        r"result.obj.restored: expected tuple\[str, ...\], got list",
    ),
    "a field more": (changed(PLAN, at=1), "result: expected a record with obj, .*, got .*, at"),
    "a field that hides a method": (
        changed(X, __str__="text"),
        "result: expected Plan, got TensorRecord",
    ),
    "a number": (
        changed(PLAN, functions={1: "s"}),
        "a key of result.functions: expected str, got int",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_result_of_the_wrong_type_is_refused(name):
    forged, message = FORGED[name]

    with pytest.raises(ResultError, match=f"^{message}"):
        read(pickle.dumps(forged), Plan)


def test_a_literal_and_a_tuple_are_read_as_they_are_annotated():
    assert read(pickle.dumps("a"), Literal["a", "b"]) == "a"
    for value, annotation in (
        ("c", Literal["a"]),
        (True, Literal[1]),
        ((1, 2, 3), tuple[int, int]),
        (1, set[int]),
    ):
        with pytest.raises(ResultError, match="result: expected"):
            read(pickle.dumps(value), annotation)


class Forged:
    """An error that is made with whatever it is given."""

    def __init__(self, *arguments, state=None):
        self.arguments, self.state = arguments, state

    def __reduce__(self):
        return (
            (VerificationError, self.arguments, self.state)
            if self.state
            else (VerificationError, self.arguments)
        )


@pytest.mark.parametrize(
    "error",
    [
        Forged(("text",), ""), Forged((OBJECT,), ""), Forged((), ""), Forged(), Forged((Problem((), "a"),), 1),
        Forged((changed(Problem((), "a"), message=1),), ""), Forged((changed(Problem((), "a"), at=1),), ""),
        Forged((Problem((), "a"),), "", state={"__cause__": "text"}),
    ],
)  # fmt: skip
def test_an_error_with_something_else_in_it_is_refused(error):
    with pytest.raises(ResultError):
        read(pickle.dumps(error), Plan)


# Sets attributes of a class that it names, as slots are set: the exit code of an error, or a method of a record.
SETS_EXIT_CODE = b"csmdecl.errors\nVerificationError\n(N(dS'exit_code'\nI0\nstb."
SETS_METHOD = b"csmdecl.errors\nProblem\n(N(dS'at'\ncsmdecl.errors\nUsageError\nstb."
SETS_HASH = b"csmdecl.errors\nProblem\n(N(dS'__hash__'\ncsmdecl.errors\nUsageError\nstb."


@pytest.mark.parametrize("data", [SETS_EXIT_CODE, SETS_METHOD, SETS_HASH])
def test_a_result_changes_no_class_where_it_is_read(data):
    before = (VerificationError.exit_code, Problem.at, Problem.__hash__)

    with pytest.raises(ResultError):
        read(data, Plan)
    assert (VerificationError.exit_code, Problem.at, Problem.__hash__) == before


def test_a_result_that_is_nested_without_end_is_refused():
    nested = b"(" * 5000 + b"t" * 5000 + b"."

    with pytest.raises(ResultError):
        read(nested, Any)


def test_a_class_that_no_stage_returns_is_refused():
    for named in (
        b"csmdecl.isolation.processes\nos\n.",
        b"csmdecl.errors\nPath\n.",
        b"csmdecl.errors\n_masked\n.",
        b"cos\nsystem\n.",
    ):
        with pytest.raises(ResultError, match="which no stage returns"):
            read(named, Any)


def forge() -> VerificationRecord:
    return OBJECT  # type: ignore[return-value]


def test_a_process_that_returns_something_else_is_an_error_that_says_so():
    with pytest.raises(
        ModelError,
        match="returned no result: result: expected VerificationRecord, got ObjectRecord",
    ):
        children.run(forge, failure=ModelError, doing="testing")


@pytest.mark.parametrize(
    ("opcode", "name"),
    [(b"p4000000\n", "PUT"), (b"q\xff", "BINPUT"), (b"r\xff\xff\xff\x00", "LONG_BINPUT")],
)
def test_a_small_result_cannot_make_the_memo_large(opcode, name):
    with pytest.raises(ResultError, match=f"^it has a {name}, which no stage returns"):
        read(b"\x80\x04N" + opcode + b".", None)


def test_a_small_result_cannot_expand_to_many_values(monkeypatch):
    monkeypatch.setattr(results, "MOST_SHARED", 1_000)
    shared: list[Any] = []
    for _ in range(20):
        shared = [shared, shared]

    with pytest.raises(ResultError, match="^it shares values too often"):
        read(pickle.dumps(shared), Any)
    assert read(pickle.dumps([X] * 100), list[TensorRecord]) == [X] * 100
