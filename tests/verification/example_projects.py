"""A project with a model and example files of every kind."""

import json

import numpy as np
import tensorflow as tf

NET = """
import tensorflow as tf

class Net(tf.Module):
    def brightest(self, image):
        return tf.reduce_max(tf.cast(image, tf.int32), [1, 2])

    def size(self, encoded):
        return tf.shape(tf.io.decode_image(encoded))

    def upper(self, text):
        return tf.strings.upper(text)

    def double(self, x):
        return x * 2.0
"""
IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def write_net(project):
    """Writes a model and files of every kind, valid and broken."""
    project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    np.savez(
        project.root / "arrays.npz", a=np.array([1, 2], np.float32), b=np.array([3], np.float32)
    )
    np.savez(project.root / "one.npz", np.array([5], np.float32))
    np.save(project.root / "array.npy", np.array([7, 8], np.float32))
    np.savez(project.root / "pickled.npz", a=np.array([{}], dtype=object))
    project.write("values.json", json.dumps([1.5, 2.5]))
    project.write("broken.json", "[1,")
    project.write("words.txt", "to be\nor not\n")
    (project.root / "latin.txt").write_bytes("gr\u00fc\u00df".encode("latin-1"))
    project.write("broken.png", "no image")
    (project.root / "image.png").write_bytes(tf.io.encode_png(IMAGE).numpy())
    return project
