"""Seeds the random generators of Python, NumPy and TensorFlow."""

from __future__ import annotations

import random

import numpy as np
import tensorflow as tf


def seed_generators(seed: int) -> None:
    """Seeds every global generator that a model may draw from, so that its draws repeat."""
    random.seed(seed)
    np.random.seed(seed)  # the global generator, because models use it
    tf.random.set_seed(seed)
    _seed_tensorflow_generators(seed)


def _seed_tensorflow_generators(seed: int) -> None:
    """Makes `tf.random.Generator.from_non_deterministic_state` draw its seeds from `seed`.

    TensorFlow creates its global generator from the machine's entropy on first use. Creating it
    here instead would start the runtime, and then a model could no longer configure its devices.
    """
    seeds = random.Random(seed)

    def from_seed(alg: str | None = None) -> tf.random.Generator:
        return tf.random.Generator.from_seed(seeds.getrandbits(63), alg)

    tf.random.Generator.from_non_deterministic_state = from_seed
