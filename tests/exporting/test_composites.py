"""Ragged and sparse tensors are saved by their parts, as inputs and as outputs."""

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ConfigError, ModelError

from tests.exporting.traced_projects import export, write_net
from tests.serving import serve


@pytest.fixture
def net(project):
    return write_net(project)


def test_a_ragged_input_is_saved_by_its_parts(net):
    release = export(
        net,
        "lengths",
        "{x: {kind: ragged, shape: [n, null], dtype: float32}, y: {shape: [], dtype: int64}}",
    )

    parts = release.signatures["s"].inputs
    assert {name: tensor.dtype for name, tensor in parts.items()} == {
        "x": "float32",
        "x_1": "int64",
        "y": "int64",
    }
    found = serve(
        release.path,
        "s",
        x=np.ones([3], np.float32),
        x_1=np.array([0, 1, 3], np.int64),
        y=np.int64(1),
    )
    assert found["output_0"].tolist() == [2, 3]
    assert release.warnings == ()


def test_a_sparse_input_is_saved_by_its_parts(net):
    release = export(net, "dense", "{x: {kind: sparse, shape: [null, 2], dtype: float32}}")

    assert [tensor.dtype for tensor in release.signatures["s"].inputs.values()] == [
        "int64",
        "float32",
        "int64",
    ]


def test_a_composite_input_does_not_hide_a_wrong_dense_one(net):
    with pytest.raises(ModelError):
        export(
            net,
            "lengths",
            "{x: {kind: ragged, shape: [n, null], dtype: float32}, y: {shape: [], dtype: string}}",
        )


COMPOSITES = """
import tensorflow as tf

class Net(tf.Module):
    @tf.function
    def double(self, rt):
        return rt * 2.0

    def keep(self, sp, extra):
        return {"kept": sp, "dense": tf.sparse.to_dense(sp) + extra, "rows": tf.RaggedTensor.from_tensor(extra)}

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.float32)])
    def own(self, rt):
        return rt + 1.0

    def several(self, first, /, *rest, scale=2.0, **others):
        return {"sum": (first + tf.add_n(list(rest))) * scale, "other": others["extra"] - first}
"""


@pytest.fixture
def composites(project):
    project.write("mynet.py", COMPOSITES)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    return project


def test_ragged_outputs_are_numbered_as_ragged_inputs_are_and_renamed_as_one(composites):
    release = export(
        composites,
        "double",
        "{rt: {kind: ragged, shape: [n, null], dtype: float32, name: words}}",
        "{output_0: {kind: ragged, shape: [n, null], dtype: float32, name: scores}}",
    )

    words = {"words": np.array([1, 2, 3], np.float32), "words_1": np.array([0, 1, 1, 3], np.int64)}
    found = serve(release.path, "s", **words)
    assert {name: value.tolist() for name, value in found.items()} == {
        "scores": [2, 4, 6],
        "scores_1": [0, 1, 1, 3],
    }
    loaded = tf.saved_model.load(str(release.path)).signatures["s"]
    assert sorted(loaded(**{name: tf.constant(value) for name, value in words.items()})) == [
        "scores",
        "scores_1",
    ]
    assert release.warnings == ()


def test_sparse_and_ragged_among_dense_outputs(composites):
    release = export(
        composites,
        "keep",
        "{sp: {kind: sparse, shape: [n, 2], dtype: float32}, extra: {shape: [n, 2], dtype: float32}}",
        "{kept: {kind: sparse, shape: [null, 2], dtype: float32}, dense: {shape: [null, 2], dtype: float32},"
        " rows: {kind: ragged, shape: [null, null], dtype: float32}}",
    )

    assert sorted(release.signatures["s"].outputs) == [
        "dense",
        "kept",
        "kept_1",
        "kept_2",
        "rows",
        "rows_1",
    ]
    found = serve(
        release.path, "s",
        sp=np.array([[1, 0]]), sp_1=np.array([5], np.float32), sp_2=np.array([2, 2]), extra=np.ones([2, 2], np.float32),
    )  # fmt: skip
    assert found["dense"].tolist() == [[1, 1], [6, 1]]
    assert found["kept"].tolist() == [[1, 0]]
    assert found["rows_1"].tolist() == [0, 2, 4]


def test_a_ragged_input_signature_of_its_own_is_served(composites):
    release = export(composites, "own", "null")

    rows = {"rt": np.array([1, 2], np.float32), "rt_1": np.array([0, 2], np.int64)}
    assert serve(release.path, "s", **rows)["output_0"].tolist() == [2, 3]
    assert release.warnings == ()


def test_arguments_by_position_by_keyword_and_bound(composites):
    spec = "{{shape: [], dtype: float32, name: {}}}"
    release = export(
        composites,
        "several",
        f"{{first: {spec.format('a')}, rest: [{spec.format('b')}, {spec.format('c')}], scale: {{value: 3.0}},"
        f" extra: {spec.format('d')}}}",
    )

    found = serve(
        release.path,
        "s",
        **{name: np.float32(value) for name, value in zip("abcd", (1, 2, 3, 9), strict=True)},
    )
    assert found == {"sum": 18.0, "other": 8.0}


def test_a_part_that_has_the_name_of_another_input_is_refused(composites):
    with pytest.raises(ConfigError) as error:
        export(
            composites,
            "keep",
            "{sp: {kind: sparse, shape: [n, 2], dtype: float32}, extra: {shape: [n, 2], dtype: float32, name: sp_1}}",
        )

    assert str(error.value).endswith(
        "'sp_1' is taken by a part of the sparse input 'sp'; choose a different name"
    )
