"""An attacker writes a small graph that costs a reader minutes or all memory."""

import pytest
from smdecl.savedmodel.protos import saved_model_pb2

from tests.security import hostile
from tests.security.bounds import done, refused


def test_one_trace_that_a_function_lists_many_times_is_one(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    hostile.trace(objects, "t", 2)
    hostile.function(objects, "f", ["t"] * 30_000)
    net = hostile.write(message, tmp_path / "net")

    assert done(limited("inspect", net)).count("(0: float32 [2])") == 1
    assert done(limited("diff", net, net)).startswith("same")


def test_many_functions_that_share_all_traces_are_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    names = [f"t{number}" for number in range(500)]
    for name in names:
        hostile.trace(objects, name, 2)
    for number in range(2000):
        hostile.function(objects, f"f{number}", names)

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "bytes of traces that several functions share: more than" in found


def test_many_names_of_a_function_with_many_traces_are_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    names = [f"t{number}" for number in range(500)]
    for name in names:
        hostile.trace(objects, name, 2)
    function = hostile.function(objects, "f", names)
    for number in range(900):
        objects.nodes[0].children.add(local_name=f"a{number}", node_id=function)

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "traces of its functions: more than" in found


def test_a_large_trace_that_many_functions_share_is_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    inputs = (
        hostile.trace(objects, "t")
        .canonicalized_input_signature.tuple_value.values[0]
        .tuple_value.values
    )
    for _ in range(20_000):
        inputs.add().none_value.SetInParent()
    for number in range(200):
        hostile.function(objects, f"f{number}", ["t"])

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "bytes of traces that several functions share: more than" in found


def test_a_long_chain_of_objects_is_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    parent = 0
    for _ in range(60_000):
        parent = hostile.child(objects, parent, "x")
        objects.nodes[parent].variable.dtype = hostile.FLOAT

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "characters in the names of its objects: more than" in found


def test_many_names_of_an_object_with_many_children_are_bounded(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    shared = hostile.child(objects, 0, "shared")
    hostile.trace(objects, "t")
    hostile.function(objects, "f", ["t"], parent=shared)
    for number in range(30_000):
        hostile.child(objects, shared, f"v{number}")
    for number in range(1500):
        objects.nodes[0].children.add(local_name=f"a{number}", node_id=shared)

    assert "function shared.f" in done(limited("inspect", hostile.write(message, tmp_path)))


def test_a_nest_whose_places_have_long_names_is_refused(limited, tmp_path):
    message, _, objects = hostile.saved_model()
    hostile.function(objects, "f", ["t"])
    keywords = (
        hostile.trace(objects, "t").canonicalized_input_signature.tuple_value.values[1].dict_value
    )
    values = keywords.fields["x" * 100_000].list_value.values
    for _ in range(50_000):
        values.add().none_value.SetInParent()

    found = refused(limited("inspect", hostile.write(message, tmp_path)))
    assert "characters in the places of arguments and results: more than" in found


def test_traces_of_other_shapes_are_compared_in_bounds(limited, tmp_path):
    for name, first in (("a", 1), ("b", 10_000)):
        message, _, objects = hostile.saved_model()
        names = [f"t{number}" for number in range(1200)]
        for number, each in enumerate(names):
            hostile.trace(objects, each, first + number)
        hostile.function(objects, "f", names)
        hostile.write(message, tmp_path / name)

    found = refused(limited("diff", tmp_path / "a", tmp_path / "b"))
    assert "pairs of tensors in their traces: more than" in found
    assert done(limited("diff", tmp_path / "a", tmp_path / "a")).startswith("same")


def test_many_new_traces_are_reported(limited, tmp_path):
    for name, kind in (("a", "x"), ("b", "y")):
        message, _, objects = hostile.saved_model()
        names = [f"t{number}" for number in range(1000)]
        for number, each in enumerate(names):
            arguments = hostile.trace(
                objects, each, 2
            ).canonicalized_input_signature.tuple_value.values
            arguments[0].tuple_value.values.add().string_value = f"{kind}{number}"
        hostile.function(objects, "f", names)
        hostile.write(message, tmp_path / name)

    found = done(limited("diff", tmp_path / "a", tmp_path / "b"))
    assert found.count("can no longer be called as") == found.count("can now be called as") == 1000


def test_many_renamed_inputs_are_compared(limited, tmp_path):
    for name in ("a", "b"):
        message, graph, _ = hostile.saved_model()
        inputs = [f"{name}{number}" for number in range(3000)]
        hostile.signature(graph, "alike", inputs)
        hostile.signature(graph, "unlike", inputs, **{each: int(each[1:]) for each in inputs})
        for number in range(3000):
            hostile.signature(graph, f"{name}{number}", [f"x{number}"])
        hostile.write(message, tmp_path / name)

    found = done(limited("diff", tmp_path / "a", tmp_path / "b"))
    assert found.count("was renamed to") == 6000
    assert found.count("was removed") == 3000


def test_many_graphs_are_compared(limited, tmp_path):
    for name in ("a", "b"):
        message = saved_model_pb2.SavedModel()
        for number in range(4000):
            message.meta_graphs.add().meta_info_def.tags.append(f"{name}{number}")
        hostile.write(message, tmp_path / name)

    assert (
        done(limited("diff", tmp_path / "a", tmp_path / "b")).count("the graph was removed") == 4000
    )


def test_a_graph_without_tags_is_described(limited, tmp_path):
    message, graph, _ = hostile.saved_model()
    graph.meta_info_def.ClearField("tags")

    assert "tags -" in done(limited("inspect", hostile.write(message, tmp_path)))


def test_nodes_of_a_function_with_a_long_name_are_compared(limited, tmp_path):
    for name in ("a", "b"):
        message, graph, _ = hostile.saved_model()
        function = graph.graph_def.library.function.add()
        function.signature.name = "f" * 200_000
        for number in range(20_000):
            function.node_def.add(name=f"{name}{number}", op="NoOp")
        hostile.write(message, tmp_path / name)

    found = done(limited("diff", tmp_path / "a", tmp_path / "b"))
    assert "19997 more removed" in found
    assert len(found) < 10_000


def test_functions_that_call_themselves_or_each_other_in_a_long_chain_are_compared(
    limited, tmp_path
):
    for name in ("a", "b"):
        message, graph, _ = hostile.saved_model()
        for number in range(10_000):
            function = graph.graph_def.library.function.add()
            function.signature.name = f"f_{number}"
            called = f"f_{number if name == 'a' else number + 1}"
            function.node_def.add(name="call", op="PartitionedCall").attr["f"].func.name = called
        hostile.write(message, tmp_path / name)

    assert "nodes" in done(limited("diff", tmp_path / "a", tmp_path / "b"))
    done(limited("inspect", tmp_path / "a"))


def test_a_number_of_thousands_of_digits_in_the_name_of_a_function_is_a_name(limited, tmp_path):
    message, graph, _ = hostile.saved_model()
    graph.graph_def.library.function.add().signature.name = "f_" + "1" * 5000
    hostile.write(message, tmp_path)

    assert done(limited("diff", tmp_path, tmp_path)).startswith("same")


def nested_text(depth):
    inner = "none_value {}"
    for _ in range(depth):
        inner = f"list_value {{ values {{ {inner} }} }}"
    traces = f'concrete_functions {{ key: "t" value {{ output_signature {{ {inner} }} }} }}'
    function = 'nodes { function { concrete_functions: "t" } }'
    root = 'nodes { children { node_id: 1 local_name: "f" } }'
    return f'meta_graphs {{ meta_info_def {{ tags: "serve" }} object_graph_def {{ {root} {function} {traces} }} }}'


@pytest.mark.parametrize("depth", [60, 150, 5000])
def test_deep_nests_in_a_model_of_text_are_refused(limited, tmp_path, depth):
    (tmp_path / "saved_model.pbtxt").write_text(nested_text(depth))

    assert "as a SavedModel" in refused(limited("inspect", tmp_path))
    assert "as a SavedModel" in refused(limited("diff", tmp_path, tmp_path))


def test_a_nest_as_deep_as_a_message_may_be_is_read(limited, tmp_path):
    (tmp_path / "saved_model.pbtxt").write_text(nested_text(20))

    assert limited("diff", tmp_path, tmp_path).exit_code in (0, 4)
    assert limited("inspect", tmp_path).exit_code in (0, 4)
