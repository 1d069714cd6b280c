"""Makes the model. conf/model/net.yaml names this function and its arguments."""

import keras


def make(features: int, classes: int, units: int) -> keras.Model:
    inputs = keras.Input([features], name="features")
    hidden = keras.layers.Dense(units, activation="relu")(inputs)
    outputs = keras.layers.Dense(
        classes, activation="softmax", name="probabilities"
    )(hidden)
    return keras.Model(inputs, outputs)
