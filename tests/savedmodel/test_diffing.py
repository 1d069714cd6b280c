"""Two SavedModels are compared by graph, variables and files."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ContractError
from smdecl.release import diffing
from tensorflow.core.protobuf import saved_model_pb2

from tests.savedmodel.diffed_models import lines, save

NAN, INF = float("nan"), float("inf")
# Dtype, the values before and after, and the difference.
VALUES = {
    "floats": ("float32", [1, 2, 3], [1, 2.5, 1], "values differ by at most 2"),
    "halves": ("float16", [1], [1.5], "values differ by at most 0.5"),
    "bfloats": ("bfloat16", [1, 2], [1, 2.25], "values differ by at most 0.25"),
    "complex numbers": ("complex64", [1 + 1j, 2], [4 + 5j, 2], "values differ by at most 5"),
    "a scalar": ("float64", 1, -1, "values differ by at most 2"),
    "integers": ("int32", [7, -7], [7, 8], "values differ by at most 15"),
    "bytes": ("uint8", [0], [255], "values differ by at most 255"),
    "integers that are equal as floats": ("int64", [2**62], [2**62 + 1], "values differ by at most 1"),
    "integers that are as far apart as can be": (
        "int64", [-(2**63)], [2**63 - 1], "values differ by at most 1.84467e+19",
    ),
    "truth": ("bool", [True, False], [True, True], "values differ by at most 1"),
    "texts": ("string", [["a", ""], ["b", "c"]], [["a", "x"], ["b", "d"]], "2 values differ"),
    "one text": ("string", "a", "b", "1 value differs"),
    "NaN for NaN": ("float32", [NAN, 1], [NAN, 1], None),
    "NaN beside another value": ("float32", [NAN, 1], [NAN, 4], "values differ by at most 3"),
    "NaN for a number": (
        "float32", [1, NAN, 1], [NAN, 0, 1.5], "values differ by at most 0.5; 2 are NaN on one side only",
    ),
    "infinity for infinity": ("float32", [INF, 1], [INF, 2], "values differ by at most 1"),
    "infinity for a number": ("float32", [INF, 1], [1, 1], "values differ by at most inf"),
    "infinity for its negative": ("bfloat16", [INF], [-INF], "values differ by at most inf"),
    "nothing for nothing": ("float32", [], [], None),
    "what is the same": ("complex128", [1j], [1j], None),
}  # fmt: skip


@pytest.mark.parametrize("row", VALUES)
def test_changed_values_are_reported_with_the_largest_difference(tmp_path, row):
    dtype, before, after, message = VALUES[row]
    old, new = (
        save(tmp_path / name, v=tf.Variable(value, dtype=dtype))
        for name, value in (("a", before), ("b", after))
    )

    found = diffing.diff(old, new)

    assert lines(found, "variables") == ([] if message is None else [f"variables v: {message}"])
    assert (found.verdict, found.advice) == ("same", "patch")  # a fingerprint is drawn each time
    assert (
        "files variables/variables.data-00000-of-00001: content differs" in lines(found, "files")
    ) == bool(message)


def test_a_difference_after_the_first_million_values_is_found(tmp_path):
    values = np.zeros(2**20 + 3, np.float32)
    before = save(tmp_path / "a", v=tf.Variable(values))
    values[-1] = 7

    assert lines(
        diffing.diff(before, save(tmp_path / "b", v=tf.Variable(values))), "variables"
    ) == ["variables v: values differ by at most 7"]


def test_variables_that_were_added_removed_or_reshaped_are_reported(tmp_path):
    zeros = {
        name: tf.Variable(tf.zeros([2, 3])) for name in ("gone", "reshaped", "retyped", "kept")
    }
    before = save(tmp_path / "a", layers=zeros)
    after = save(
        tmp_path / "b",
        layers={
            **{name: zeros[name] for name in ("kept",)},
            "new": tf.Variable(["a"]),
            "reshaped": tf.Variable(tf.zeros([3, 2])),
            "retyped": tf.Variable(tf.zeros([2, 3], tf.float64)),
        },
    )

    found = diffing.diff(before, after)

    assert (found.verdict, found.advice) == ("same", "patch")
    assert lines(found, "variables") == [
        "variables layers/gone: was removed: float32 [2, 3]",
        "variables layers/new: was added: string [1]",
        "variables layers/reshaped: changed from float32 [2, 3] to float32 [3, 2]",
        "variables layers/retyped: changed from float32 [2, 3] to float64 [2, 3]",
    ]


def test_added_and_changed_assets_are_reported(tmp_path):
    words, more = tmp_path / "words.txt", tmp_path / "more.txt"
    words.write_text("a\nb\n")
    more.write_text("c\n")
    before = save(tmp_path / "a", vocabulary=tf.saved_model.Asset(str(words)))
    words.write_text("a\nc\n")
    after = save(
        tmp_path / "b",
        vocabulary=tf.saved_model.Asset(str(words)),
        more=tf.saved_model.Asset(str(more)),
    )

    found, back = diffing.diff(before, after), diffing.diff(after, before)

    assert (found.verdict, found.advice) == ("same", "patch")
    assert lines(found, "files")[:2] == [
        "files assets/more.txt: was added",
        "files assets/words.txt: content differs",
    ]
    assert lines(back, "files")[:2] == [
        "files assets/more.txt: was removed",
        "files assets/words.txt: content differs",
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A SavedModel with one variable."""
    return save(tmp_path_factory.mktemp("plain") / "net", v=tf.Variable([1.0, 2.0]))


