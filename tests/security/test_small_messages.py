"""An attacker writes messages of two bytes that take a hundred bytes of memory each."""

import pytest

from tests.security import hostile
from tests.security.bounds import done, refused


def test_more_graphs_than_any_file_has_are_refused(limited, tmp_path):
    message, _, _ = hostile.saved_model()
    net = hostile.write(message, tmp_path)
    graphs = b"\x12\x00" * 500_000  # the tag of a MetaGraphDef, and its length
    (net / "saved_model.pb").write_bytes(graphs)

    for outcome in (limited("inspect", net), limited("diff", net, net)):
        assert "contains 500000 MetaGraphDefs; expected at most 10000" in refused(outcome)


@pytest.mark.slow
def test_many_small_nodes_are_described_and_compared(limited, tmp_path):
    message, graph, _ = hostile.saved_model()
    for number in range(500_000):
        graph.graph_def.node.add(name=f"{number:x}")
    net = hostile.write(message, tmp_path)

    assert "saved by TensorFlow" in done(limited("inspect", net))
    assert done(limited("diff", net, net)).startswith("same")
