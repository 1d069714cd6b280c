"""The audit takes linear time, however functions, loops and signatures are nested and shared."""

import sys

import pytest
from smdecl.savedmodel.audits import auditing, reaching
from smdecl.savedmodel.protos import saved_model_pb2

ON = ("unused_inputs", "random_ops")
DEPTH = 20
LEVELS = {rule.name: "error" if rule.name in ON else "off" for rule in auditing.RULES}


def new():
    message = saved_model_pb2.SavedModel()
    return message, message.meta_graphs.add()


def function(graph, name, arguments, **returns):
    added = graph.graph_def.library.function.add()
    added.signature.name = name
    for argument in arguments:
        added.signature.input_arg.add(name=argument)
    for output, reference in returns.items():
        added.signature.output_arg.add(name=output)
        added.ret[output] = reference
    return added.node_def


def node(nodes, name, op, *inputs, **functions):
    added = nodes.add(name=name, op=op, input=inputs)
    for attribute, called in functions.items():
        added.attr[attribute].func.name = called


def signature(graph, called, inputs, output=0, key="s"):
    """Adds a signature that returns an output of a function; the graph has one call of each function."""
    nodes = graph.graph_def.node
    known = {each.name for each in nodes}
    for name in inputs:
        if name not in known:
            node(nodes, name, "VarHandleOp" if name == "seed" else "Placeholder")
    if called not in known:
        node(nodes, called, "StatefulPartitionedCall", *inputs, f=called)
    for name in inputs:
        graph.signature_def[key].inputs[name].name = f"{name}:0"
    graph.signature_def[key].outputs["y"].name = f"{called}:{output}"


def calls_that_take_other_outputs(n):
    message, graph = new()
    heads = {f"o{number}": f"h{number}:z:0" for number in range(n)}
    nodes = function(graph, "f", ["x", "y"], **heads)
    node(nodes, "t0", "Relu", "x")
    for number in range(1, n):
        node(nodes, f"t{number}", "Relu", f"t{number - 1}:z:0")
    for number in range(n):
        node(nodes, f"h{number}", "Neg", f"t{n - 1}:z:0")
    outer = function(graph, "outer", ["x", "y"], o=f"c{n - 1}:output:{n - 1}")
    node(outer, "c0", "PartitionedCall", "x", "y", f="f")
    for number in range(1, n):
        node(
            outer, f"c{number}", "PartitionedCall", f"c{number - 1}:output:{number - 1}", "y", f="f"
        )
    signature(graph, "outer", ["x", "y"])
    return message


def signatures_that_take_other_outputs(n):
    message, graph = new()
    heads = {f"o{number}": f"t{number}:z:0" for number in range(n)}
    variables = [f"v{number}" for number in range(n)]
    nodes = function(graph, "f", ["x", "y", *variables], **heads)
    node(nodes, "t0", "Relu", "x")
    for number in range(1, n):
        node(nodes, f"t{number}", "AddV2", f"t{number - 1}:z:0", f"v{number}")
    for name in variables:
        node(graph.graph_def.node, name, "Placeholder")
    node(graph.graph_def.node, "f", "PartitionedCall", "x", "y", *variables, f="f")
    for number in range(n):
        signature(graph, "f", ["x", "y"], number, key=f"s{number}")
    return message


def loop_that_shifts_its_variables(n):
    message, graph = new()
    names = [f"a{number}" for number in range(n)]
    shifted = {f"o{number}": names[max(number - 1, 0)] for number in range(n)}
    function(graph, "cond", [*names, "y"], o="a0")
    function(graph, "body", [*names, "y"], **shifted, o="y")
    nodes = function(graph, "f", [*names, "y"], o=f"w:output:{n - 1}")
    node(nodes, "w", "While", *names, "y", cond="cond", body="body")
    signature(graph, "f", [*names, "y"])
    return message


