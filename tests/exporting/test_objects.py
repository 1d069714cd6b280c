"""Objects are found with their places in Python, and untrackable ones are reported by attribute."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from smdecl.config.settings import Weights
from smdecl.errors import ModelError
from smdecl.exporting.live_objects import objects
from smdecl.exporting.restoring import restore


@dataclasses.dataclass(slots=True)
class Slotted:
    kept: object
    empty: object = None


class Shared(tf.Module):
    table = tf.Variable(1.0)


def place(attribute):
    """Returns where a variable is found that an attribute of a module holds, in whatever `attribute` makes of it."""
    variable = tf.Variable([1.0], name="w")
    module = tf.Module(name="net")
    module.held = attribute(variable)
    return objects.places(module, [variable]).get(id(variable))


def averages(variable):
    average = tf.train.ExponentialMovingAverage(0.5)
    average.apply([variable])
    return average


def test_the_shadow_of_a_variable_is_found_in_the_helper_of_tensorflow_that_averages_it():
    variable = tf.Variable([1.0], name="w")
    module = tf.Module()
    module.ema = averages(variable)
    shadow = module.ema.average(variable)

    assert objects.places(module, [shadow]) == {id(shadow): "Module.ema._averages['w']"}


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        (Slotted, "Module.held.kept"),
        (lambda v: np.array([[None, v]], dtype=object), "Module.held[0, 1]"),
        (lambda v: collections.deque([1, v]), "Module.held[1]"),
        (lambda v: {3: (v, 1)}, "Module.held[3][0]"),
        (lambda v: {v.ref(): 1, "of": [v]}, "Module.held['of'][0]"),
        (lambda v: lambda: v, "<lambda>.<locals>.<lambda>[closure v]"),
    ],
)
def test_what_holds_a_variable_is_found(attribute, expected):
    assert place(attribute) == expected


def test_a_variable_of_a_class_is_found():
    assert objects.places(Shared(), [Shared.table]) == {id(Shared.table): "Shared.table"}


def test_a_variable_is_found_by_its_handle_wherever_it_is():
    variable = tf.Variable(1.0)

    assert objects.variable_of(variable.handle) is variable
    assert objects.variable_of(object()) is None


def replaced(items):
    items[0] = tf.Variable(3.0)


LIST = "is a list of which an element was replaced, inserted, moved or deleted"


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items.insert(0, tf.Variable(3.0)),
        lambda items: items.reverse(),
        lambda items: items.__delitem__(0),
        lambda items: items.remove(items[0]),
        lambda items: items.pop(),
        replaced,
    ],
)
def test_a_list_that_was_not_only_appended_to_is_reported_by_its_attribute(change):
    module = tf.Module()
    module.blocks = {"first": [tf.Variable(1.0), tf.Variable(2.0)]}
    change(module.blocks["first"])

    with pytest.raises(ModelError) as error:
        objects.tracked(module)

    assert [str(problem) for problem in error.value.problems] == [
        f"model: Module.blocks['first'] {LIST}; TensorFlow saves only lists that were appended to: build the list first, then"
        " assign it"
    ]


def test_every_dict_that_cannot_be_saved_is_reported_by_its_attribute():
    module = tf.Module()
    module.numbered = {1: tf.Variable(1.0)}
    module.popped = {"a": tf.Variable(1.0), "b": tf.Variable(2.0)}
    module.popped.pop("a")
    module.kept = {"a": tf.Variable(1.0)}
    module.kept["a"] = tf.Variable(2.0)

    with pytest.raises(ModelError) as error:
        objects.tracked(module)

    assert [str(problem) for problem in error.value.problems] == [
        "model: Module.numbered is a dict with the key 1; TensorFlow saves a dict of variables only if its keys are"
        " strings",
        "model: Module.popped was changed after it was assigned, other than by adding items; TensorFlow cannot save it"
        ": build it first, then assign it",
    ]


def test_a_list_that_cannot_be_saved_is_reported_before_a_checkpoint_is_restored_into_it(tmp_path):
    saved = tf.train.Checkpoint(blocks=[tf.Variable(1.0)]).write(str(tmp_path / "saved"))
    module = tf.Module()
    module.blocks = [tf.Variable(2.0)]
    module.blocks.insert(0, tf.Variable(3.0))

    with pytest.raises(ModelError, match="Module.blocks is a list of which an element"):
        restore.restore(module, Weights("checkpoint", saved))
