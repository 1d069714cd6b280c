"""Trains the classifier in a few seconds, and saves its weights: python train.py."""

import data
import keras
import numpy as np
from digits import Digits

keras.utils.set_random_seed(0)
train_x, test_x, train_y, test_y = data.load()
model = Digits()
model.compile(
    "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
)
model.fit(train_x, train_y, epochs=20, verbose=0)
model.save_weights("digits.weights.h5")
accuracy = np.mean(
    np.argmax(model.predict(test_x, verbose=0), axis=-1) == test_y
)
print(f"held-out accuracy {accuracy:.4f}, weights in digits.weights.h5")
