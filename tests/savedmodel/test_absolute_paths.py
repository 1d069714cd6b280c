"""Absolute paths in constants and names are found, and long constants cost little."""

import os
import random

import pytest
from smdecl.savedmodel.audits import absolute_paths
from smdecl.savedmodel.audits.audit_subject import Subject
from smdecl.savedmodel.protos import saved_model_pb2


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "words_of-mine.txt"
    path.write_text("a\n")
    return str(path)


def found(*texts):
    """Returns the paths that are found in a constant."""
    graph = saved_model_pb2.SavedModel().meta_graphs.add()
    node = graph.graph_def.node.add(name="c", op="Const")
    node.attr["value"].tensor.string_val.extend(map(os.fsencode, texts))
    findings = absolute_paths.find(Subject(graph))
    return [finding.message.split("'")[1] for finding in findings]


@pytest.mark.parametrize("text", [
    "{}", "hash_table_{}_-2_-1", "a {} b", "\0\1\xff{}\0\xfe", "x" * 100_000 + " {}", "{}\n" * 1000,
], ids=["alone", "a table", "in a text", "in bytes", "after a long text", "many times"])  # fmt: skip
def test_a_path_of_a_file_is_found_anywhere_in_a_text(vocabulary, text):
    assert found(text.replace("{}", vocabulary)) == [vocabulary]


@pytest.mark.parametrize("text", [
    "encoder{}", "http:/{}", "{}x", "{}/", "/usr" + "/x" * 3000, "/usr/" + "n" * 300, "/usr/\0", "/usr -x",
])  # fmt: skip
def test_a_text_without_an_existing_path_has_no_findings(vocabulary, text):
    assert found(text.replace("{}", vocabulary)) == []


def test_a_directory_is_found_if_it_is_the_whole_text(tmp_path):
    assert found(str(tmp_path)) == [str(tmp_path)]
    assert found(f"{tmp_path} of mine") == []


def test_a_long_constant_causes_few_lookups_on_disk(vocabulary, monkeypatch):
    looked_up = []
    stat = os.stat

    def counted(path, *arguments, **keywords):
        looked_up.append(path)
        return stat(path, *arguments, **keywords)

    binary = os.fsdecode(random.Random(0).randbytes(5 << 20))
    text = "".join(f"/{number}/usr/lib/x-y " for number in range(100_000))
    monkeypatch.setattr(os, "stat", counted)

    assert found(binary, text, f"{vocabulary} " * 1000) == [vocabulary]
    assert len(looked_up) == len(set(looked_up)) < 100