def nested_branches(n):
    message, graph = new()
    function(graph, "f0", ["c", "x", "y"], o="x")
    for number in range(1, DEPTH):
        nodes = function(graph, f"f{number}", ["c", "x", "y"], o=f"i{n - 1}:output:0")
        node(nodes, "i0", "Identity", "x")
        for inner in range(1, n):
            below = f"f{number - 1}"
            given = f"i{inner - 1}:output:0"
            node(
                nodes, f"i{inner}", "If", "c", "c", given, "y", then_branch=below, else_branch=below
            )
    signature(graph, f"f{DEPTH - 1}", ["c", "x", "y"])
    return message


def node_of_many_outputs(n):
    message, graph = new()
    nodes = function(graph, "f", ["x", "y"], o="p:output:0")
    node(nodes, "s", "IdentityN", *["x"] * n)
    node(nodes, "p", "Pack", *[f"s:output:{number}" for number in range(n)])
    signature(graph, "f", ["x", "y"])
    return message


def draw(nodes, name, seed, shape="x"):
    node(nodes, name, "StatelessRandomNormal", shape, seed)


def draws_from_each_other(n):
    message, graph = new()
    nodes = function(graph, "f", ["x", "seed"], o=f"d{n - 1}:output:0")
    node(nodes, "r", "ReadVariableOp", "seed")
    draw(nodes, "d0", "r:value:0")
    for number in range(1, n):
        draw(nodes, f"d{number}", f"d{number - 1}:output:0")
    node(nodes, "w", "AssignVariableOp", "seed", f"d{n - 1}:output:0")
    signature(graph, "f", ["x", "seed"])
    return message


def signatures_that_draw(n):
    message, graph = new()
    for number in range(n):
        nodes = function(graph, f"f{number}", ["x", "seed"], o="d:output:0")
        node(nodes, "r", "ReadVariableOp", "seed")
        draw(nodes, "d", "r:value:0")
        node(nodes, "w", "AssignVariableOp", "seed", "r:value:0")
        signature(graph, f"f{number}", ["x", "seed"], key=f"s{number}")
    return message


def data_set_that_draws_by_many_captures(n):
    message, graph = new()
    captures = [f"s{number}" for number in range(n)]
    mapped = function(graph, "m", captures, o="d:output:0")
    node(mapped, "p", "Pack", *captures)
    draw(mapped, "d", "p:output:0", shape="s0")
    nodes = function(graph, "f", ["x", "seed"], o="map:handle:0")
    node(nodes, "r", "ReadVariableOp", "seed")
    node(nodes, "map", "MapDataset", "x", *["r:value:0"] * n, f="m")
    node(nodes, "w", "AssignVariableOp", "seed", "r:value:0")
    signature(graph, "f", ["x", "seed"])
    return message


def audited(message):
    """Returns the findings and the number of function calls that they took."""
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        findings = auditing.audit(message, LEVELS)
    finally:
        sys.setprofile(None)
    return findings, calls


@pytest.mark.parametrize(("make", "n", "rule", "count"), [
    pytest.param(calls_that_take_other_outputs, 300, "unused_inputs", 1, marks=pytest.mark.slow),
    pytest.param(signatures_that_take_other_outputs, 300, "unused_inputs", 1200, marks=pytest.mark.slow),
    (loop_that_shifts_its_variables, 100, "unused_inputs", 1),
    (nested_branches, 50, "unused_inputs", 1),
    (node_of_many_outputs, 200, "unused_inputs", 1),
    (draws_from_each_other, 100, "random_ops", 400),
    (signatures_that_draw, 100, "random_ops", 400),
    (data_set_that_draws_by_many_captures, 200, "random_ops", 1),
])  # fmt: skip
def test_a_graph_of_four_times_the_size_takes_four_times_the_steps(make, n, rule, count):
    _, few = audited(make(n))
    findings, many = audited(make(4 * n))

    assert many < 8 * few
    assert [finding.rule for finding in findings].count(rule) == count


def test_nodes_in_a_circle_reach_the_same_nodes():
    after = {"a": "b", "b": "cx", "c": "a", "d": "b", "x": "y", "y": "", "e": ""}
    marks = reaching.unions(
        "dea", lambda each: after[each], lambda each: {"c": 1, "y": 2, "d": 4}.get(each, 0)
    )

    assert marks == {"a": 3, "b": 3, "c": 3, "d": 7, "e": 0, "x": 2, "y": 2}
