"""The provenance of a signed release names what it was made of."""

import hashlib
import json
import subprocess

import smdecl
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement, statement_pb2
from smdecl.release import manifest, provenance, signing

from tests.conftest import tree


def test_the_provenance_is_one_to_the_classes_of_in_toto(release):
    text = (release / provenance.FILE).read_text()
    found = json.loads(text)

    parsed = json_format.Parse(text.replace('"_type"', '"type"'), statement_pb2.Statement())
    statement.Statement.copy_from_pb(parsed).validate()
    predicate = json_format.ParseDict(
        found["predicate"], provenance_pb2.Provenance()
    )  # no field that it has not

    assert json_format.MessageToDict(predicate, preserving_proto_field_name=False)[
        "runDetails"
    ] == {"builder": {"id": "pkg:pypi/smdecl", "version": {"smdecl": smdecl.__version__}}}
    assert found["predicate"]["buildDefinition"]["externalParameters"] == {
        "config": manifest.read(release)["config"]
    }
    files = {name: hashlib.sha256(data).hexdigest() for name, data in tree(release).items()}
    assert {entry["name"]: entry["digest"]["sha256"] for entry in found["subject"]} == {
        name: digest
        for name, digest in files.items()
        if name not in (provenance.FILE, signing.FILE)
    }


def test_the_provenance_names_the_commit_and_the_packages(project, keys):
    project.write("a.py", "")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "a.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()

    found = []
    for text in ("", "changed"):
        project.write("a.py", text)
        path = project.export(f"publish.sign={keys / 'release.pem'}").path
        statement_ = json.loads((path / provenance.FILE).read_text())
        found.append(statement_["predicate"]["buildDefinition"]["resolvedDependencies"])

    environment = manifest.read(path)["environment"]
    for dependencies, clean in zip(found, (True, False), strict=True):
        assert dependencies[0] == {
            "name": "source", "digest": {"gitCommit": commit}, "annotations": {"clean": clean},
        }  # fmt: skip
        assert {"uri": f"pkg:pypi/tensorflow@{environment['tensorflow']}"} in dependencies
        assert {"uri": f"pkg:generic/python@{environment['python']}"} in dependencies
        assert len(dependencies) == 1 + len(environment)


def test_the_provenance_is_made_of_the_manifest_alone():
    inputs = {"weights.h5": "2" * 64}
    released = {
        "config": {},
        "source": None,
        "inputs": inputs,
        "environment": {"My_Lib": "1!2.0+cpu"},
    }

    found = json.loads(provenance.text(released, {"b": "0" * 64, "a": "1" * 64}))

    assert [entry["name"] for entry in found["subject"]] == ["a", "b"]
    assert found["predicate"]["buildDefinition"]["resolvedDependencies"] == [
        {"name": "weights.h5", "digest": {"sha256": "2" * 64}},
        {"uri": "pkg:pypi/my-lib@1%212.0%2Bcpu"},
    ]
    assert found["predicate"]["runDetails"]["builder"] == {"id": "pkg:pypi/smdecl", "version": {}}
