"""Graphs that reach files, the network or Python are found."""

import re

import pytest
import tensorflow as tf
from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import outside_ops
from tensorflow.core.framework import op_def_pb2, types_pb2
from tensorflow.python.client import pywrap_tf_session

READER = "InitializeTableFromTextFileV2"
WHOLE_LINE, LINE_NUMBER = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
TEXT = tf.TensorSpec([None], tf.string, name="x")


class Words(tf.Module):
    """Has a table of the lines of a file, which becomes an asset."""

    def __init__(self, path):
        super().__init__()
        lines = tf.lookup.TextFileInitializer(
            str(path), tf.string, WHOLE_LINE, tf.int64, LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(lines, -1)

    @tf.function(input_signature=[TEXT])
    def __call__(self, x):
        return {"y": self.table.lookup(x)}


class Reader(tf.Module):
    """Initializes a table in the call, from the path that `path` returns."""

    def __init__(self, path, **variables):
        super().__init__()
        self.path = path
        for name, variable in variables.items():
            setattr(self, name, variable)

    @tf.function(input_signature=[TEXT])
    def __call__(self, x):
        table = tf.raw_ops.AnonymousHashTable(key_dtype=tf.string, value_dtype=tf.int64)
        tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table,
            filename=self.path(self, x),
            key_index=WHOLE_LINE,
            value_index=LINE_NUMBER,
        )
        return {
            "y": tf.raw_ops.LookupTableFindV2(
                table_handle=table, keys=x, default_value=tf.constant(-1, tf.int64)
            )
        }


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a\nb\n")
    return path


def saved(obj, directory):
    tf.saved_model.save(obj, str(directory), signatures=obj.__call__)
    return inspection.read(directory)


def test_a_table_of_an_asset_is_not_found(words, tmp_path):
    once, again = tmp_path / "once", tmp_path / "again"

    assert outside_ops.find(saved(Words(words), once)) == {}
    loaded = tf.saved_model.load(str(once))
    tf.saved_model.save(loaded, str(again), signatures=loaded.signatures)
    assert outside_ops.find(inspection.read(again)) == {}


@pytest.mark.parametrize(
    "path",
    [
        lambda net, x: tf.constant("/etc/passwd"),
        lambda net, x: tf.identity(tf.constant("/etc/passwd")),
        lambda net, x: tf.strings.join([net.asset.asset_path, "/../passwd"]),
        lambda net, x: x[0],
        lambda net, x: net.variable,
    ],
    ids=["constant", "identity", "computed", "input", "variable"],
)
def test_a_table_of_any_other_file_is_found(words, tmp_path, path):
    net = Reader(path, asset=tf.saved_model.Asset(str(words)), variable=tf.Variable("/etc/passwd"))

    found = outside_ops.find(saved(net, tmp_path / "saved"))

    assert list(found) == [READER]
    assert found[READER].endswith(f"/{READER}")


def test_an_asset_that_is_passed_to_a_function_is_not_found(words, tmp_path):
    net = Reader(
        lambda net, x: tf.identity(net.asset.asset_path), asset=tf.saved_model.Asset(str(words))
    )

    assert outside_ops.find(saved(net, tmp_path / "saved")) == {}


def leads_out(graph):
    graph.asset_file_def[0].filename = "../../passwd"


def is_constant(graph):
    (node,) = (
        node
        for node in graph.graph_def.node
        if node.op == "Placeholder" and node.name.startswith("asset")
    )
    node.op = "Const"


def is_assigned_something_else(graph):
    assign = next(node for node in graph.graph_def.node if node.op == "AssignVariableOp")
    other = graph.graph_def.node.add(name="other", op="Const")
    other.attr["dtype"].type = types_pb2.DT_STRING
    added = graph.graph_def.node.add(name="more", op="AssignVariableOp")
    added.input.extend([assign.input[0], "other"])


def is_shared(graph):
    handle = next(
        node
        for node in graph.graph_def.node
        if node.op == "VarHandleOp" and "Variable" in node.name
    )
    added = graph.graph_def.library.function[0].node_def.add()
    added.CopyFrom(handle)


