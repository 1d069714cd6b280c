"""Compares the outputs that a config expects with those that the object in memory computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from smdecl.config.settings import Verify
from smdecl.errors import KeyPath, Problem
from smdecl.exporting.tracing.traced import Traced
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.savedmodel.protos import NodeDef
from smdecl.verification import differences, half_precision


def differing(
    path: KeyPath,
    signature: Traced,
    given: Mapping[str, Array],
    computed: Mapping[str, Array],
    verify: Verify,
) -> Iterator[Problem]:
    """Yields the problem with each output of an example that the object does not return.

    Args:
        path: The key path of the example.
        signature: Its signature.
        given: The outputs that the example expects.
        computed: The outputs of the object.
        verify: The tolerances.
    """
    key = str(path[2])
    for name, expected in given.items():
        rtol, atol = verify.tolerance(key, name)
        value = computed[name]
        message = differences.greatest(
            expected, value, rtol, atol, " in the model in memory"
        )
        if message is None:
            continue
        hint = ""
        if rtol is None and atol is None:
            hint = differences.half_precision_hint(
                (key, name),
                expected,
                value,
                lambda: half_precision.dtype_in(_nodes(signature)),
            )
        problem_path = (*path, "outputs", name)
        yield Problem(problem_path, f"{message.lstrip(' :')}{hint}")


def _nodes(signature: Traced) -> Iterator[NodeDef]:
    graph = signature.function.graph.as_graph_def()
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def
