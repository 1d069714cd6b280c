"""A tensor that a model keeps in Python for a later call is reported by the attribute that holds it."""

import pytest
import tensorflow as tf
from smdecl.errors import ModelError
from smdecl.exporting.tracing import leaks

NET = """
import tensorflow as tf


class Tracker(tf.Module):
    def __init__(self):
        super().__init__()
        self.truth = {}
        self.last = None

    def provide(self, label):
        self.truth["label"] = label * 2.0
        return {"ok": tf.constant(True)}

    def loss(self, x):
        return {"loss": x - self.truth["label"]}

    def change(self, x):
        before, self.last = self.last, x
        return {"change": x if before is None else x - before}
"""
X = "{x: {shape: [], dtype: float32}}"
HINT = "keep the value in a tf.Variable that is an attribute of the model, and assign to that"


class Kept(tf.Module):
    last = None

    def keep(self, x):
        self.last = [x]
        return x

    def use(self, x):
        return tf.cond(x > 0.0, lambda: x - self.last[0], lambda: x)


def refused(project, signatures):
    project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Tracker\n")
    with pytest.raises(ModelError) as error:
        project.export("model=net", "signatures=none", f"+signatures={signatures}")
    return [f"{problem.key}: {problem.message}" for problem in error.value.problems]


def test_a_tensor_of_a_different_signature_is_reported_with_its_holder(project):
    provide = "{method: provide, inputs: {label: {shape: [], dtype: float32}}}"

    assert refused(
        project, f"{{a: {provide}, serving_default: {{method: loss, inputs: {X}}}}}"
    ) == [
        "signatures.serving_default: loss uses the tensor Tracker.truth['label'], which provide kept in Python and"
        f" which has a value only there; {HINT}"
    ]


def test_a_tensor_of_an_earlier_call_is_reported_if_an_example_uses_it(project):
    (problem,) = refused(project, f"{{serving_default: {{method: change, inputs: {X}}}}}")

    assert problem == (
        "signatures.serving_default: calling it on an example failed: it uses a tensor that a different call kept in"
        f" Python; {HINT}"
    )


def test_a_tensor_is_found_in_branches_and_lists():
    model = Kept()
    spec = tf.TensorSpec([], tf.float32)
    functions = {
        name: tf.function(getattr(model, name)).get_concrete_function(spec)
        for name in ("keep", "use")
    }

    (problem,) = leaks.captured(model, {"keep": "keep", "use": "use"}, functions)

    assert str(problem).startswith(
        "signatures.use: use uses the tensor Kept.last[0], which keep kept in Python"
    )
    with pytest.raises(TypeError) as raised:
        model.use(tf.constant(1.0))
    failure = leaks.failure(model, ("signatures", "use"), "calling use", raised.value)
    assert str(failure) == (
        "signatures.use: calling use failed: it uses a tensor that a different call kept in Python, Kept.last[0];"
        f" {HINT}"
    )
    assert leaks.failure(model, (), "calling use", ValueError("anything else")) is None


def test_constants_and_variables_are_not_leaks():
    variable, constant = tf.Variable(1.0), tf.ones([3])
    function = tf.function(lambda x: x * variable + constant).get_concrete_function(
        tf.TensorSpec([3], tf.float32)
    )

    assert list(leaks.captured(tf.Module(), {"s": "f"}, {"s": function})) == []