def is_called_by_its_name(graph):
    name = next(name for name in graph.object_graph_def.concrete_functions if "initializer" in name)
    function = next(one for one in graph.graph_def.library.function if one.signature.name == name)
    call = graph.graph_def.node.add(name="call", op=name)
    call.input.extend("serving_default_x" for _ in function.signature.input_arg)


def is_a_branch(graph):
    name = next(name for name in graph.object_graph_def.concrete_functions if "initializer" in name)
    graph.graph_def.node.add(name="branch", op="If").attr["then_branch"].func.name = name


def is_bound_to_something_else(graph):
    for function in graph.object_graph_def.concrete_functions.values():
        for index in range(len(function.bound_inputs)):
            function.bound_inputs[index] = 0


@pytest.mark.parametrize(
    "change",
    [
        leads_out,
        is_constant,
        is_assigned_something_else,
        is_shared,
        is_called_by_its_name,
        is_a_branch,
        is_bound_to_something_else,
    ],
)
def test_a_path_that_may_not_be_that_of_the_asset_is_found(words, tmp_path, change):
    message = saved(Words(words), tmp_path / "saved")

    change(message.meta_graphs[0])

    assert list(outside_ops.find(message)) == [READER]


class Hidden(tf.Module):
    """Reads a file by a dataset whose graph is a string."""

    def __init__(self, file):
        super().__init__()
        lines = tf.data.TextLineDataset([str(file)])
        self.graph = tf.raw_ops.DatasetToGraphV2(input_dataset=lines._variant_tensor).numpy()

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="x")])
    def __call__(self, x):
        graph = tf.strings.join([self.graph, x])  # TensorFlow cannot fold it into a constant
        lines = tf.raw_ops.DatasetFromGraph(graph_def=graph)
        (line,) = tf.raw_ops.DatasetToSingleElement(
            dataset=lines, output_types=[tf.string], output_shapes=[[]]
        )
        return {"y": line}


def test_a_graph_in_a_string_is_found(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    message = saved(Hidden(secret), tmp_path / "saved")

    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert loaded("")["y"].numpy() == b"secret"
    assert list(outside_ops.find(message)) == ["DatasetFromGraph"]


# Names of string inputs and attributes with a file or an address.
_NAMES_A_PLACE = re.compile(
    r"file|path|address|ur[il]|(?<!re)dir(?!ection)|host|server|prefix|source_name|spec$|target"
)
# Ops with such a name that open nothing.
HARMLESS = {
    "Copy": "debug_ops_spec says when to copy; DebugIdentity, which writes, is a node of its own",
    "CopyHost": "as Copy",
    "ExperimentalSetStatsAggregatorDataset": "counter_prefix begins the names of statistics",
    "SetStatsAggregatorDataset": "counter_prefix begins the names of statistics",
    "TPUReplicateMetadata": "host_compute_core places computations on the cores of a TPU",
    "XlaCallModule": "dim_args_spec says which arguments are sizes",
    "_TPUReplicate": "host_compute_core places computations on the cores of a TPU",
    "_XlaHostComputeMlir": "host_mlir_module is code of a graph",
}


def every_op():
    buffer = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    return op_def_pb2.OpList.FromString(buffer).op


def takes_text(attribute):
    allowed = attribute.allowed_values.list.type
    return not allowed or types_pb2.DT_STRING in allowed


def names_a_place(op):
    texts = [one.name for one in op.attr if one.type in ("string", "list(string)")]
    kinds = {one.name for one in op.attr if one.type == "type" and takes_text(one)}
    texts += [
        one.name
        for one in op.input_arg
        if one.type == types_pb2.DT_STRING or one.type_attr in kinds
    ]
    return any(_NAMES_A_PLACE.search(name) for name in texts)


def test_every_op_with_a_file_or_an_address_is_known():
    known = {*outside_ops.PYTHON, *outside_ops.FILES, *outside_ops.NETWORK}
    known |= {*outside_ops.BY_ATTRIBUTE, *outside_ops.BY_ASSET}
    found = {op.name for op in every_op() if names_a_place(op)}

    assert len(found) > 50
    assert sorted(found - known) == sorted(HARMLESS)
