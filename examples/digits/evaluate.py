"""Classifies the held-out digits with both loaders: python evaluate.py exports/digits/1."""

import sys
from pathlib import Path

import data
import numpy as np
import tensorflow as tf

from smdecl.savedmodel import inspection
from smdecl.verification import load

directory = Path(sys.argv[1])
_, test_x, _, test_y = data.load()

signatures = tf.saved_model.load(str(directory)).signatures
classes = signatures["classify"](pixels=tf.constant(test_x))["class"].numpy()
scores = signatures["serving_default"](pixels=tf.constant(test_x))[
    "scores"
].numpy()
print(f"tf.saved_model.load: accuracy {np.mean(classes == test_y):.4f}")
assert (np.argmax(scores, axis=-1) == classes).all()

definitions = inspection.read(directory).meta_graphs[0].signature_def
served = load.load_cpp(directory, ["serve"], definitions)(
    "classify", {"pixels": test_x}
)["class"]
print(f"C++ session loader:  accuracy {np.mean(served == test_y):.4f}")