def rewritten(saved, directory, change):
    """Copies a SavedModel with a different saved_model.pb."""
    shutil.copytree(saved, directory)
    message = saved_model_pb2.SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    change(message)
    (directory / "saved_model.pb").write_bytes(message.SerializeToString(deterministic=True))
    return directory


def add_graph(message, *tags):
    message.meta_graphs.add().CopyFrom(message.meta_graphs[0])
    message.meta_graphs[-1].meta_info_def.tags[:] = tags
    return message.meta_graphs[-1]


def of_callers(found):
    return [str(change) for change in found.changes if change.verdict != "internal"]


def test_the_serving_graph_is_compared_wherever_it_is(plain, tmp_path):
    def put_second(message):
        add_graph(message, "serve")
        message.meta_graphs[0].meta_info_def.tags[:] = ["train"]

    def retype(message):
        put_second(message)
        message.meta_graphs[1].signature_def["serving_default"].inputs[
            "x"
        ].dtype = tf.float64.as_datatype_enum

    before = rewritten(plain, tmp_path / "a", put_second)
    found = diffing.diff(before, rewritten(plain, tmp_path / "b", retype))

    assert of_callers(found) == [
        "signatures serving_default.inputs.x: changed from float32 [?] to float64 [?]"
    ]
    # Compared with that graph alone; the order of graphs does not matter.
    assert of_callers(diffing.diff(plain, before)) == ["tags train: the graph was added"]


def test_graphs_with_the_same_tags_are_compared(plain, tmp_path):
    def rename(message):
        signature = add_graph(message, "train", "gpu").signature_def["serving_default"]
        signature.inputs["rows"].CopyFrom(signature.inputs.pop("x"))

    before = rewritten(plain, tmp_path / "a", lambda message: add_graph(message, "gpu", "train"))
    found = diffing.diff(before, rewritten(plain, tmp_path / "b", rename))

    assert found.verdict == "breaking"
    renamed = "signatures serving_default.inputs.x (graph gpu, train): was renamed to 'rows'"
    assert of_callers(found) == [renamed]


def test_functions_that_restore_tables_do_not_matter_to_callers(plain, tmp_path):
    keys = tf.lookup.KeyValueTensorInitializer(["a"], [1])
    after = save(
        tmp_path / "b", v=tf.Variable([1.0, 2.0]), table=tf.lookup.StaticHashTable(keys, 0)
    )

    assert diffing.diff(plain, after).verdict == diffing.diff(after, plain).verdict == "same"


INDEX, DATA = "variables/variables.index", "variables/variables.data-00000-of-00001"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# A file of the checkpoint, how it is damaged, and the error.
DAMAGES = {
    "the index is missing": (INDEX, lambda path: path.unlink(), f"{INDEX}: no such file"),
    "all of it is missing": ("variables", shutil.rmtree, f"{INDEX}: no such file"),
    "the index is cut off": (
        INDEX, lambda path: path.write_bytes(path.read_bytes()[:60]), f"{INDEX}' as the index of a checkpoint: ",
    ),
    "the index was changed": (INDEX, flip, "differs from its checksum"),
    "the data is missing": (DATA, lambda path: path.unlink(), f"{DATA}: no such file; expected the values of "),
    "the data is cut off": (DATA, lambda path: path.write_bytes(path.read_bytes()[:-1]), f"{DATA}: is truncated: "),
    "a variable was changed": (
        DATA, lambda path: path.write_bytes(b"\1" + path.read_bytes()[1:]), "content of 'v' differs from its checksum",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", DAMAGES)
def test_a_damaged_checkpoint_on_either_side_is_an_error(plain, tmp_path, row):
    name, damage, message = DAMAGES[row]
    damaged = shutil.copytree(plain, tmp_path / "damaged")
    damage(damaged / name)

    for before, after in ((plain, damaged), (damaged, plain), (damaged, damaged)):
        with pytest.raises(ContractError) as error:
            diffing.diff(before, after)
        (problem,) = map(str, error.value.problems)
        assert str(damaged) in problem
        assert message in problem


def test_all_damage_is_reported_at_once(plain, tmp_path):
    first, second = (shutil.copytree(plain, tmp_path / name) for name in ("first", "second"))
    (first / INDEX).unlink()
    (second / DATA).unlink()

    with pytest.raises(ContractError) as error:
        diffing.diff(first, second)

    assert [str(problem).split(": ")[0] for problem in error.value.problems] == [
        f"{first / INDEX}",
        f"{second / DATA}",
    ]


def test_a_file_that_is_not_a_saved_model_is_reported_by_name(plain, tmp_path):
    broken = shutil.copytree(plain, tmp_path / "broken")
    (broken / "saved_model.pb").write_bytes(b"no")

    with pytest.raises(ContractError) as error:
        diffing.diff(plain, broken)

    assert f"{broken / 'saved_model.pb'}' as a SavedModel: " in str(error.value)
