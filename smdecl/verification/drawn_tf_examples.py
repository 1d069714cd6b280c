"""Generates serialized tf.Examples for the APIs of TensorFlow Serving that send them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from smdecl.checks.signatures import serving_apis
from smdecl.exporting.types import ConcreteFunction
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.verification import looked_up_examples, table_keys, tf_examples
from smdecl.verification.generated_examples import Drawn, draw_dense


def with_tf_examples(
    drawn: Iterable[Drawn],
    function: ConcreteFunction,
    seed: int,
) -> list[Drawn]:
    """Replaces texts by serialized tf.Examples, as an API of TensorFlow Serving sends them.

    Args:
        drawn: Inputs, of which each text becomes a tf.Example.
        function: The function that parses them.
        seed: The seed of their values.
    """
    random = np.random.default_rng(seed)
    features = tf_examples.features(function)
    keys = table_keys.of_features(function, features)
    places = dict.fromkeys(keys, 0)

    def draw_feature(dtype: str, shape: Sequence[int]) -> Array:
        return draw_dense(random, dtype, shape, None)

    replaced = []
    for case in drawn:
        count = case.attempts[0][serving_apis.INPUT].size
        rows = []
        for _ in range(count):
            row = tf_examples.draw(features, draw_feature)
            rows.append(looked_up_examples.attempts(row, keys, {}, places))
            places = looked_up_examples.after(places, row)
        attempts = []
        # All rows have the same features, and so the same number of attempts.
        for batch in zip(*rows, strict=True) if rows else [()]:
            serialized = tf_examples.serialize(features, batch)
            attempts.append({serving_apis.INPUT: serialized})
        replaced.append(Drawn(tuple(attempts), case.has_empty_dim))
    return replaced
