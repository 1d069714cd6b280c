import ast
import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from smdecl import syntax_trees

SOURCE = "x = [y]\n" * 2000


@pytest.fixture
def switching():
    """Lets threads switch in the middle of parsing, where collections of garbage happen."""
    before = gc.get_threshold()

    def switch(_phase, _info):
        time.sleep(0.001)

    gc.callbacks.append(switch)
    gc.set_threshold(700)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(switch)


def test_threads_parse_at_the_same_time(switching):
    with ThreadPoolExecutor(2) as pool:
        trees = list(pool.map(syntax_trees.parse, [SOURCE] * 6))

    assert {len(tree.body) for tree in trees} == {len(ast.parse(SOURCE).body)}
