"""Values that a checkpoint has, but the model has no variable for."""

import keras
import pytest
import tensorflow as tf
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError
from smdecl.exporting.restoring import restore


class Linear(tf.Module):
    """Creates its variable on its first call, as the layers of Sonnet do."""

    def __init__(self):
        super().__init__()
        self.w = None

    def __call__(self, x):
        if self.w is None:
            self.w = tf.Variable([0.0], name="w")
        return x * self.w


class Net(tf.Module):
    def __init__(self, layers=1, has_scale=True, extra=False):
        super().__init__()
        if has_scale:
            self.scale = tf.Variable([0.0])
        self.layers = [tf.Variable([0.0]) for _ in range(layers)]
        self.encoder, self.decoder = Linear(), Linear()
        if extra:
            self.extra = tf.Variable([0.0])

    def __call__(self, x):
        return self.encoder(x) * sum(self.layers) * self.scale

    def both(self, x):
        return self.decoder(self(x))


@pytest.fixture
def prefix(tmp_path):
    return str(tmp_path / "net")


def write(prefix, net, value=3.0, **beside):
    for variable in net.variables:
        variable.assign(tf.fill(variable.shape, value))
    tf.train.Checkpoint(net, **beside).write(prefix)


def called(**options):
    net = Net(**options)
    net.both(1.0)
    return net


def restored(net, prefix, call=lambda net: net(1.0), **options):
    """Restores a model before and after it is called, as an export does."""
    weights = Weights("checkpoint", prefix, **options)
    first = restore.restore(net, weights)
    known = restore.variables_of(net)
    call(net)
    return restore.restore_late(net, weights, first, known)


def refused(*args, **options):
    with pytest.raises(ConfigError) as error:
        restored(*args, **options)
    return [problem.message.partition(";")[0] for problem in error.value.problems]


@pytest.mark.parametrize(
    ("trained", "unused"),
    [({"layers": 2}, "layers/1"), ({"extra": True}, "extra")],
)
def test_a_value_that_the_model_leaves_out_is_refused(prefix, trained, unused):
    write(prefix, called(**trained))
    message = f"{unused} [1] is not in the model"

    assert refused(Net(), prefix) == [message]
    assert restored(Net(), prefix, expect="partial").unused == (message,)


def test_what_a_script_saves_for_training_is_not_part_of_the_model(prefix):
    net = called()
    optimizer = keras.optimizers.Adam()
    optimizer.build([keras.Variable([1.0])])
    write(prefix, net, optimizer=optimizer, step=tf.Variable(7), best=tf.Variable(0.5))

    assert restored(Net(), prefix).unused == ()
    compiled = Net()
    compiled.optimizer = keras.optimizers.Adam()
    assert restored(compiled, prefix).unused == ()


def test_variables_that_a_call_creates_are_restored(prefix):
    write(prefix, called())
    net = Net()

    # Only `both` needs the decoder.
    assert restored(net, prefix).unused == ()
    assert net.both(1.0).numpy() == [81]
    assert net.encoder.w.numpy() == [3]


def test_a_model_without_variables_is_restored_when_it_is_called(prefix):
    trained = Linear()
    trained(1.0)
    write(prefix, trained)
    net = Linear()

    assert len(restored(net, prefix).matched) == 1
    assert net(2.0).numpy() == [6]


def test_a_variable_that_a_call_creates_needs_a_value(prefix):
    trained = Net()
    trained(1.0)
    write(prefix, trained)
    message = (
        "has no value for w [1]: the model creates it only when it is called, after its weights are"
        " restored"
    )

    assert refused(Net(), prefix, lambda net: net.both(1.0)) == [message]


def test_a_model_without_the_adapters_of_a_lora_is_refused(prefix):
    def model():
        return keras.Sequential([keras.Input([2]), keras.layers.Dense(3)])

    trained = model()
    trained.layers[0].enable_lora(1)
    write(prefix, trained)

    found = refused(model(), prefix, lambda model: None)

    assert sorted(message.partition(" ")[0].rpartition("/")[2] for message in found) == [
        "lora_kernel_a",
        "lora_kernel_b",
    ]
