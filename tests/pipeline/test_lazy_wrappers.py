"""The server does not import scikit-learn, and Keras's wrappers for it work as ever."""

import importlib.util
import sys

import pytest
from smdecl.errors import ModelError
from smdecl.pipeline.children import children


@pytest.fixture(autouse=True)
def _installed():
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn is not installed")


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


def test_scikit_learn_is_imported_when_a_wrapper_is_used():
    states = children.run(states_of_scikit_learn, failure=ModelError, doing="importing")

    assert states == [False, False, True]
