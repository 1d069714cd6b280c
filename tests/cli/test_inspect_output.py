"""`smdecl inspect` describes any SavedModel from its files: as text, JSON and HTML."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import tensorflow as tf
from smdecl import schema
from smdecl.cli.output import inspect_output
from smdecl.errors import ContractError, VerificationError
from smdecl.release import description
from tensorflow.core.protobuf import saved_model_pb2

from tests.conftest import ROOT, run_cli

HALF_PLUS_TWO = ROOT / "tests" / "saved_models" / "half_plus_two" / "00000123"


class Net(tf.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.kernel = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
        self.vocabulary = tf.saved_model.Asset(vocabulary)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def ask(self, x):
        return {"score": x @ self.kernel}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    (directory / "words.txt").write_text("a\nb\n")
    net = Net(str(directory / "words.txt"))
    tf.saved_model.save(net, str(directory / "net"), signatures=net.ask)
    return directory / "net"


def test_a_savedmodel_of_tensorflow_is_printed_a_line_each(saved):
    text = re.sub(
        r"[\d.]+ (bytes|kB)", "SIZE", inspect_output.text("net", description.describe(saved))
    )
    lines = [line for line in text.splitlines() if not line.startswith(("op ", "device "))]

    assert lines == [
        f"net: saved by TensorFlow {tf.__version__}, tags serve, variables of SIZE, files of SIZE",
        "signature serving_default: tensorflow/serving/predict",
        "  input  x: float32 [?, 2], serving_default_x:0",
        "  output score: float32 [?, 2], StatefulPartitionedCall:0",
        "function ask(x)",
        "  (x: float32 [?, 2]) -> score: float32 [?, 2]",
        "variable kernel: float32 [2, 2], SIZE",
        "init op NoOp",
        "asset words.txt",
        "file assets/words.txt: SIZE",
        "file fingerprint.pb: SIZE",
        "file saved_model.pb: SIZE",
        "file variables/variables.data-00000-of-00001: SIZE",
        "file variables/variables.index: SIZE",
    ]
    assert "op MatMul: 1\n" in text


def test_json_has_the_sizes_in_bytes(saved):
    found = json.loads(inspect_output.to_json(saved, description.describe(saved)))

    assert found["stored"] == [
        {"name": "kernel", "path": "kernel", "dtype": "float32", "shape": [2, 2], "size": 16}
    ]
    assert found["files"]["saved_model.pb"] == (saved / "saved_model.pb").stat().st_size
    assert found["release"] is None
    assert schema.problems("description", found) == []


def test_a_release_is_named_by_its_unchanged_manifest(project):
    release = project.export("model=scaler", "name=small")
    found = description.describe(release.path)

    assert (found.release.name, found.release.digest) == ("small", release.digest)
    assert inspect_output.text(release.path, found).startswith(
        f"{release.path}: release small {release.digest[:12]} by smdecl "
    )
    manifest = release.path / "assets.extra" / "smdecl" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("small", "large"))
    with pytest.raises(VerificationError, match="changed since the release was made"):
        description.describe(release.path)


class Page(HTMLParser):
    """Reads a page as a browser does, and counts what is opened and closed."""

    VOID = ("meta", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells, self.linked = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.linked += [value for name, value in attrs if name in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "h3" in self.open:
            self.cells.append(data)


def test_the_page_is_self_contained_and_has_the_content_of_the_text(saved):
    page = Page(inspect_output.html("net", description.describe(saved)))

    assert (page.open, page.linked, page.tags.count("script")) == ([], [], 0)
    for cell in (
        "serving_default",
        "float32 [?, 2]",
        "score",
        "ask(x)",
        "kernel",
        "float32 [2, 2]",
        "MatMul",
    ):
        assert cell in page.cells
    assert "assets/words.txt" in page.cells


def test_foreign_names_are_escaped(saved, tmp_path):
    message = saved_model_pb2.SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    signatures = message.meta_graphs[0].signature_def
    signatures["<script>alert(1)</script>\x1b[2J"].CopyFrom(signatures["serving_default"])
    (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
    found = description.describe(tmp_path)

    page = Page(inspect_output.html("<b>", found))
    assert (page.tags.count("script"), page.tags.count("b")) == (0, 0)
    assert "<script>alert(1)</script>\\x1b[2J" in page.cells
    assert "\x1b" not in inspect_output.text("net", found)


@pytest.fixture(scope="module")
def two_graphs(tmp_path_factory):
    """A SavedModel as TensorFlow 1 saves one: in text, the graph to serve second, with an asset."""
    v1, directory = tf.compat.v1, tmp_path_factory.mktemp("v1")
    (directory / "words.txt").write_text("a\n")
    with tf.Graph().as_default(), v1.Session() as session:
        weights = v1.get_variable("w", initializer=[1.0, 2.0, 3.0])
        sparse = v1.sparse_placeholder(tf.float32, [None, 3], "sp")
        ragged = v1.ragged.placeholder(tf.int64, 1, [], "rt")
        v1.add_to_collection(
            v1.GraphKeys.ASSET_FILEPATHS, tf.constant(str(directory / "words.txt"), name="words")
        )
        outputs = {"y": tf.add(tf.sparse.to_dense(sparse), weights, name="sum")}
        signature = v1.saved_model.predict_signature_def({"sp": sparse, "rt": ragged}, outputs)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(directory / "net"))
        builder.add_meta_graph_and_variables(session, ["train"], {"fit": signature})
        builder.add_meta_graph(
            ["serve"],
            {"serving_default": signature},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.group(v1.tables_initializer(), name="start"),
        )
        builder.save(as_text=True)
    return directory / "net"


def without_ops_and_files(text):
    lines = text.splitlines()
    return [line for line in lines if not line.lstrip().startswith(("op ", "device ", "file "))]


def test_every_graph_of_a_tensorflow_1_model_is_printed_the_serving_one_first(two_graphs):
    text = inspect_output.text("net", description.describe(two_graphs))

    summary, *lines = without_ops_and_files(text)
    assert (
        f"saved by TensorFlow {tf.__version__}, tags serve, further graph with tags train, "
        in summary
    )
    tensors = [
        "  input  rt: ragged int64 [?, ?] (ragged rank 1, row splits int64), rt/flat_values:0, rt/row_splits_0:0",
        "  input  sp: sparse float32 [?, 3], values sp/values:0, indices sp/indices:0, dense shape sp/shape:0",
        "  output y: float32 [?, 3], sum:0",
    ]
    assert lines == [
        "signature serving_default: tensorflow/serving/predict",
        *tensors,
        "variable w: float32 [3], 12 bytes",
        "init op start",
        "asset words.txt",
        f"graph train: saved by TensorFlow {tf.__version__}",
        "  signature fit: tensorflow/serving/predict",
        *(f"  {line}" for line in tensors),
    ]
    assert text.count("op SparseToDense: 1\n") == 2


def test_an_index_compressed_by_snappy_and_assets_in_a_collection_are_read(tmp_path):
    shutil.copytree(HALF_PLUS_TWO, tmp_path / "net")
    message = saved_model_pb2.SavedModel.FromString(
        (tmp_path / "net" / "saved_model.pb").read_bytes()
    )
    message.meta_graphs[0].ClearField(
        "asset_file_def"
    )  # TensorFlow before 1.10 has the collection alone
    (tmp_path / "net" / "saved_model.pb").write_bytes(message.SerializeToString())

    lines = without_ops_and_files(
        inspect_output.text("net", description.describe(tmp_path / "net"))
    )

    assert lines[0].startswith(
        "net: saved by TensorFlow 1.14.0, tags serve, variables of 20 bytes, "
    )
    assert lines[1:4] == [
        "signature classify_x_to_y: tensorflow/serving/classify",
        "  input  inputs: string (unknown rank), tf_example:0",
        "  output scores: float32 [?, 1], y:0",
    ]
    assert lines[-7:] == [
        *(f"variable {name}: float32 [], 4 bytes" for name in ("a", "a2", "b", "c", "c2")),
        "init op group_deps",
        "asset foo.txt",
    ]


@pytest.mark.parametrize("form", inspect_output.FORMATS)
def test_each_format_has_every_graph_and_tensor(two_graphs, form):
    page = inspect_output.FORMATS[form]("net", description.describe(two_graphs))

    if form == "json":
        record = json.loads(page)
        assert schema.problems("description", record) == []
        (other,) = record["other_graphs"]
        assert (record["init_op"], other["saved_model"]["tags"]) == ("start", ["train"])
        assert other["tensors"]["fit"]["outputs"] == {"y": "sum:0"}
        assert other["saved_model"]["signatures"]["fit"]["inputs"]["sp"] == {
            "dtype": "float32", "shape": [None, 3], "kind": "sparse",
        }  # fmt: skip
    for name in (
        "serving_default",
        "fit",
        "train",
        "sum:0",
        "rt/row_splits_0:0",
        "start",
        "words.txt",
    ):
        assert name in page


@pytest.mark.slow
@pytest.mark.parametrize("model", ["saved", "two_graphs", "half_plus_two"])
def test_everything_that_saved_model_cli_shows_is_printed(request, model):
    directory = HALF_PLUS_TWO if model == "half_plus_two" else request.getfixturevalue(model)
    script = "from tensorflow.python.tools import saved_model_cli; saved_model_cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "show", "--all", "--dir", str(directory)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    text = inspect_output.text("net", description.describe(directory))

    shown = re.findall(
        r"(?:signature_def|inputs|outputs)\['(\w+)'\]|name: (\S+)|Method name is: (\S+)",
        done.stdout,
    )
    shown += re.findall(r"Function Name: '(\w+)'|(\w+): TensorSpec|tag-set: '(\w+)'", done.stdout)
    names = {name for groups in shown for name in groups} - {"", "__saved_model_init_op"}
    ops = {
        op
        for listed in re.findall(r"following ops: \{(.*)\}", done.stdout)
        for op in re.findall(r"'(\w+)'", listed)
    }
    assert len(names) > 4
    assert len(ops) > 4
    assert {name for name in names if name not in text} == set()
    assert {op for op in ops if f"op {op}: " not in text} == set()


def test_damage_is_printed_after_the_rest_with_exit_code_4(saved, tmp_path):
    (tmp_path / "net").mkdir()
    shutil.copy(saved / "saved_model.pb", tmp_path / "net")

    done = run_cli("inspect", "net", cwd=tmp_path)

    missing = "net/variables/variables.index: no such file"
    assert (done.returncode, done.stderr) == (4, f"smdecl: error: {missing}\n")
    lines = done.stdout.splitlines()
    assert lines[1:3] == [
        f"damaged: {missing}",
        "signature serving_default: tensorflow/serving/predict",
    ]
    assert "asset words.txt: no such file" in lines
    for form in ("html", "json"):
        page = inspect_output.FORMATS[form](
            tmp_path / "net", description.describe(tmp_path / "net")
        )
        assert "variables.index: no such file" in page


def test_a_directory_without_a_savedmodel_is_reported(tmp_path):
    (tmp_path / "saved_model.pb").write_text("no protobuf")

    with pytest.raises(ContractError, match="as a SavedModel"):
        description.describe(tmp_path)
    done = run_cli("inspect", "nowhere", cwd=tmp_path)
    expected = (
        "'nowhere' does not exist; expected the directory of a SavedModel, such as exports/adder/1"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"smdecl: error: {expected}\n")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_the_command_line_imports_no_tensorflow(saved, form):
    script = (
        "import sys\nfrom smdecl.cli import main\n"
        f"assert main.main(['inspect', {str(saved)!r}, '--format', {form!r}]) == 0\n"
        "print(sorted({'tensorflow', 'keras', 'hydra'} & {*sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stderr == "[]\n"
    assert done.stdout == inspect_output.FORMATS[form](saved, description.describe(saved))


@pytest.mark.parametrize("form", inspect_output.FORMATS)
def test_unprintable_names_are_escaped(saved, tmp_path, form):
    directory = tmp_path / os.fsdecode(b"net\xfe\x1b[31m")
    shutil.copytree(saved, directory)
    (directory / os.fsdecode(b"more\xfe\x1b")).write_text("")

    page = inspect_output.FORMATS[form](directory, description.describe(directory))

    assert page.encode("utf-8")
    assert "\x1b" not in page
    assert r"more\udcfe\x1b" in (json.loads(page)["files"] if form == "json" else page)
    assert form == "json" or r"net\udcfe\x1b[31m" in page
