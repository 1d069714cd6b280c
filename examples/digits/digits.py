"""A small Keras classifier of handwritten digits, named by conf/model/digits.yaml."""

import keras
import tensorflow as tf


class Digits(keras.Model):
    """Two dense layers over the 64 pixels of an 8 x 8 image. A pixel is a number from 0 to 16."""

    def __init__(self, hidden: int = 64):
        super().__init__()
        self.logits = keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Rescaling(1 / 16),
                keras.layers.Dense(hidden, activation="relu"),
                keras.layers.Dense(10),
            ]
        )

    def call(self, pixels):
        return self.logits(pixels)

    @tf.function
    def scores(self, pixels):
        return {"scores": tf.nn.softmax(self(pixels))}

    @tf.function
    def classify(self, pixels):
        return {"class": tf.argmax(self(pixels), axis=-1)}
