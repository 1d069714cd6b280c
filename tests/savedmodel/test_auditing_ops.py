"""The rules on ops find those that are random, read or write files, or are missing in serving."""

import functools

import pytest
import tensorflow as tf

from tests.savedmodel.audits import TEXT, X, nodes, rules_of, save_and_audit


@pytest.fixture
def find(tmp_path):
    return functools.partial(save_and_audit, tmp_path)


@pytest.mark.parametrize(
    ("noise", "op"),
    [
        (lambda: tf.random.normal([1]), "RandomStandardNormal"),
        (lambda: tf.random.uniform([1]), "RandomUniform"),
        (lambda: tf.random.shuffle([1.0, 2.0]), "RandomShuffle"),
        (lambda: tf.cast(tf.random.categorical([[0.0, 1.0]], 1), tf.float32)[0], "Multinomial"),
        (lambda: tf.random.truncated_normal([1]), "TruncatedNormal"),
    ],
)
def test_a_random_op_is_found(find, noise, op):
    findings = find(lambda x: x + noise(), X)

    assert rules_of(findings) == {"random_ops"}
    assert {finding.message for finding in findings} == {
        f"{op} returns different values on each call"
    }


def test_a_seed_in_a_variable_that_each_call_changes_is_found(find):
    seed = tf.Variable([1, 2], name="seed")

    def function(x):
        noise = tf.random.stateless_uniform([1], seed)
        seed.assign_add([0, 1])
        return x + noise

    findings = find(function, X, seed=seed)

    assert rules_of(findings) == {"random_ops"}
    assert {finding.message.split()[0] for finding in findings} == {"StatelessRandomUniformV2"}


def test_a_generator_that_each_call_advances_is_found(find):
    generator = tf.random.Generator.from_seed(1)

    findings = find(lambda x: x + generator.normal([1]), X, generator=generator)

    assert rules_of(findings) == {"random_ops"}
    assert {finding.message.split()[0] for finding in findings} == {"RngReadAndSkip"}


@pytest.mark.parametrize(
    ("touch", "op"),
    [
        (tf.print, "PrintV2"),
        (lambda x: tf.io.write_file("name", x[0]), "WriteFile"),
        (lambda x: tf.io.read_file(x[0]), "ReadFile"),
        (tf.io.matching_files, "MatchingFiles"),
        (lambda x: tf.data.TextLineDataset(x).reduce(0, lambda a, _: a + 1), "TextLineDataset"),
        (lambda x: tf.raw_ops.RestoreV2(prefix=x[0], tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]),
         "RestoreV2"),
    ],
)  # fmt: skip
def test_an_op_that_reads_or_writes_outside_the_model_is_found(find, touch, op):
    def function(x):
        touch(x)
        return x

    findings = find(function, TEXT)

    assert op in {finding.message.split()[0] for finding in findings}
    assert rules_of(findings) == {"io_ops"}


def test_a_custom_op_is_found(find):
    def rename(graph_def):
        for function in graph_def.library.function:
            for node in function.node_def:
                if node.op == "Exp":
                    node.op = "SentencepieceOp"

    findings = find(lambda x: tf.exp(x, name="foreign"), X, edit=rename)

    assert rules_of(findings) == {"custom_ops"}
    assert nodes(findings) == {"foreign"}
    assert findings[0].message.startswith(
        "SentencepieceOp is not an op of TensorFlow itself: the server must load"
    )
    assert "custom_ops in [tool.smdecl]" in findings[0].message


def test_a_declared_custom_op_is_found_with_its_provider(find):
    def rename(graph_def):
        for function in graph_def.library.function:
            for node in function.node_def:
                if node.op == "Exp":
                    node.op = "SentencepieceOp"

    findings = find(
        tf.exp, X, edit=rename, consumer="2.15", providers={"SentencepieceOp": "text_ops"}
    )

    assert rules_of(findings) == {"custom_ops"}, (
        "the consumer's release need not have what it loads"
    )
    assert [(finding.provider, finding.message) for finding in findings] == [
        (
            "text_ops",
            "SentencepieceOp is not an op of TensorFlow itself: text_ops registers it, and the server must load that too",
        )
    ]


def test_an_op_that_the_consumers_release_lacks_is_found(find):
    def largest(x):
        return tf.raw_ops.TopKV2(input=x, k=tf.constant(1), sorted=True, index_type=tf.int64)[1]

    (finding,) = find(largest, X, rules=["consumer"], consumer="2.12")

    assert finding.rule == "consumer"
    assert (
        finding.message
        == "TensorFlow 2.12 lacks TopKV2's attribute index_type, which exists since 2.13"
    )
    assert nodes([finding]) == {"TopKV2"}
    assert find(largest, X, rules=["consumer"], consumer="2.13") == ()
    assert find(largest, X, rules=[], consumer="2.12") == ()


def test_a_default_attribute_that_the_consumers_release_lacks_is_not_found(find):
    def largest(x):
        return tf.raw_ops.TopKV2(input=x, k=tf.constant(1), sorted=True, index_type=tf.int32)[1]

    assert find(largest, X, rules=["consumer"], consumer="2.12") == ()


def test_variables_that_the_consumers_release_cannot_read_are_found(find):
    variable = tf.Variable(1.0, name="v")

    (finding,) = find(
        lambda x: x * variable, X, rules=["consumer"], consumer="2.14", variable=variable
    )

    assert (
        finding.message
        == "TensorFlow 2.14 lacks VarHandleOp's attribute debug_name, which exists since 2.15"
    )


def test_an_op_that_no_release_has_is_reported_once(find):
    def rename(graph_def):
        for function in graph_def.library.function:
            for node in function.node_def:
                if node.op == "Exp":
                    node.op = "SentencepieceOp"

    findings = find(
        lambda x: tf.exp(tf.exp(x)), X, rules=["consumer"], consumer="2.16", edit=rename
    )

    assert [finding.message for finding in findings] == [
        "TensorFlow 2.16 lacks SentencepieceOp, which no release has",
    ]
