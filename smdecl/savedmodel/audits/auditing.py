"""The audit of stage 6: finds what causes trouble in serving, in the bytes of a SavedModel.

Each rule is a row of `RULES`. `scripts/generate.py` writes the rows into the schema, the built-in
configs and the docs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from smdecl.savedmodel.audits import (
    absolute_paths,
    missing_ops,
    outside_ops,
    pinned_devices,
    random_ops,
    unused_inputs,
)
from smdecl.savedmodel.audits.audit_subject import Subject, place
from smdecl.savedmodel.functions import saved_functions
from smdecl.savedmodel.protos import SavedModel
from smdecl.savedmodel.records import Finding

_LARGE_CONSTANT = 1 << 20  # bytes
_COLLECTIVE_OPS = ("Collective", "Nccl", "TPUReplicate")
_REPLICA = re.compile(r"(^|/)replica_[1-9]\d*/")
_UNTRACED = (
    "was never traced, so it cannot be called after loading;"
    " give it a signature or an input_signature"
)


@dataclass(frozen=True)
class Rule:
    """An audit rule.

    Attributes:
        name: The key of its level in the group `audit`.
        level: Its default level. None means error if no signature is declared, else warn.
        finds: What it finds, in Markdown.
        mend: How to fix that, in Markdown.
        find: Yields its findings.
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
    """Returns the findings of all rules that are not off, in the order of the rules.

    Args:
        message: The SavedModel.
        levels: Rule to its level: error, warn, off, or None if the signatures decide. A rule that
            is absent applies.
        consumer: The oldest TensorFlow release that must load it; None if there is none.
        providers: Op to the entry of the project's custom_ops that registers it.
    """
    subject = Subject(message.meta_graphs[0], providers or {}, consumer)
    applied = [rule for rule in RULES if levels.get(rule.name) != "off"]
    return tuple(
        itertools.chain.from_iterable(rule.find(subject) for rule in applied)
    )


def _strategy(subject: Subject) -> Iterator[Finding]:
    # Building or tracing under a strategy leaves no trace in the bytes, except for these.
    for node in subject.graph.object_graph_def.nodes:
        components = node.variable.experimental_distributed_variable_components
        if components:
            devices = ", ".join(component.device for component in components)
            message = (
                f"is saved per replica of a tf.distribute strategy: {devices}"
            )
            yield Finding("strategy", node.variable.name, message)
    for function, node in subject.nodes():
        if node.op.startswith(_COLLECTIVE_OPS):
            message = f"{node.op} waits for the other replicas of a tf.distribute strategy"
            yield Finding("strategy", place(function, node), message)
        elif function and node.device and _REPLICA.search(node.name):
            replica = "an additional replica of a tf.distribute strategy"
            message = f"runs for {replica}, on {node.device}"
            yield Finding("strategy", place(function, node), message)


def _ops(
    rule: str, ops: tuple[str, ...], message: str
) -> Callable[[Subject], Iterator[Finding]]:
    """Returns the `find` of a rule for ops. Its messages are the op's name and `message`."""

    def find(subject: Subject) -> Iterator[Finding]:
        for function, node in subject.nodes():
            if node.op in ops:
                yield Finding(
                    rule, place(function, node), f"{node.op} {message}"
                )

    return find


def _large_constants(subject: Subject) -> Iterator[Finding]:
    for function, node in subject.nodes():
        if node.op != "Const":
            continue
        size = node.attr["value"].tensor.ByteSize()
        if size > _LARGE_CONSTANT:
            mebibytes = f"{size / (1 << 20):.1f} MiB"
            message = f"holds {mebibytes} in the graph; make it a tf.Variable"
            yield Finding("large_constants", place(function, node), message)


def _untraced_functions(subject: Subject) -> Iterator[Finding]:
    reported = set()
    for name, function in saved_functions(subject.graph):
        # A function with several names is reported by the first.
        if not function.traces and id(function) not in reported:
            reported.add(id(function))
            yield Finding("untraced_functions", name, _UNTRACED)


# The order of the rules is that of the findings, in configs and in the docs.
RULES = (
    Rule(
        "baked_devices",
        level="error",
        finds="nodes that `tf.device` in the body of a function pins to a device;"
        " a pin to any CPU is a warning at most, because every server has one",
        mend="take `tf.device` out of the function;"
        " use [`devices`](#devices) to choose where the model is built",
        find=pinned_devices.find,
    ),
    Rule(
        "strategy",
        level="warn",
        finds="parts of a `tf.distribute` strategy in the graph:"
        " variables saved per replica, ops that wait for other replicas",
        mend="build the model under the strategy"
        " and leave `options.experimental_variable_policy` at its default;"
        " do not call `strategy.run` in a signature",
        find=_strategy,
    ),
    Rule(
        "py_function",
        level="error",
        finds="`tf.py_function` and `tf.numpy_function`,"
        " which only the process that saved them can run",
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
        finds="absolute paths of files on this machine,"
        " such as a vocabulary in the name of its table",
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
        find=unused_inputs.find,
    ),
    Rule(
        "untraced_functions",
        level=None,
        finds="a `tf.function` on the object without a trace,"
        " which cannot be called after loading",
        mend="give it a signature or an `input_signature`, or delete it",
        find=_untraced_functions,
    ),
    Rule(
        "random_ops",
        level="warn",
        finds="ops that return different values on each call, because of internal state"
        " or of a seed in a variable that the signature changes",
        mend="trace in inference mode, or use `tf.random.stateless_*`"
        " with a seed that is an input",
        find=random_ops.find,
    ),
    Rule(
        "io_ops",
        level="warn",
        finds="ops that read or write files or the network",
        mend="make the bytes an input, or the file an asset",
        find=_ops(
            "io_ops",
            (*outside_ops.FILES, *outside_ops.NETWORK),
            "reads or writes outside the model",
        ),
    ),
    Rule(
        "custom_ops",
        level="warn",
        finds="ops that are not part of TensorFlow",
        mend="list the package or library that registers them"
        " under [`custom_ops`](examples-and-verification.md#custom-ops),"
        " and load it in the server",
        find=missing_ops.find_custom,
    ),
    Rule(
        "consumer",
        level="error",
        finds="ops, and attributes of ops, that an older TensorFlow release lacks",
        mend="see below",
        find=missing_ops.find_newer,
    ),
)
