"""Finds ops that TensorFlow, or the oldest release that must load the graph, lacks."""

from __future__ import annotations

from collections.abc import Iterator

from smdecl.savedmodel.audits import op_sets
from smdecl.savedmodel.audits.audit_subject import Subject, place
from smdecl.savedmodel.inspection import all_nodes
from smdecl.savedmodel.records import Finding

# TensorFlow's own ops that the table omits: those that tf.function rewrites to, those of XLA, and
# the one that calibrates a quantization.
_HIDDEN_OPS = ("_", "Xla", "TPU", "DTensor", "CustomAggregator")
_NO_PROVIDER = (
    "the server must load what registers it; name that package or library under"
    " custom_ops in [tool.smdecl] of the project's pyproject.toml"
)


def find_custom(subject: Subject) -> Iterator[Finding]:
    """Yields the first node of each op that is not TensorFlow's own."""
    known = _functions(subject)
    for function, node in subject.nodes():
        if node.op in known or node.op.startswith(_HIDDEN_OPS):
            continue
        if op_sets.has(node.op):
            continue
        known.add(node.op)
        provider = subject.providers.get(node.op)
        hint = _NO_PROVIDER
        if provider:
            hint = (
                f"{provider} registers it, and the server must load that too"
            )
        message = f"{node.op} is not an op of TensorFlow itself: {hint}"
        yield Finding(
            "custom_ops", place(function, node), message, provider=provider
        )


def find_newer(subject: Subject) -> Iterator[Finding]:
    """Yields the first node of each op or attribute that the consumer's release lacks."""
    release = subject.consumer
    if release is None:
        return
    known = {*subject.providers, *_functions(subject)}
    reported = set()
    # Unlike other rules, this one includes the functions that save and restore: the consumer loads
    # them, too.
    for function, node in all_nodes(subject.graph):
        if node.op in known:
            continue
        attributes = frozenset(
            name for name in node.attr if not name.startswith("_")
        )
        missing = op_sets.lacks(release, node.op, attributes)
        if missing is None or missing in reported:
            continue
        reported.add(missing)
        message = f"TensorFlow {release} lacks {missing}"
        yield Finding("consumer", place(function, node), message)


def _functions(subject: Subject) -> set[str]:
    """Returns the names of the graph's functions; a node may call one as its op."""
    library = subject.graph.graph_def.library
    return {function.signature.name for function in library.function}
