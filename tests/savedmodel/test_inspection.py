"""A SavedModel is read back from its bytes and compared with the declaration."""

import pytest
import tensorflow as tf
from smdecl import schema
from smdecl.config.settings import Signature, Spec
from smdecl.errors import ContractError
from smdecl.exporting.signatures import contract
from smdecl.savedmodel import inspection
from smdecl.savedmodel.plain import plain
from smdecl.savedmodel.records import SignatureRecord, TensorRecord, VariableRecord
from tensorflow.core.protobuf import saved_model_pb2


class Net(tf.Module):
    def __init__(self, vocabulary):
        self.kernel = tf.Variable(tf.ones([2, 3]), name="k")
        self.layers = [tf.Module()]
        self.layers[0].bias = tf.Variable(tf.zeros([3], tf.float16))
        self.asset = tf.saved_model.Asset(vocabulary)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def call(self, x):
        return {"y": x @ self.kernel, "n": tf.shape(x)}

    @tf.function
    def never(self, x):
        return x


@pytest.fixture
def saved(tmp_path):
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("a\n")
    net = Net(str(vocabulary))
    tf.saved_model.save(net, str(tmp_path / "m"), signatures={"one": net.call, "two": net.call})
    return inspection.inspect(inspection.read(tmp_path / "m"))


CALL = SignatureRecord(
    {"x": TensorRecord("float32", (None, 2))},
    {"n": TensorRecord("int32", (2,)), "y": TensorRecord("float32", (None, 3))},
)


def test_a_saved_model_is_read_from_its_bytes(saved):
    assert saved.tags == ("serve",)
    assert saved.signatures == {"one": CALL, "two": CALL}
    assert set(saved.variables) == {
        VariableRecord("k", "float32", (2, 3)),
        VariableRecord("layers/0/bias", "float16", (3,)),
    }
    (call,) = saved.functions.pop("call").traces
    assert (call.inputs, call.outputs) == (CALL.inputs, CALL.outputs)
    assert saved.functions == {}
    assert saved.assets == ("words.txt",)
    assert saved.ops["MatMul"] == 1


def inspected(module, path, signatures=None):
    tf.saved_model.save(module, str(path), signatures=signatures)
    return inspection.inspect(inspection.read(path))


def test_a_function_has_all_its_names_and_a_variable_its_first(tmp_path):
    module, part = tf.Module(), tf.Module()
    module.part = module.same = part
    part.f = part.g = tf.function(lambda x: x, input_signature=[tf.TensorSpec([], tf.float32)])
    part.v, part.back = tf.Variable(1.0), module

    found = inspected(module, tmp_path / "m")

    assert list(found.functions) == ["part.f", "part.g", "same.f", "same.g"]
    assert [variable.name for variable in found.variables] == ["part/v"]


def test_the_number_of_names_is_bounded(tmp_path):
    part = tf.Module()
    part.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([], tf.float32)])
    for _ in range(40):
        above = tf.Module()
        above.a = above.b = part
        part = above

    found = inspected(part, tmp_path / "m")

    assert 1 <= len(found.functions) <= 1001
    assert ".".join(["a"] * 40 + ["f"]) in found.functions


def test_an_attribute_named_signatures_below_the_root_is_an_attribute(tmp_path):
    module, part = tf.Module(), tf.Module()
    module.part, part.signatures = part, tf.Module()
    part.signatures.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([], tf.float32)])

    found = inspected(module, tmp_path / "m", {"one": part.signatures.f})

    assert list(found.functions) == ["part.signatures.f"]
    assert tf.saved_model.load(tmp_path / "m").part.signatures.f(1.0) == 1.0


def test_json_omits_defaults_that_are_none(tmp_path):
    one, spec = tf.constant(1.0), tf.TensorSpec([], tf.float32)
    serve = tf.function(lambda x, y=one: {"z": x + y}, input_signature=[spec, spec])

    record = plain(inspected(tf.Module(), tmp_path / "m", serve))

    schema.require("saved_model", record)
    assert record["signatures"]["serving_default"]["inputs"] == {
        "x": {"dtype": "float32", "shape": []},
        "y": {"dtype": "float32", "shape": [], "default": "1.0"},
    }


def test_specs_of_arguments_are_described(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda rows, given, *, k: (rows, given))
    module.f.get_concrete_function(
        tf.RaggedTensorSpec([None, None], tf.float32, row_splits_dtype=tf.int32),
        [tf.SparseTensorSpec([None, 3], tf.int64), tf.TensorSpec([2], tf.bool)],
        k=tf.TensorSpec(None, tf.string, name="key"),
    )

    (trace,) = inspected(module, tmp_path / "m").functions["f"].traces

    ragged = "ragged float32 [?, ?] (ragged rank 1, row splits int32)"
    assert {place: str(record) for place, record in trace.inputs.items()} == {
        "rows": ragged,
        "given.0": "sparse int64 [?, 3]",
        "given.1": "bool [2]",
        "k": "string (unknown rank, name key)",
    }
    assert str(trace.outputs["0"]) == ragged


def test_functions_that_restore_tables_are_left_out(tmp_path):
    module = tf.Module()
    keys = tf.lookup.KeyValueTensorInitializer(["a"], [1])
    module.table = tf.lookup.StaticHashTable(keys, 0)
    module.f = tf.function(module.table.lookup, input_signature=[tf.TensorSpec([], tf.string)])
    module._initialize = tf.function(lambda: 1, input_signature=[])

    assert sorted(inspected(module, tmp_path / "m").functions) == ["_initialize", "f"]


def test_the_serving_graph_is_found_by_its_tags():
    message = saved_model_pb2.SavedModel()
    for tags in (["train"], ["serve", "tpu"], ["serve"], ["serve", "gpu"]):
        message.meta_graphs.add().meta_info_def.tags.extend(tags)

    def tags():
        return list(inspection.serving_graph(message).meta_info_def.tags)

    assert tags() == ["serve"]
    del message.meta_graphs[2]
    assert tags() == ["serve", "tpu"]
    del message.meta_graphs[1:]
    assert tags() == ["train"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "contains no SavedModel: no saved_model.pb or saved_model.pbtxt"),
        (b"\xff\xff", "as a SavedModel: "),
        (b"", "contains no MetaGraphDef"),
    ],
)
def test_a_directory_without_a_readable_saved_model_is_an_error(tmp_path, content, message):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)

    with pytest.raises(ContractError, match=message):
        inspection.read(tmp_path)


def test_differences_from_the_declaration_are_reported(saved):
    x = Spec((None, 2), "float32")
    declared = {
        "one": Signature(
            "call", {"x": x}, {"y": Spec(("b", 3), "float32"), "n": Spec((2,), "int64")}
        ),
        "three": Signature("call", {"x": x}, None),
    }
    with pytest.raises(ContractError) as error:
        contract.require_same(declared, {"one": CALL}, saved)

    assert [str(problem) for problem in error.value.problems] == [
        "signatures.one.outputs.n: declared int64 [2], got int32 [2]",
        "signatures.three: missing in the SavedModel",
        "signatures: undeclared signature 'two' in the SavedModel",
    ]
