"""The server imports less, and what it imports works as ever."""

import importlib.util
import sys
import threading
import types
import typing

import pytest
from smdecl.errors import ModelError
from smdecl.pipeline.children import children


def states_of_scikit_learn() -> list[bool]:
    """Returns whether it is imported at first, after a search of modules, and after its use."""
    import keras
    import tensorflow as tf

    def is_imported():
        return "sklearn" in sys.modules

    states = [is_imported()]
    for module in list(sys.modules.values()):
        getattr(module, "__file__", None)  # as inspect.getmodule does
    states.append(is_imported())
    wrapper = keras.wrappers.SKLearnClassifier(keras.Sequential())
    states.append(is_imported())
    from keras.wrappers import SKLearnClassifier

    assert isinstance(wrapper, SKLearnClassifier)
    assert tf.keras.wrappers.SKLearnClassifier is SKLearnClassifier
    assert not hasattr(keras.wrappers, "SKLearnOther")
    return states


@pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed"
)
def test_scikit_learn_is_imported_when_a_wrapper_is_used():
    states = children.run(states_of_scikit_learn, failure=ModelError, doing="importing")

    assert states == [False, False, True]


def names_by_star() -> list[str]:
    found: dict[str, object] = {}
    exec("from keras.wrappers import *", found)
    return list(found)


def names_by_dir() -> list[str]:
    import keras

    return dir(keras.wrappers)


@pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed"
)
@pytest.mark.parametrize("names", [names_by_star, names_by_dir])
def test_the_wrappers_are_imported_when_their_names_are_listed(names):
    found = children.run(names, failure=ModelError, doing="importing")

    assert "SKLearnClassifier" in found


def names_by_threads() -> list[str]:
    """Returns what each of several threads gets that use a wrapper at the same time."""
    import keras

    found: list[str] = []
    barrier = threading.Barrier(8)

    def use():
        barrier.wait()
        found.append(getattr(keras.wrappers, "SKLearnClassifier", None).__name__)

    threads = [threading.Thread(target=use) for _ in range(barrier.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed"
)
def test_threads_can_use_a_wrapper_at_the_same_time():
    found = children.run(names_by_threads, failure=ModelError, doing="importing")

    assert found == ["SKLearnClassifier"] * 8


def packages_imported() -> list[list[str]]:
    """Returns which packages are imported at first, and after each first use of what needs them."""
    import numpy as np
    import tensorflow as tf

    def imported():
        packages = ("scipy.sparse", "rich.text")
        return [name for name in packages if name in sys.modules]

    def double(x):
        return tf.constant(np.float32(2)) * x

    tf.function(double).get_concrete_function(tf.TensorSpec([]))  # searches modules
    states = [imported()]
    from tensorflow.python.keras.engine import training_v1

    assert isinstance(training_v1.Model, type)
    states.append(imported())
    from rich.table import Table

    assert Table("a").columns[0].header == "a"
    states.append(imported())
    return states


@pytest.mark.skipif(importlib.util.find_spec("scipy") is None, reason="SciPy is not installed")
def test_packages_are_imported_when_they_are_used():
    states = children.run(packages_imported, failure=ModelError, doing="importing")

    assert states == [
        [],
        ["scipy.sparse"],
        ["scipy.sparse", "rich.text"],
    ]


def modules_of_a_model() -> list[bool]:
    """Returns whether imports of a model's code lead to the modules themselves."""
    import keras.src.utils.summary_utils as keras_own
    import rich.console

    is_real = type(rich.console) is types.ModuleType
    rich.console.Console = str  # as a test of a model does
    return [is_real, rich.console.Console is str, keras_own.rich.console.Console is str]


def test_imports_of_a_model_find_no_stand_in():
    found = children.run(modules_of_a_model, failure=ModelError, doing="importing")

    assert found == [True] * 3


def use_during_imports() -> bool:
    from smdecl.pipeline import cheaper_imports

    with cheaper_imports.cheaper():
        import rich.console

        return callable(rich.console.Console)


def test_a_stand_in_may_be_used_while_modules_are_imported():
    assert children.run(use_during_imports, failure=ModelError, doing="importing")


def constraints() -> tuple[int, int, bool]:
    """Returns how many constraints the type variables of TensorFlow have, and how many differ."""
    from tensorflow.python.ops import gen_array_ops, gen_math_ops

    found = []
    for module in (gen_array_ops, gen_math_ops):
        for value in vars(module).values():
            if isinstance(value, typing.TypeVar):
                found += value.__constraints__
    found = [each for each in found if isinstance(each, typing.ForwardRef)]
    names = {constraint.__forward_arg__ for constraint in found}
    is_restored = typing._type_check.__module__ == "typing"
    return len(names), len({id(constraint) for constraint in found}), is_restored


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="typing compiles no names of constraints")
def test_the_constraints_of_type_variables_are_shared():
    names, objects, is_restored = children.run(constraints, failure=ModelError, doing="importing")

    if not names:
        pytest.skip("this TensorFlow names no types as text")
    assert names == objects > 10
    assert is_restored
