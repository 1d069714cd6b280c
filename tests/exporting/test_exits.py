"""Code of a model that ends like a program, by `sys.exit` or an interrupt, is reported."""

import pytest
from smdecl.errors import ModelError, SmdeclError

from tests.exporting.building_projects import write_net


@pytest.fixture
def net(project):
    return write_net(project)


EXITING = """
import sys

import tensorflow as tf


class Net(tf.Module):
    def __init__(self, where):
        super().__init__()
        self.where = where
        if where == "constructor":
            sys.exit("no data")  # constructor

    @tf.function
    def add(self, x):
        if self.where == "traced":
            sys.exit("no data")  # traced
        if self.where == "called" and tf.executing_eagerly():
            sys.exit("no data")  # called
        return x

    @property
    def variables(self):
        if self.where == "elsewhere":
            sys.exit("no data")  # elsewhere
        return ()


class End(BaseException):
    pass


def load(where):
    if where == "ended":
        raise End("early")  # ended
    raise KeyboardInterrupt  # interrupted
"""


@pytest.mark.parametrize(
    ("target", "where", "message"),
    [
        ("Net", "constructor", "model: building exiting.Net failed: SystemExit: no data"),
        (
            "Net",
            "traced",
            "signatures.serving_default: tracing add with the declared inputs failed: SystemExit: no data",
        ),
        ("Net", "called", "the object in memory fails on this example"),
        ("Net", "elsewhere", "model: running its code failed: SystemExit: no data"),
        ("load", "ended", "model: building exiting.load failed: End: early"),
        ("load", "interrupted", "model: building exiting.load failed: KeyboardInterrupt"),
    ],
)
def test_code_that_exits_is_reported_like_any_other_failure(net, target, where, message):
    net.write("exiting.py", EXITING)
    before = EXITING.partition(f"# {where}")[0]
    line = before.count("\n") + 1

    with pytest.raises(SmdeclError) as caught:
        net.export(f"model._target_=exiting.{target}", f"+model.where={where}")

    assert message in str(caught.value)
    assert f'exiting.py", line {line}, in ' in caught.value.traceback_text


def test_a_module_that_exits_while_it_is_imported_is_reported(net):
    net.write("broken.py", "raise SystemExit(7)\n")

    with pytest.raises(ModelError) as caught:
        net.export("model._target_=broken.Net")

    assert str(caught.value).endswith("importing 'broken' failed: SystemExit: 7")
    assert 'broken.py", line 1' in caught.value.traceback_text
