"""Vocabularies and lookup tables: an export keeps them if it is moved or their sources are removed."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from smdecl.config.settings import Verify
from smdecl.savedmodel import inspection
from smdecl.verification import verify

from tests.conftest import tree
from tests.exporting.table_projects import (
    TABLES,
    WORDS,
    ask,
    ask_elsewhere,
    assets,
    export,
    export_twice,
    move,
    text,
)
from tests.serving import serve


@pytest.fixture
def tables(project):
    project.write("tables.py", TABLES)
    project.write("vocabularies/words.txt", "a\nb\nc\n")
    project.write("vocabularies/animals.txt", "cat\ndog\ncow\n")
    project.write("vocabularies/numbers.txt", "70\n90\n80\n")
    return project


# A part of a model and its arguments, what it is asked and what it answers.
PARTS = {
    "ids": (
        "{_target_: tables.Ids, vocabulary: vocabularies/animals.txt}",
        text("cow", "cat", "z"),
        [2, 0, -1],
    ),
    "words": (
        "{_target_: tables.Words, vocabulary: vocabularies/words.txt}",
        np.array([2, 0, 9]),
        [b"c", b"a", b"?"],
    ),
    "numbers": (
        "{_target_: tables.Numbers, vocabulary: vocabularies/numbers.txt}",
        np.array([80, 70, 9]),
        [2, 0, -1],
    ),
    "both": (
        "{_target_: tables.Both, vocabulary: vocabularies/words.txt}",
        text("c", "a", "z"),
        [b"c", b"a", b"?"],
    ),
    "given": (
        "{_target_: tables.Given, vocabulary: vocabularies/words.txt}",
        text("c", "a", "z"),
        [2, 0, -1],
    ),
    "file": (
        "{_target_: tables.File, vocabulary: vocabularies/words.txt}",
        text("all: "),
        [b"all: a\nb\nc\n"],
    ),
    # Words out of the vocabulary go into the same bucket everywhere.
    "buckets": (
        "{_target_: tables.Buckets, vocabulary: vocabularies/words.txt, buckets: 1}",
        text("c", "y", "z"),
        [2, 3, 3],
    ),
}
LAYERS = {
    "StringLookup": ("num_oov_indices: 1", text("c", "a", "z"), [3, 1, 0]),
    "TextVectorization": (
        "output_sequence_length: 3",
        text("c a", "Z, b!"),
        [[4, 2, 0], [1, 3, 0]],
    ),
}


def export_parts_twice(project, parts, method, argument):
    """Returns what both loaders answer for each part of a model that is exported, and the release."""
    text_of = {name: f"{name}: {part}\n" for name, (part, _, _) in parts.items()}
    project.write("conf/model/net.yaml", "_target_: tables.Parts\n" + "".join(text_of.values()))
    signatures = []
    for name, (_, asked, _) in parts.items():
        dtype = "int64" if asked.dtype == np.int64 else "string"
        inputs = f"{{{argument}: {{shape: [n], dtype: {dtype}, name: x}}}}"
        signatures.append(f"+signatures.{name}={{method: {name}.{method}, inputs: {inputs}}}")
    release, again = (project.export("model=net", "signatures=none", *signatures) for _ in range(2))
    assert tree(release.path) == tree(again.path)
    return release


def test_a_vocabulary_goes_into_the_export(tables):
    release = export_parts_twice(tables, PARTS, "ask", "x")

    contents = {"animals": b"cat\ndog\ncow\n", "numbers": b"70\n90\n80\n", "words": b"a\nb\nc\n"}
    for file, content in assets(release).items():
        assert content == contents[file.partition(".txt")[0]]
    elsewhere = move(tables, release)
    for name, (_, asked, answer) in PARTS.items():
        assert {name: ask(elsewhere, asked, name)} == {name: {"output_0": answer}}
    assert failing(elsewhere) == []
    for asset in (elsewhere / "assets").iterdir():
        first, second, *others = asset.read_text().splitlines(keepends=True)
        asset.write_text("".join([second, first, *others]))
    # The generated examples contain these lines. Two swaps cancel each other out in `both`.
    changed = sorted({*PARTS} - {"both"})
    assert failing(elsewhere) == [*changed, *changed]


def failing(path):
    """Returns the signature of each failing example in each loader, without repetitions."""
    record = verify.verify(path, {}, Verify({}, 0, None, None, ("python", "cpp")))
    failures = [(failure.loader, failure.signature) for failure in record.failures]
    return [signature for _, signature in dict.fromkeys(failures)]


def test_the_vocabulary_of_a_keras_layer_goes_into_the_export(tables):
    given = {"list": "[a, b, c]", "file": "vocabularies/words.txt"}
    parts = {}
    for layer, (options, asked, answer) in LAYERS.items():
        for kind, vocabulary in given.items():
            first = "{_target_: keras.Input, shape: [], dtype: string}"
            second = f"{{_target_: keras.layers.{layer}, vocabulary: {vocabulary}, {options}}}"
            model = f"{{_target_: keras.Sequential, layers: [{first}, {second}]}}"
            parts[f"{layer}_{kind}"] = (model, asked, answer)
    elsewhere = move(tables, export_parts_twice(tables, parts, "__call__", "inputs"))

    for name, (_, asked, answer) in parts.items():
        assert {name: list(ask(elsewhere, asked, name).values())} == {name: [answer]}


def test_a_table_of_values_needs_no_file(tables):
    release = export(tables, "_target_: tables.Values\n")

    assert assets(release) == {}
    assert ask_elsewhere(tables, release, text("b", "z")) == {"output_0": [2.5, 0]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "outputs",
    ["null", "{hash: {shape: null, dtype: int64}, dense: {shape: null, dtype: int64}}"],
    ids=["", "declared"],
)
def test_what_a_mutable_table_holds_is_saved(tables, outputs):
    # Traced, its outputs are of unknown rank; the graph that is saved knows more.
    release = export_twice(
        tables, "_target_: tables.Mutable\n", WORDS, f"+signatures.s.outputs={outputs}"
    )

    assert ask_elsewhere(tables, release, text("a", "b", "c")) == {
        "hash": [10, 20, -1],
        "dense": [100, -1, 300],
    }


def test_a_table_that_is_created_in_a_trace_is_saved(tables):
    # It keeps a tensor of its trace, so it cannot run op by op.
    release = export_twice(tables, "_target_: tables.Lazy\n", WORDS, "verify=load")

    assert ask_elsewhere(tables, release, text("a", "b")) == {"output_0": [7, -1]}


def test_two_vocabularies_of_one_name_are_both_kept(tables):
    tables.write("vocabularies/other/words.txt", "c\nb\na\n")
    release = export_twice(
        tables,
        "_target_: tables.Two\nfirst: vocabularies/words.txt\nsecond: vocabularies/other/words.txt\n",
    )

    assert sorted(assets(release).values()) == [b"a\nb\nc\n", b"c\nb\na\n"]
    graph = inspection.read(release.path).meta_graphs[0]
    names = [
        node.attr["shared_name"].s for node in graph.graph_def.node if node.op == "HashTableV2"
    ]
    assert len(set(names)) == 2  # though they differ in the path of their vocabulary alone
    for creator in graph.graph_def.library.function:
        for node in creator.node_def:
            assert node.op != "HashTableV2" or node.attr["shared_name"].s in names
    assert ask_elsewhere(tables, release, text("a", "c")) == {"first": [0, 2], "second": [2, 0]}


def test_tables_of_objects_that_the_model_holds(tables):
    tables.write("vocabularies/numbers.txt", "one\ntwo\n")
    release = export_twice(
        tables,
        "_target_: tables.nested\nfirst: vocabularies/words.txt\nsecond: vocabularies/numbers.txt\n",
        WORDS,
        "signatures.s.method=first.ask",
    )

    assert sorted(assets(release)) == ["numbers.txt", "words.txt"]
    assert ask_elsewhere(tables, release, text("b")) == {"output_0": [1]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["Ids", *(pytest.param(name, marks=pytest.mark.soak) for name in ("Given", "Buckets"))]
)
def test_two_runs_make_the_same_bytes(tables, name):
    buckets = "buckets: 1\n" if name == "Buckets" else ""
    tables.write(
        "conf/model/net.yaml",
        f"_target_: tables.{name}\nvocabulary: vocabularies/words.txt\n{buckets}",
    )
    tables.write("conf/signatures/ask.yaml", f"s: {{method: ask, inputs: {WORDS}}}\n")
    for _ in range(2):  # each in its own server, where objects have other addresses
        done = tables.spawn("--config-dir", "conf", "model=net", "signatures=ask")
        assert done.returncode == 0, done.stderr

    first, second = (tree(tables.root / "exports/net" / version) for version in "12")
    assert first == second


def test_an_export_does_not_contain_the_path_of_its_vocabulary(tables):
    words = tables.root / "vocabularies" / "words.txt"
    model = "_target_: tables.Ids\nvocabulary: {}\n"
    release = export(tables, model.format(words))
    other = tables.root.parent / "other_place"
    shutil.copytree(words.parent, other)
    moved = export(tables, model.format(other / "words.txt"))

    for place in (words, other / "words.txt"):
        assert str(place).encode() not in (release.path / "saved_model.pb").read_bytes()
        assert str(place).encode() not in (moved.path / "saved_model.pb").read_bytes()
    for file in (
        "saved_model.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "assets/words.txt",
    ):
        assert (release.path / file).read_bytes() == (moved.path / file).read_bytes()
    assert release.warnings == ()


def test_a_loaded_export_is_saved_again_with_its_vocabulary(tables):
    release = export(tables, "_target_: tables.Both\nvocabulary: vocabularies/words.txt\n")
    loaded = tf.saved_model.load(str(release.path))
    again = tables.root / "again"
    tf.saved_model.save(loaded, str(again), signatures=loaded.signatures)
    shutil.rmtree(tables.root / "exports")

    assert serve(again, "s", x=text("c", "z"))["output_0"].tolist() == [b"c", b"?"]


def test_two_releases_with_other_vocabularies_are_loaded_in_one_process(tables):
    model = "_target_: tables.Ids\nvocabulary: vocabularies/words.txt\n"
    first = export(tables, model)
    tables.write("vocabularies/words.txt", "c\nb\na\n")
    second = export(tables, model)

    loaded = [tf.saved_model.load(str(release.path)) for release in (first, second)]
    python = [
        one.signatures["s"](x=tf.constant(["a"]))["output_0"].numpy().tolist() for one in loaded
    ]
    cpp = [
        serve(release.path, "s", x=text("a"))["output_0"].tolist() for release in (first, second)
    ]
    assert python == cpp == [[0], [2]]


def test_a_missing_vocabulary_is_a_failure_of_the_model(tables):
    with pytest.raises(Exception, match="nothing.txt") as error:
        export(tables, "_target_: tables.Ids\nvocabulary: vocabularies/nothing.txt\n")

    assert error.value.exit_code == 3
    assert not (tables.root / "exports").exists()
