"""A variable has one name in plans, descriptions and comparisons."""

import pytest
import tensorflow as tf
from smdecl.savedmodel import inspection, variable_names
from smdecl.savedmodel.comparing import diffing


@pytest.mark.parametrize(
    ("keys", "own_names", "expected"),
    [
        # As in a Keras model.
        (["_layers/0/_kernel", "_layers/0/bias"], ["h/kernel", "h/bias"], ["h/kernel", "h/bias"]),
        # Without names.
        (
            ["w", "b", "g/_state_var"],
            ["Variable:0", "Variable", "StateVar"],
            ["w", "b", "g/_state_var"],
        ),
        # A name that several variables have, or that is the path of a different one.
        (["a/w", "b/w", "c"], ["w", "w", "c"], ["a/w", "b/w", "c"]),
        (["a", "b"], ["b", ""], ["a", "b"]),
        # With a dot or a slash in a local name, several variables may have the same path.
        (["d/a..b", "d/a.Sb", "d/a/b"], ["", "", ""], ["d/a..b", "d/a.Sb", "d/a/b"]),
        (["d/a..b", "d/c.Sd"], ["", ""], ["d/a/b", "d/c/d"]),
    ],
)
def test_a_variable_is_shown_by_its_own_name_if_that_distinguishes_it(keys, own_names, expected):
    assert variable_names.names(keys, own_names) == expected


class Net(tf.Module):
    def __init__(self, kernel, place="first"):
        super().__init__()
        part = tf.Module()
        part.kernel = tf.Variable(kernel, name="net/kernel")
        part.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        setattr(self, place, part)


def save(directory, module):
    tf.saved_model.save(module, str(directory))
    return directory


def test_tensors_that_are_no_variables_keep_their_keys(tmp_path):
    message = inspection.read(save(tmp_path, Net([1.0])))
    graph = inspection.serving_graph(message).object_graph_def
    keys = [tensor.name for tensor in inspection.tensors(tmp_path, message)]

    assert variable_names.of_tensors(graph, [*keys, "first/kernel/more", "other"]) == {
        "first/kernel": "net/kernel",
        "first/table/.ATTRIBUTES/table-keys": "first/table/.ATTRIBUTES/table-keys",
        "first/table/.ATTRIBUTES/table-values": "first/table/.ATTRIBUTES/table-values",
        "first/kernel/more": "first/kernel/more",
        "other": "other",
    }


def test_variables_are_compared_by_name_wherever_they_are_stored(tmp_path):
    before = save(tmp_path / "a", Net([1.0, 2.0]))
    after = save(tmp_path / "b", Net([1.0, 4.0], place="second"))

    found = [str(change) for change in diffing.diff(before, after).changes]

    assert [line for line in found if line.startswith("variables net")] == [
        "variables net/kernel: values differ by at most 2"
    ]


def test_variables_with_other_names_are_compared_by_where_they_are_stored(tmp_path):
    before, net = save(tmp_path / "a", Net([1.0, 2.0])), Net([1.0, 4.0])
    net.first.kernel = tf.Variable([1.0, 4.0], name="net_1/kernel")

    found = [str(change) for change in diffing.diff(before, save(tmp_path / "b", net)).changes]

    assert [line for line in found if line.startswith("variables net")] == [
        "variables net_1/kernel: values differ by at most 2"
    ]
