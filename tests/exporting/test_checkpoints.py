"""Objects get their values from the right part of a TensorFlow checkpoint."""

import types
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError
from smdecl.exporting.restoring import restore
from smdecl.exporting.saving import save
from smdecl.savedmodel import inspection


class Net(tf.Module):
    """A module with variables, and with tables that training fills."""

    def __init__(self, units=2, fill=0.0, tables=True):
        super().__init__()
        self.w = tf.Variable(tf.fill([units], fill))
        self.b = tf.Variable(fill)
        if tables:
            self.words = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
            self.dense = tf.lookup.experimental.DenseHashTable(
                tf.int64, tf.float32, -1.0, empty_key=-1, deleted_key=-2
            )
            self.steps = Steps()

    def fill(self):
        self.words.insert(["a"], [7])
        self.dense.insert([3], [0.5])
        self.steps.count = 9
        return self

    def state(self):
        return (
            self.words.lookup(tf.constant(["a"])).numpy(),
            self.dense.lookup([3]).numpy(),
            self.steps.count,
        )


class Steps(tf.train.experimental.PythonState):
    count = 0

    def serialize(self):
        return str(self.count)

    def deserialize(self, text):
        self.count = int(text)


@pytest.fixture
def prefix(tmp_path):
    return str(tmp_path / "net")


def restored(obj, prefix, **options):
    record = restore.restore(obj, Weights("checkpoint", prefix, **options))
    return sorted(record.matched), sorted(record.unmatched)


def refusals(obj, prefix, **options):
    with pytest.raises(ConfigError) as error:
        restored(obj, prefix, **options)
    return [(problem.key, problem.message.partition(";")[0]) for problem in error.value.problems]


def test_tables_and_python_state_are_restored(prefix):
    tf.train.Checkpoint(Net(fill=1.0).fill()).write(prefix)
    net = Net()

    assert restored(net, prefix) == (["b", "dense", "steps", "w", "words"], [])
    assert net.state() == (7, 0.5, 9)


def test_a_table_missing_from_a_checkpoint_is_reported(prefix):
    tf.train.Checkpoint(Net(fill=1.0, tables=False)).write(prefix)

    assert refusals(Net(), prefix) == [
        ("weights.path", "has no value for words, a MutableHashTable"),
        ("weights.path", "has no value for dense, a DenseHashTable"),
        ("weights.path", "has no value for steps, a Steps"),
    ]
    assert restored(Net(), prefix, expect="partial")[1] == ["dense", "steps", "words"]


def test_a_partial_restore_fills_tables_even_if_a_variable_does_not_fit(prefix):
    tf.train.Checkpoint(Net(units=5, fill=1.0).fill()).write(prefix)
    net = Net()

    assert restored(net, prefix, expect="partial")[1] == ["w"]
    assert (net.w.numpy().tolist(), net.b.numpy()) == ([0, 0], 1)
    assert net.state() == (7, 0.5, 9)


def test_the_token_counts_of_an_adapting_layer_are_not_state_of_the_model(prefix):
    tf.train.Checkpoint(tf.Module()).write(prefix)
    ids = keras.layers.StringLookup(name="ids")

    (lacking,) = refusals(ids, prefix)

    assert lacking[1].startswith("has no value for ids/vocabulary")


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_a_vocabulary_missing_from_a_checkpoint_is_reported(prefix, package):
    layers = pytest.importorskip(package).layers

    def lookup(vocabulary):
        module = tf.Module()
        module.ids = layers.StringLookup(vocabulary=vocabulary, name="ids")
        module.w = tf.Variable(0.0)
        return module

    tf.train.Checkpoint(lookup(["a", "b"])).write(prefix)

    assert restored(lookup(["p", "q"]), prefix) == (["w"], ["ids/vocabulary"])


