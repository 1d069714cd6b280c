"""A SavedModel is read back from its bytes, and compared with what was declared."""

import pytest
import tensorflow as tf

from smdecl import inspecting
from smdecl.config import Signature, Spec
from smdecl.errors import ContractError
from smdecl.records import SignatureRecord, TensorRecord, VariableRecord


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
    return inspecting.inspect(inspecting.read(tmp_path / "m"))


CALL = SignatureRecord(
    {"x": TensorRecord("float32", (None, 2))},
    {"n": TensorRecord("int32", (2,)), "y": TensorRecord("float32", (None, 3))},
)


def test_everything_is_read_from_the_bytes(saved):
    assert saved.tags == ("serve",)
    assert saved.signatures == {"one": CALL, "two": CALL}
    assert set(saved.variables) == {
        VariableRecord("kernel", "float32", (2, 3)),
        VariableRecord("layers.0.bias", "float16", (3,)),
    }
    (call,) = saved.functions.pop("call")
    assert (call.inputs, call.outputs) == (CALL.inputs, CALL.outputs)
    assert saved.functions == {}
    assert saved.assets == ("words.txt",)
    assert saved.ops["MatMul"] == 1


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"\xff\xff", "cannot be read as"), (b"", "holds no MetaGraphDef")]
)
def test_what_is_no_saved_model_is_told(tmp_path, content, message):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)

    with pytest.raises(ContractError, match=message):
        inspecting.read(tmp_path)


def test_what_was_saved_otherwise_than_declared_is_told(saved):
    x = Spec((None, 2), "float32")
    declared = {
        "one": Signature("call", {"x": x}, {"y": Spec(("b", 3), "float32"), "n": Spec((2,), "int64")}),
        "three": Signature("call", {"x": x}, None),
    }
    with pytest.raises(ContractError) as error:
        inspecting.compare(declared, {"one": CALL}, saved)

    assert [str(problem) for problem in error.value.problems] == [
        "signatures.one.outputs.n: declared int64 of shape [2], but it is int32 of shape [2]",
        "signatures.three: is declared, but the SavedModel does not have it",
        "signatures: the SavedModel has the signature 'two', which is not declared",
    ]
