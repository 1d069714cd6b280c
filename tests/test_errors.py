"""Errors show the names of secrets, never their values."""

import pytest
from smdecl.errors import Problem


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