def compiled(fill):
    x = keras.Input((3,), name="x")
    model = keras.Model(
        x,
        keras.layers.Dense(2, name="out", kernel_initializer=keras.initializers.Constant(fill))(x),
    )
    model.compile("adam", "mse")
    return model


def test_a_compiled_model_is_found_beside_its_optimizer(prefix):
    trained = compiled(2.0)
    trained.optimizer.build(trained.trainable_variables)
    tf.train.Checkpoint(model=trained, optimizer=trained.optimizer).write(prefix)
    model = compiled(0.0)

    assert restored(model, prefix)[1] == []
    assert model.layers[-1].kernel.numpy().tolist() == [[2, 2]] * 3


def test_shapes_decide_which_of_two_objects_is_restored(prefix):
    student, teacher = Net(fill=2.0, tables=False), Net(units=5, fill=1.0, tables=False)
    tf.train.Checkpoint(student=student, teacher=teacher).write(prefix)
    net = Net(tables=False)

    assert restored(net, prefix)[1] == []
    assert net.b.numpy() == 2


def test_weights_root_chooses_between_equally_fitting_objects(prefix):
    ema, model = Net(fill=1.0, tables=False), Net(fill=2.0, tables=False)
    tf.train.Checkpoint(ema=ema, model=model, again=model).write(prefix)
    net = Net(tables=False)

    with pytest.raises(ConfigError) as error:
        restored(net, prefix)
    assert str(error.value) == (
        "weights.path: holds 'again' and 'ema', which fit the model equally well; set weights.root to one of them, such as"
        " ++weights.root=again"
    )
    restored(net, prefix, root="model")
    assert net.b.numpy() == 2
    restored(net, prefix, root="ema")
    assert net.b.numpy() == 1
    assert refusals(net, prefix, root="modle") == [("weights.root", "unknown root 'modle'")]


def test_an_object_that_is_the_root_is_not_searched_below_it(prefix):
    net = Net(fill=2.0, tables=False)
    net.ema = Net(fill=1.0, tables=False)
    tf.train.Checkpoint(net).write(prefix)
    fresh = Net(tables=False)

    restored(fresh, prefix)

    assert fresh.b.numpy() == 2


class Deep(tf.Module):
    def __init__(self):
        super().__init__()
        self.parts = [tf.Module(), tf.Module()]
        for part in self.parts:
            part.w = tf.Variable(0.0, name="w")
        self.kernel = tf.Variable(0.0, name="scale")


def test_errors_and_saved_models_have_the_same_names_of_variables(prefix):
    obj = Deep()
    tf.train.Checkpoint(tf.Module()).write(prefix)
    directory = Path(prefix).with_name("saved")
    directory.mkdir()

    save.save(types.SimpleNamespace(obj=obj), {}, {}, {"save_debug_info": False}, directory)

    found = [text.split()[4] for _, text in refusals(obj, prefix)]
    assert sorted(found) == ["parts/0/w", "parts/1/w", "scale"]
    assert sorted(each.name for each in inspection.load(directory)[1].variables) == sorted(found)


def test_a_renamed_attribute_is_explained_by_the_value_of_its_former_name(tmp_path):
    prefix = str(tmp_path / "trained")
    trained, net = tf.Module(), tf.Module()
    trained.user = tf.Variable([1.0, 2.0], name="user")
    trained.item, net.item = tf.Variable([3.0, 4.0], name="item"), tf.Variable([0.0, 0.0])
    net.users = tf.Variable([0.0, 0.0], name="user")  # the name of a variable is not saved
    tf.train.Checkpoint(model=trained, optimizer=tf.keras.optimizers.Adam()).save(prefix)

    with pytest.raises(ConfigError) as error:
        restore.restore(net, Weights("checkpoint", f"{prefix}-1"))

    assert [problem.message for problem in error.value.problems] == [
        "has no value for user [2]: 'users' is not in the checkpoint, but 'user' of the same shape is;"
        " the attribute may have been renamed after training"
    ]
