"""An attacker makes a sparse file, directory or name that costs a reader minutes or all memory."""

import json
import subprocess

import pytest

from tests.security import hostile
from tests.security.bounds import GIBIBYTES, RULES, done, refused


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt"])
def test_a_sparse_model_is_not_read(limited, tmp_path, name):
    hostile.sparse(tmp_path / "net" / name, GIBIBYTES)

    assert f"it has {GIBIBYTES} bytes; expected at most" in refused(
        limited("inspect", tmp_path / "net")
    )
    assert "expected at most" in refused(limited("diff", tmp_path / "net", tmp_path / "net"))


def test_a_sparse_index_of_variables_is_not_read(limited, tmp_path):
    hostile.write(hostile.saved_model()[0], tmp_path / "net")
    hostile.sparse(tmp_path / "net/variables/variables.index", GIBIBYTES)

    assert "expected at most" in done(limited("inspect", tmp_path / "net"))  # as damage
    assert "expected at most" in refused(limited("diff", tmp_path / "net", tmp_path / "net"))


def test_a_sparse_manifest_is_not_read(limited, tmp_path):
    release = hostile.release(tmp_path / "1")
    hostile.sparse(release / RULES / "manifest.json", GIBIBYTES)

    assert "expected at most" in refused(limited("manifest", release))


def test_a_sparse_provenance_is_not_read(limited, tmp_path):
    release = hostile.release(tmp_path / "1")
    hostile.sparse(release / RULES / "provenance.json", GIBIBYTES)
    (release / RULES / "model.sig").write_text("")

    assert "provenance.json: content differs from the manifest" in done(
        limited("manifest", release)
    )


def test_a_manifest_without_a_possible_provenance_is_reported(limited, tmp_path):
    release = hostile.release(
        tmp_path / "1", environment={"smdecl": "1", "tensorflow": "2", "\ud800": "1"}
    )
    (release / RULES / "provenance.json").write_text("{}")
    (release / RULES / "model.sig").write_text("")

    assert "provenance.json: content differs from the manifest" in done(
        limited("manifest", release)
    )


def test_a_sparse_signature_is_not_read(limited, tmp_path, public_key):
    hostile.sparse(tmp_path / "1" / RULES / "model.sig", GIBIBYTES)

    assert "expected at most" in refused(limited("signature", tmp_path / "1"))


def test_sparse_examples_are_not_read(limited, tmp_path):
    hostile.sparse(tmp_path / "1" / RULES / "examples.npz", GIBIBYTES)

    assert "expected at most" in refused(limited("examples", tmp_path / "1"))


def test_a_sparse_asset_is_not_compared_with_a_small_one(limited, tmp_path):
    for name in ("a", "b"):
        hostile.write(hostile.saved_model()[0], tmp_path / name)
    hostile.sparse(tmp_path / "a/assets/vocabulary", GIBIBYTES)
    hostile.sparse(tmp_path / "b/assets/vocabulary", 10)

    assert "files assets/vocabulary: content differs" in done(
        limited("diff", tmp_path / "a", tmp_path / "b")
    )


@pytest.fixture
def public_key(tmp_path):
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(text)
    return text


def test_long_names_are_cut_where_they_are_printed(limited, tmp_path):
    long = "n" * 5000
    for name in ("a", "b"):
        message, graph, objects = hostile.saved_model()
        hostile.signature(graph, f"s{name}{long}", [f"i{name}{long}"])
        hostile.trace(objects, "t")
        hostile.function(objects, f"f{name}{long}", ["t"])
        objects.nodes[hostile.child(objects, 0, f"v{name}{long}")].variable.dtype = hostile.FLOAT
        graph.graph_def.node.add(name=f"n{long}", op=f"Op{name}{long}", device=f"/d{name}{long}")
        hostile.write(message, tmp_path / name)

    found = done(limited("diff", tmp_path / "a", tmp_path / "b")) + done(
        limited("inspect", tmp_path / "a")
    )
    assert max(map(len, found.splitlines())) < 2500
    assert "...(5002 characters)" in found


def test_a_deeply_nested_directory_is_reported(limited, tmp_path):
    net = hostile.write(hostile.saved_model()[0], tmp_path / "net")
    place = net
    for _ in range(1200):
        place = place / "d"
        place.mkdir()

    try:
        inspected, compared = limited("inspect", net), limited("diff", net, net)
    finally:
        subprocess.run(["rm", "-r", net / "d"], check=True)  # Python's own removal recurses
    assert "saved by TensorFlow" in done(inspected)
    assert done(compared).startswith("same")


EVIL = "a\nsame: \x1b[2J\x9b\u202eb"


def test_what_names_hold_ends_no_line_and_speaks_to_no_terminal(limited, tmp_path):
    for name in ("a", "b"):
        message, graph, objects = hostile.saved_model()
        hostile.signature(graph, f"{EVIL}{name}", [EVIL])
        hostile.trace(objects, "t")
        hostile.function(objects, f"{EVIL}{name}", ["t"])
        net = hostile.write(message, tmp_path / name)
        (net / f"{EVIL}{name}").write_text("")

    found = done(limited("diff", tmp_path / "a", tmp_path / "b")) + done(
        limited("inspect", tmp_path / "a")
    )
    assert all(line.isprintable() for line in found.splitlines())
    assert r"a\nsame: \x1b[2J\x9b\u202eba" in found


def test_json_is_escaped_and_says_the_same():
    from smdecl.printing import as_json

    text = as_json({EVIL: "é\x7f\U000e0001"})

    assert all(line.isprintable() for line in text.splitlines())
    assert json.loads(text) == {EVIL: "é\x7f\U000e0001"}
    assert "é" in text
