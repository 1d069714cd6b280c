"""The code keeps to the limits of CONTRIBUTING.md that no linter knows."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LONGEST_MODULE = 350
LONGEST_FUNCTION = 45  # without its docstring


@pytest.fixture(scope="module")
def trees():
    paths = sorted((ROOT / "smdecl").rglob("*.py"))
    assert len(paths) > 200
    return {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def test_no_module_is_too_long(trees):
    sizes = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in trees}

    assert {path: size for path, size in sizes.items() if size > LONGEST_MODULE} == {}


def test_no_function_is_too_long(trees):
    found = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            if is_function and lines_of(node) > LONGEST_FUNCTION:
                found.append(place(path, node))

    assert found == []


def lines_of(function):
    docstring = ast.get_docstring(function, clean=False)
    total = function.end_lineno - function.lineno + 1
    return total if docstring is None else total - len(docstring.splitlines())


def test_no_comprehension_is_nested(trees):
    found = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, COMPREHENSIONS):
                inner = [each for each in ast.walk(node) if isinstance(each, COMPREHENSIONS)]
                if len(inner) > 1:
                    found.append(place(path, node))

    assert found == []


def test_a_statement_has_one_walrus_or_conditional_expression_at_most(trees):
    found = []
    for path, tree in trees.items():
        for statement in ast.walk(tree):
            if not isinstance(statement, ast.stmt):
                continue
            if sum(map(is_folded, expressions_of(statement))) > 1:
                found.append(place(path, statement))

    assert found == []


def is_folded(node):
    return isinstance(node, (ast.NamedExpr, ast.IfExp))


def expressions_of(statement):
    """Yields the nodes of a statement without those of the statements in it."""
    pending = [statement]
    while pending:
        for child in ast.iter_child_nodes(pending.pop()):
            if not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
                yield child
                pending.append(child)


def place(path: Path, node):
    return f"{path}:{node.lineno}"
