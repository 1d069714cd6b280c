"""Parses Python source, also while other threads do."""

from __future__ import annotations

import ast
import threading
from typing import Any

_parsing = threading.Lock()


def parse(source: str | bytes, name: str = "<unknown>") -> ast.Module:
    """Returns the syntax tree of a source, as `ast.parse` does.

    In Python 3.11, threads that parse at the same time share a count, and parsing raises a
    SystemError if another thread changes it. So the threads of smdecl take turns.

    Args:
        source: The source.
        name: The name of its file, for the error.

    Raises:
        SyntaxError: If it is not valid Python.
        ValueError: If it has null bytes.
        RecursionError: If it is nested too deeply.
    """
    with _parsing:
        return ast.parse(source, name)


def literal(source: str) -> Any:
    """Returns the value of a Python literal, as `ast.literal_eval` does.

    Raises:
        ValueError: If it is not a literal.
        SyntaxError: If it is not valid Python.
        MemoryError: If it is too complex.
        RecursionError: If it is nested too deeply.
    """
    with _parsing:
        return ast.literal_eval(source)
