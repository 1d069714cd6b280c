"""Errors show the names of secrets, never their values, and suggest what was meant."""

import pytest
from smdecl.errors import Problem, closest


@pytest.mark.parametrize(
    ("text", "secrets", "expected"),
    [
        ("/srv/topsecret-token/x", {"A": "/srv", "B": "/srv/topsecret-token"}, "${oc.env:B}/x"),
        ("/srv/topsecret-token/x", {"B": "/srv/topsecret-token", "A": "/srv"}, "${oc.env:B}/x"),
        ("got '/srv/topsec...", {"A": "/srv", "B": "/srv/topsecret-token"}, "got '${oc.env:B}..."),
        ("got '/srv...", {"A": "/srv/x", "B": "/srv"}, "got '${oc.env:A}..."),
        ("of token", {"A": "token", "B": "oc.env:A"}, "of ${oc.env:A}"),
        (r"'a\nb c.*' abc", {"A": "a\nb c.*"}, "'${oc.env:A}' abc"),
        ("a\\\\b.c is a\\b.c", {"A": "a\\b.c"}, "${oc.env:A} is ${oc.env:A}"),
        ("abc", {"A": "abc", "B": ""}, "abc"),
        ("nothing...", {}, "nothing..."),
    ],
)
def test_a_secret_is_replaced_by_its_name(text, secrets, expected):
    assert Problem((), text).masked(secrets).message == expected


@pytest.mark.parametrize(
    ("written", "meant"),
    [("int46", "int64"), ("flaot32", "float32"), ("unit8", "uint8"), ("int", "int8"), ("x", None)],
)
def test_swapped_letters_are_a_likelier_slip_than_a_missing_one(written, meant):
    assert (
        closest(written, ["int4", "int8", "int16", "int64", "uint8", "uint64", "float32"]) == meant
    )
