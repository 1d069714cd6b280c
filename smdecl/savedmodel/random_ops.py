"""Finds ops that return different values at each call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from smdecl.names import LEGACY_KERAS_FUNCTIONS
from smdecl.savedmodel import seeds
from smdecl.savedmodel.audit_subject import Subject, place
from smdecl.savedmodel.protos import MetaGraphDef, NodeDef
from smdecl.savedmodel.records import Finding

_RANDOM = (
    "AllCandidateSampler", "AnonymousRandomSeedGenerator", "AnonymousSeedGenerator", "FixedUnigramCandidateSampler",
    "FractionalAvgPool", "FractionalMaxPool", "LearnedUnigramCandidateSampler", "LogUniformCandidateSampler",
    "Multinomial", "NonDeterministicInts", "ParameterizedTruncatedNormal", "RandomCrop", "RandomDataset",
    "RandomDatasetV2", "RandomGamma", "RandomPoisson", "RandomPoissonV2", "RandomShuffle", "RandomStandardNormal",
    "RandomUniform", "RandomUniformInt", "RngReadAndSkip", "RngSkip", "SampleDistortedBoundingBox",
    "SampleDistortedBoundingBoxV2", "ShuffleAndRepeatDataset", "ShuffleAndRepeatDatasetV2", "ShuffleDataset",
    "ShuffleDatasetV2", "ShuffleDatasetV3", "StatefulRandomBinomial", "StatefulStandardNormal",
    "StatefulStandardNormalV2", "StatefulTruncatedNormal", "StatefulUniform", "StatefulUniformFullInt",
    "StatefulUniformInt", "ThreadUnsafeUnigramCandidateSampler", "TruncatedNormal", "UniformCandidateSampler",
)  # fmt: skip


def find(subject: Subject) -> Iterator[Finding]:
    """Yields the ops that draw by their own state, then those whose seed each call changes."""
    unserved = _training_traces(subject.graph)
    for function, node in subject.nodes():
        if node.op in _RANDOM and function not in unserved:
            yield Finding(
                "random_ops",
                place(function, node),
                f"{node.op} returns different values on each call",
            )
    for draw in seeds.draws(subject.graph):
        message = f"{draw.node.op} uses a seed in a variable that each call changes"
        yield Finding("random_ops", place(draw.function, draw.node), message)


def _training_traces(graph: MetaGraphDef) -> set[str]:
    """Returns the functions that only the layers of tf_keras call, which export themselves as trained and as served.

    A signature has functions of its own.
    """
    called = {
        function.signature.name: _callees(function.node_def)
        for function in graph.graph_def.library.function
    }
    objects = graph.object_graph_def.nodes
    layers = [
        node for node in objects if node.user_object.identifier.startswith("_tf_keras_")
    ]
    # What a release offers as a model's `__call__` hides Keras's own there, but not in `keras_api`.
    apis = [
        objects[child.node_id]
        for layer in layers
        for child in layer.children
        if child.local_name == "keras_api"
    ]
    held = [child for holder in (*layers, *apis) for child in holder.children]
    children = [child for child in held if child.local_name in LEGACY_KERAS_FUNCTIONS]
    roots = {
        name
        for child in children
        for name in objects[child.node_id].function.concrete_functions
    }
    others = _callees(graph.graph_def.node)
    for node in objects:
        others |= {
            *node.function.concrete_functions,
            node.bare_concrete_function.concrete_function_name,
        } - roots
    return _reached(called, roots) - _reached(called, others)


def _callees(nodes: Iterable[NodeDef]) -> set[str]:
    values = [value for node in nodes for value in node.attr.values()]
    return {
        function.name for value in values for function in (value.func, *value.list.func)
    }


def _reached(called: Mapping[str, set[str]], roots: Iterable[str]) -> set[str]:
    pending, found = [name for name in roots if name in called], set[str]()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += called[name] & called.keys()
    return found
