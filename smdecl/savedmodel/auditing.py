"""The audit of stage 6: looks in the bytes of a SavedModel for what makes trouble where it is served.

Each rule is a row of `RULES`. What a row says of its rule, `scripts/generate.py` writes into the schema, the built-in
configs and the docs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from smdecl.names import CALLS
from smdecl.savedmodel import (
    absolute_paths,
    op_sets,
    outside_ops,
    pinned_devices,
    random_ops,
)
from smdecl.savedmodel.audit_subject import Subject, place
from smdecl.savedmodel.dataflow import Functions, source
from smdecl.savedmodel.functions import saved_functions
from smdecl.savedmodel.inspection import all_nodes
from smdecl.savedmodel.protos import NodeDef, SavedModel
from smdecl.savedmodel.records import Finding

_LARGE_CONSTANT = 1 << 20  # bytes
# TensorFlow's own that the table leaves out: what tf.function rewrites to, XLA's, and what calibrates a quantization.
_HIDDEN_OPS = ("_", "Xla", "TPU", "DTensor", "CustomAggregator")
_COLLECTIVE_OPS = ("Collective", "Nccl", "TPUReplicate")
_REPLICA = re.compile(r"(^|/)replica_[1-9]\d*/")


@dataclass(frozen=True)
class Rule:
    """An audit rule.

    Attributes:
        name: The key of its level in the group `audit`.
        level: Its level if no config sets one; None means error if no signature is declared, and warn otherwise.
        finds: What it finds, in Markdown.
        mend: How to mend that, in Markdown.
        find: Yields what it finds.
    """

    name: str
    level: Literal["error", "warn"] | None
    finds: str
    mend: str
    find: Callable[[Subject], Iterator[Finding]]


def audit(
    message: SavedModel,
    levels: Mapping[str, str | None],
    consumer: str | None = None,
    providers: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """Returns the findings of every rule that is not off, in the order of the rules.

    Args:
        message: The SavedModel.
        levels: Rule to its level: error, warn, off, or None if the signatures decide. A rule without a level applies.
        consumer: The oldest TensorFlow release that has to load it; None if the config names none.
        providers: Op to the entry of the project's custom_ops that registers it.
    """
    subject = Subject(message.meta_graphs[0], providers or {}, consumer)
    applied = [rule for rule in RULES if levels.get(rule.name) != "off"]
    return tuple(finding for rule in applied for finding in rule.find(subject))


def _strategy(subject: Subject) -> Iterator[Finding]:
    # Building under a strategy, or tracing under one, leaves nothing in the bytes; these do.
    for node in subject.graph.object_graph_def.nodes:
        if components := node.variable.experimental_distributed_variable_components:
            devices = ", ".join(component.device for component in components)
            message = f"is saved once a replica of a tf.distribute strategy: {devices}"
            yield Finding("strategy", node.variable.name, message)
    for function, node in subject.nodes():
        if node.op.startswith(_COLLECTIVE_OPS):
            message = (
                f"{node.op} waits for the other replicas of a tf.distribute strategy"
            )
            yield Finding("strategy", place(function, node), message)
        elif function and node.device and _REPLICA.search(node.name):
            message = f"runs for a further replica of a tf.distribute strategy, on {node.device}"
            yield Finding("strategy", place(function, node), message)


def _ops(
    rule: str, ops: tuple[str, ...], message: str
) -> Callable[[Subject], Iterator[Finding]]:
    """Returns the finding function of a rule for ops: the message goes on from the name of the op."""

    def find(subject: Subject) -> Iterator[Finding]:
        for function, node in subject.nodes():
            if node.op in ops:
                yield Finding(rule, place(function, node), f"{node.op} {message}")

    return find


def _large_constants(subject: Subject) -> Iterator[Finding]:
    for function, node in subject.nodes():
        size = node.attr["value"].tensor.ByteSize() if node.op == "Const" else 0
        if size > _LARGE_CONSTANT:
            message = (
                f"holds {size / (1 << 20):.1f} MiB in the graph; make it a tf.Variable"
            )
            yield Finding("large_constants", place(function, node), message)


def _unused_inputs(subject: Subject) -> Iterator[Finding]:
    functions = Functions(subject.graph.graph_def.library)
    calls = {
        node.name: node for node in subject.graph.graph_def.node if node.op in CALLS
    }
    positions: dict[str, Mapping[str, list[int]]] = {}
    for key, signature in subject.graph.signature_def.items():
        # Every output of a signature comes from one call of the function that was traced for it.
        outputs = [tensor.name.partition(":") for tensor in signature.outputs.values()]
        call = next((calls[name] for name, _, _ in outputs if name in calls), None)
        if call is None:
            continue
        needed = functions.needed(
            call, [int(index or 0) for name, _, index in outputs if name == call.name]
        )
        if call.name not in positions:
            positions[call.name] = _positions(call)
        for name, tensor in sorted(signature.inputs.items()):
            given = positions[call.name].get(source(tensor.name), ())
            if given and needed.isdisjoint(given):
                yield Finding(
                    "unused_inputs",
                    f"signatures.{key}.inputs.{name}",
                    "no output depends on it",
                )


def _positions(call: NodeDef) -> Mapping[str, list[int]]:
    """Returns the positions at which a call takes something from each node."""
    found = defaultdict[str, list[int]](list)
    for position, reference in enumerate(call.input):
        found[source(reference)].append(position)
    return found


_UNTRACED = "was never traced: nobody can call it after loading; give it a signature, or an input_signature"


def _untraced_functions(subject: Subject) -> Iterator[Finding]:
    told = set()
    for name, function in saved_functions(subject.graph):
        if (
            not function.traces and id(function) not in told
        ):  # by its first name, of several that lead to it
            told.add(id(function))
            yield Finding("untraced_functions", name, _UNTRACED)


def _custom_ops(subject: Subject) -> Iterator[Finding]:
    known = {
        function.signature.name for function in subject.graph.graph_def.library.function
    }
    for function, node in subject.nodes():
        if node.op in known or op_sets.has(node.op) or node.op.startswith(_HIDDEN_OPS):
            continue
        known.add(node.op)  # one finding for each op says all
        provider = subject.providers.get(node.op)
        has = (
            f"{provider} registers it, and the server must load that too"
            if provider
            else _NO_PROVIDER
        )
        message = f"{node.op} is not an op of TensorFlow itself: {has}"
        yield Finding("custom_ops", place(function, node), message, provider=provider)


_NO_PROVIDER = (
    "the server must load what registers it; name that package or library under custom_ops in [tool.smdecl] of the"
    " project's pyproject.toml"
)


def _consumer(subject: Subject) -> Iterator[Finding]:
    release = subject.consumer
    if release is None:
        return
    known = {
        *subject.providers,
        *(
            function.signature.name
            for function in subject.graph.graph_def.library.function
        ),
    }
    told = set()
    for function, node in all_nodes(
        subject.graph
    ):  # what saves and restores is loaded by the consumer too
        attributes = frozenset(name for name in node.attr if not name.startswith("_"))
        if (
            node.op in known
            or not (missing := op_sets.lacks(release, node.op, attributes))
            or missing in told
        ):
            continue
        told.add(missing)
        yield Finding(
            "consumer", place(function, node), f"TensorFlow {release} lacks {missing}"
        )


# The order of the rules is that of the findings, in configs and in the docs.
RULES = (
    Rule(
        "baked_devices",
        level="error",
        finds="nodes that `tf.device` in the body of a function pins to a device; a pin to any CPU is a warning at"
        " most, because every server has one",
        mend="take `tf.device` out of the function; use [`devices`](#devices) to choose where the model is built",
        find=pinned_devices.find,
    ),
    Rule(
        "strategy",
        level="warn",
        finds="what a `tf.distribute` strategy leaves in the graph: variables saved per replica, ops that wait for"
        " other replicas",
        mend="build the model under the strategy and leave `options.experimental_variable_policy` at its default; do"
        " not call `strategy.run` in a signature",
        find=_strategy,
    ),
    Rule(
        "py_function",
        level="error",
        finds="`tf.py_function` and `tf.numpy_function`, which only the process that saved them can run",
        mend="write the computation with TensorFlow ops",
        find=_ops(
            "py_function",
            outside_ops.PYTHON,
            "runs Python, which only the process that saved it has",
        ),
    ),
    Rule(
        "absolute_paths",
        level="warn",
        finds="absolute paths of files on this machine, such as a vocabulary in the name of its table",
        mend="give the table a `tf.saved_model.Asset`, or a path relative to the project",
        find=absolute_paths.find,
    ),
    Rule(
        "large_constants",
        level="warn",
        finds="constants of more than 1 MiB, which are copied into the graph",
        mend="keep the values in a `tf.Variable`",
        find=_large_constants,
    ),
    Rule(
        "unused_inputs",
        level="error",
        finds="inputs that no output depends on",
        mend="remove the input from the signature, or use it",
        find=_unused_inputs,
    ),
    Rule(
        "untraced_functions",
        level=None,
        finds="a `tf.function` on the object without a trace, which cannot be called after loading",
        mend="give it a signature or an `input_signature`, or delete it",
        find=_untraced_functions,
    ),
    Rule(
        "random_ops",
        level="warn",
        finds="ops that return different values at each call, by their own state or by a seed in a variable that the"
        " signature changes",
        mend="trace in inference; use `tf.random.stateless_*` with a seed that is an input",
        find=random_ops.find,
    ),
    Rule(
        "io_ops",
        level="warn",
        finds="ops that read or write files or the network",
        mend="take the bytes as an input; make the file an asset",
        find=_ops(
            "io_ops",
            (*outside_ops.FILES, *outside_ops.NETWORK),
            "reads or writes outside of the model",
        ),
    ),
    Rule(
        "custom_ops",
        level="warn",
        finds="ops that TensorFlow itself does not have",
        mend="declare what registers them under [`custom_ops`](examples-and-verification.md#custom-ops), and load it"
        " in the server",
        find=_custom_ops,
    ),
    Rule(
        "consumer",
        level="error",
        finds="ops, and attributes of ops, that an older TensorFlow release lacks",
        mend="see below",
        find=_consumer,
    ),
)
