"""Finds ops that return different values on each call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from smdecl.names import LEGACY_KERAS_FUNCTIONS
from smdecl.savedmodel.audits import seeds
from smdecl.savedmodel.audits.audit_subject import Subject, place
from smdecl.savedmodel.protos import MetaGraphDef, NodeDef, functions_of
from smdecl.savedmodel.records import Finding

_RANDOM = (
    "AllCandidateSampler", "AnonymousRandomSeedGenerator", "AnonymousSeedGenerator",
    "FixedUnigramCandidateSampler", "FractionalAvgPool", "FractionalMaxPool",
    "LearnedUnigramCandidateSampler", "LogUniformCandidateSampler", "Multinomial",
    "NonDeterministicInts", "ParameterizedTruncatedNormal", "RandomCrop", "RandomDataset",
    "RandomDatasetV2", "RandomGamma", "RandomPoisson", "RandomPoissonV2", "RandomShuffle",
    "RandomStandardNormal", "RandomUniform", "RandomUniformInt", "RngReadAndSkip", "RngSkip",
    "SampleDistortedBoundingBox", "SampleDistortedBoundingBoxV2", "ShuffleAndRepeatDataset",
    "ShuffleAndRepeatDatasetV2", "ShuffleDataset", "ShuffleDatasetV2", "ShuffleDatasetV3",
    "StatefulRandomBinomial", "StatefulStandardNormal", "StatefulStandardNormalV2",
    "StatefulTruncatedNormal", "StatefulUniform", "StatefulUniformFullInt", "StatefulUniformInt",
    "ThreadUnsafeUnigramCandidateSampler", "TruncatedNormal", "UniformCandidateSampler",
)  # fmt: skip


def find(subject: Subject) -> Iterator[Finding]:
    """Yields the ops whose generator has a state, then those whose seed each call changes."""
    unserved = _training_functions(subject.graph)
    for function, node in subject.nodes():
        if node.op in _RANDOM and function not in unserved:
            message = f"{node.op} returns different values on each call"
            yield Finding("random_ops", place(function, node), message)
    for draw in seeds.draws(subject.graph):
        message = (
            f"{draw.node.op} uses a seed in a variable that each call changes"
        )
        yield Finding("random_ops", place(draw.function, draw.node), message)


def _training_functions(graph: MetaGraphDef) -> set[str]:
    """Returns the functions that only layers of tf_keras call.

    tf_keras saves its layers' functions for training, which no signature calls.
    """
    called = {
        function.signature.name: _functions(function.node_def)
        for function in graph.graph_def.library.function
    }
    of_layers = _functions_of_layers(graph)
    others = _functions(graph.graph_def.node)
    for node in graph.object_graph_def.nodes:
        traces = {
            *node.function.concrete_functions,
            node.bare_concrete_function.concrete_function_name,
        }
        others |= traces - of_layers
    return _reached(called, of_layers) - _reached(called, others)


def _functions_of_layers(graph: MetaGraphDef) -> set[str]:
    """Returns the traces that tf_keras saves of its layers."""
    objects = graph.object_graph_def.nodes
    layers = [
        node
        for node in objects
        if node.user_object.identifier.startswith("_tf_keras_")
    ]
    # What a release exposes as a model's `__call__` hides Keras's function there, but not in
    # `keras_api`.
    holders = list(layers)
    for layer in layers:
        for child in layer.children:
            if child.local_name == "keras_api":
                holders.append(objects[child.node_id])
    traces: set[str] = set()
    for holder in holders:
        for child in holder.children:
            if child.local_name in LEGACY_KERAS_FUNCTIONS:
                traces.update(
                    objects[child.node_id].function.concrete_functions
                )
    return traces


def _functions(nodes: Iterable[NodeDef]) -> set[str]:
    """Returns the names of the functions that nodes run."""
    found: set[str] = set()
    for node in nodes:
        for value in node.attr.values():
            found.update(function.name for function in functions_of(value))
    return found


def _reached(called: Mapping[str, set[str]], roots: Iterable[str]) -> set[str]:
    """Returns the functions among `roots` and all that they call, directly or not."""
    pending = [name for name in roots if name in called]
    found = set[str]()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += called[name] & called.keys()
    return found
