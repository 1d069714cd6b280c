"""An error about weights says what their path leads to, and the format to use."""

import json
import struct
import warnings
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.checks import changed_configs

RESAVE = "load it with keras.models.load_model, and save it as a .keras file"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """One file of each kind, under names that do not tell it."""
    place = tmp_path_factory.mktemp("weights")
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns while it saves
        model.save(place / "net.keras")
        model.save_weights(place / "net.weights.h5")
        model.save(place / "whole.h5")
    checkpoint = tf.train.Checkpoint(v=tf.Variable(1.0))
    checkpoint.write(str(place / "ckpts" / "one"))
    manager = tf.train.CheckpointManager(checkpoint, str(place / "managed"), 5)
    for _ in range(2):
        manager.save()
    tf.saved_model.save(checkpoint, str(place / "saved"))
    np.savez(place / "of.npz", v=np.ones(1))
    with zipfile.ZipFile(place / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"")
    header = json.dumps({"v": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    (place / "net.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    (place / "renamed.h5").write_bytes((place / "net.weights.h5").read_bytes())
    (place / "zip.weights.h5").write_bytes((place / "net.keras").read_bytes())
    return place


@pytest.mark.parametrize(
    ("fmt", "path", "message"),
    [
        ("keras_weights", "net.keras", "is a .keras file; use format keras"),
        ("checkpoint", "net.keras", "is a .keras file; use format keras"),
        ("keras_weights", "zip.weights.h5", "is a .keras file; use format keras and give it a name that ends in .keras"),
        ("keras", "net.weights.h5", "is a file of weights in HDF5; use format keras_weights"),
        ("keras_weights", "renamed.h5", "is a file of weights in HDF5; give it a name that ends in .weights.h5"),
        ("keras_weights", "whole.h5", f"is a whole model in legacy HDF5; {RESAVE}"),
        ("keras", "ckpts/one", "is a checkpoint; use format checkpoint"),
        ("checkpoint", "ckpts/one.index", "is part of a checkpoint; set weights.path=DIR/ckpts/one"),
        ("checkpoint", "ckpts/one.data-00000-of-00001", "is part of a checkpoint; set weights.path=DIR/ckpts/one"),
        ("checkpoint", "ckpts", "is a directory with a checkpoint; set weights.path=DIR/ckpts/one"),
        ("saved_model", "managed", "is a directory with a checkpoint; use format checkpoint and set weights.path=DIR/managed/ckpt-2"),
        ("keras", "saved", "is a SavedModel; use format saved_model"),
        ("saved_model", "saved/saved_model.pb", "is part of a SavedModel; set weights.path=DIR/saved"),
        ("checkpoint", "saved/variables", "is part of a SavedModel; use format saved_model and set weights.path=DIR/saved"),
        ("keras_weights", "of.npz", "is an archive of NumPy arrays; expected a .weights.h5 file of Model.save_weights"),
        ("keras_weights", "net.pt", "is a file of PyTorch; expected a .weights.h5 file of Model.save_weights"),
        ("saved_model", "net.safetensors", "is a safetensors file; expected the directory of a SavedModel"),
    ],
)  # fmt: skip
def test_an_error_says_what_the_path_leads_to(project, weights, fmt, path, message):
    place = f"{weights}/{path}"
    declared = {"format": fmt, "path": place, "expect": "full", "root": None}
    [problem] = changed_configs.problems(project.root, weights=declared)

    assert problem.key == "weights.path"
    assert problem.message.replace(str(weights), "DIR") == f"'DIR/{path}' {message}"


@pytest.mark.parametrize(
    ("fmt", "path"),
    [
        ("keras", "net.keras"),
        ("keras_weights", "net.weights.h5"),
        ("checkpoint", "ckpts/one"),
        ("checkpoint", "saved/variables/variables"),
        ("saved_model", "saved"),
    ],
)
def test_weights_of_the_declared_format_are_accepted(project, weights, fmt, path):
    declared = {"format": fmt, "path": f"{weights}/{path}", "expect": "full", "root": None}

    assert changed_configs.problems(project.root, weights=declared) == []
