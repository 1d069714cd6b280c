"""Recognizes a primary config that does not include the defaults of `conf/export.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smdecl import schema
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem

_FEWEST = 4  # keys; fewer can be missing because of overrides such as ~seed
_WITHOUT_DEFAULT = {"model", "signatures", "weights"}


def summarized(broken: Sequence[Problem], values: Values) -> list[Problem]:
    """Returns the problems, with a single one for all keys that `conf/export.yaml` would set.

    Args:
        broken: The violations of the schema.
        values: The config.
    """
    known = schema.load("config")
    missing = [key for key in known["required"] if key not in values]
    if len(missing) < _FEWEST:
        return list(broken)
    set_by_defaults = {*missing, *known["x-groups"]}
    set_by_defaults -= _WITHOUT_DEFAULT & set(values)
    rest = [
        problem
        for problem in broken
        if problem.path[:1] == ()
        or problem.path[0] not in set_by_defaults
        or _exists(values, problem.path)
    ]
    hint = "begin its defaults list with '- export', which has them"
    summary = f"the primary config lacks {', '.join(missing)}; {hint}"
    return [Problem((), summary), *rest]


def _exists(values: Any, path: KeyPath) -> bool:
    for part in path:
        if isinstance(values, dict) and part not in values:
            return False
        values = values[part]
    return True
