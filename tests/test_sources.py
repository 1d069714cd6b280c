"""What the audit finds is told with the line of the user's code that made it, once."""

import pytest

from smdecl.errors import ContractError

NET = """import tensorflow as tf


class Net(tf.Module):
    @tf.function
    def pinned(self, x):
        with tf.device("/CPU:0"):
            return x * 2.0

    @tf.function
    def add(self, x):
        return tf.cond(x > 0, lambda: self.pinned(x), lambda: noise(x)) + 1.0


def noise(x):
    return x + tf.random.uniform([])
"""


def test_a_finding_names_node_function_and_line(project):
    project.write("mynet.py", NET)

    with pytest.raises(ContractError) as error:
        project.export("model._target_=mynet.Net", "audit=strict")

    device, random = [problem.message for problem in error.value.problems]
    assert device.startswith("__inference_pinned_")
    assert "is pinned" in device
    assert device.endswith("leave tf.device out of the function's body (mynet.py:8); takes warn or off to let it pass")
    assert "/cond/random_uniform/RandomUniform: RandomUniform gives other values at each call (mynet.py:16);" in random


def test_a_warning_names_it_too(project):
    project.write("mynet.py", NET)

    release = project.export("model._target_=mynet.Net", "audit.baked_devices=off", "verify=load")

    warning, _ = release.warnings
    assert warning.key == "audit.random_ops"
    assert warning.message.endswith("(mynet.py:16)")
