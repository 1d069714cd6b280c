"""`smdecl inspect` says what any SavedModel is, by its files alone: as text, as JSON, and as a page."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from smdecl import describing, pages, schema
from smdecl.errors import ContractError, VerificationError
from tests.conftest import ROOT, run_cli


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


def test_what_tensorflow_alone_has_saved_is_told_a_line_each(saved):
    told = re.sub(r"[\d.]+ (bytes|kB)", "SIZE", pages.text("net", describing.describe(saved)))
    lines = [line for line in told.splitlines() if not line.startswith(("op ", "device "))]

    assert lines == [
        f"net: saved by TensorFlow {tf.__version__}, tags serve, variables of SIZE, files of SIZE",
        "signature serving_default: tensorflow/serving/predict",
        "  input  x: float32 [?, 2]",
        "  output score: float32 [?, 2]",
        "function ask(x)",
        "  (x: float32 [?, 2]) -> score: float32 [?, 2]",
        "variable kernel: float32 [2, 2], SIZE",
        "asset words.txt",
        "file assets/words.txt: SIZE",
        "file fingerprint.pb: SIZE",
        "file saved_model.pb: SIZE",
        "file variables/variables.data-00000-of-00001: SIZE",
        "file variables/variables.index: SIZE",
    ]
    assert "op MatMul: 1\n" in told


def test_json_has_the_sizes_in_bytes(saved):
    found = json.loads(pages.to_json(saved, describing.describe(saved)))

    assert found["stored"] == [{"name": "kernel", "dtype": "float32", "shape": [2, 2], "size": 16}]
    assert found["files"]["saved_model.pb"] == (saved / "saved_model.pb").stat().st_size
    assert found["release"] is None
    assert schema.problems("description", found) == []


def test_a_release_is_told_by_its_manifest_which_is_to_be_as_it_was_made(project):
    release = project.export("model=scaler", "name=small")
    found = describing.describe(release.path)

    assert (found.release.name, found.release.digest) == ("small", release.digest)
    assert pages.text(release.path, found).startswith(f"{release.path}: release small {release.digest[:12]} by smdecl ")
    manifest = release.path / "assets.extra" / "smdecl" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("small", "large"))
    with pytest.raises(VerificationError, match="was changed since the release was made"):
        describing.describe(release.path)


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


def test_the_page_stands_alone_and_has_what_the_text_has(saved):
    page = Page(pages.html("net", describing.describe(saved)))

    assert (page.open, page.linked, page.tags.count("script")) == ([], [], 0)
    for told in ("serving_default", "float32 [?, 2]", "score", "ask(x)", "kernel", "float32 [2, 2]", "MatMul"):
        assert told in page.cells
    assert "assets/words.txt" in page.cells


def test_names_that_others_have_written_are_text_and_nothing_else(saved, tmp_path):
    message = saved_model_pb2.SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    signatures = message.meta_graphs[0].signature_def
    signatures["<script>alert(1)</script>\x1b[2J"].CopyFrom(signatures["serving_default"])
    (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
    found = describing.describe(tmp_path)

    page = Page(pages.html("<b>", found))
    assert (page.tags.count("script"), page.tags.count("b")) == (0, 0)
    assert "<script>alert(1)</script>\\x1b[2J" in page.cells
    assert "\x1b" not in pages.text("net", found)


def test_further_graphs_are_told_by_their_tags(saved, tmp_path):
    message = saved_model_pb2.SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    message.meta_graphs.add().meta_info_def.tags.extend(["tpu", "serve"])
    (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())

    assert "another graph with tags serve tpu" in pages.text("net", describing.describe(tmp_path)).splitlines()[0]


def test_what_is_no_saved_model_is_told(tmp_path):
    (tmp_path / "saved_model.pb").write_text("no protobuf")

    with pytest.raises(ContractError, match="cannot be read as a SavedModel"):
        describing.describe(tmp_path)
    done = run_cli("inspect", "nowhere", cwd=tmp_path)
    told = "'nowhere' is not there; takes the directory of a SavedModel, such as exports/adder/1"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"smdecl: error: {told}\n")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_the_command_line_imports_no_tensorflow(saved, form):
    script = (
        "import sys\nfrom smdecl import cli\n"
        f"assert cli.main(['inspect', {str(saved)!r}, '--format', {form!r}]) == 0\n"
        "print(sorted({'tensorflow', 'keras', 'hydra'} & {*sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stderr == "[]\n"
    assert done.stdout == pages.FORMATS[form](saved, describing.describe(saved))


@pytest.mark.parametrize("form", pages.FORMATS)
def test_a_name_that_is_no_text_or_speaks_to_a_terminal_is_written_out(saved, tmp_path, form):
    directory = tmp_path / os.fsdecode(b"net\xfe\x1b[31m")
    shutil.copytree(saved, directory)
    (directory / os.fsdecode(b"more\xfe\x1b")).write_text("")

    page = pages.FORMATS[form](directory, describing.describe(directory))

    assert page.encode("utf-8")
    assert "\x1b" not in page
    assert r"more\udcfe\x1b" in (json.loads(page)["files"] if form == "json" else page)
    assert form == "json" or r"net\udcfe\x1b[31m" in page
