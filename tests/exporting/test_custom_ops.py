"""Custom ops are loaded where releases are made and loaded, and only if the project declares them."""

import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
import smdecl
import tensorflow as tf
from smdecl.config.project import Project
from smdecl.errors import UsageError, VerificationError
from smdecl.exporting.building import custom_ops
from smdecl.savedmodel.records import CustomOpsRecord

from tests import conftest

SOURCE = """
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using namespace tensorflow;

REGISTER_OP("SmdeclTwice")
    .Input("x: float")
    .Output("y: float")
    .SetShapeFn([](shape_inference::InferenceContext* c) {
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    });

class TwiceOp : public OpKernel {
 public:
  explicit TwiceOp(OpKernelConstruction* context) : OpKernel(context) {}

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    Tensor* y = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    auto from = x.flat<float>();
    auto to = y->flat<float>();
    for (int64_t i = 0; i < from.size(); ++i) to(i) = 2 * from(i);
  }
};

REGISTER_KERNEL_BUILDER(Name("SmdeclTwice").Device(DEVICE_CPU), TwiceOp);

}  // namespace
"""
NET = """
import tensorflow as tf

library = tf.load_op_library("ops/libtwice.so")


class Net(tf.Module):
    def predict(self, x):
        return {"y": library.smdecl_twice(x=x)}
"""
SIGNATURE = (
    "+signatures.serving_default={method: predict, inputs: {x: {shape: [batch], dtype: float32}}}"
)
DECLARED = '[tool.smdecl]\ncustom_ops = ["ops/libtwice.so"]\n'
MANIFEST = "assets.extra/smdecl/manifest.json"


@pytest.fixture(autouse=True)
def _unchanged_imports(monkeypatch):
    """Restores what loading custom ops sets for the rest of a process."""
    monkeypatch.setattr(SourceFileLoader, "path_stats", SourceFileLoader.path_stats)
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_a_package_is_imported_and_recorded_with_its_version(project):
    project.write("mine/__init__.py", "")
    project.write("mine/ops.py", "import pathlib\npathlib.Path('imported.txt').write_text('')\n")
    declared = Project(project.root, custom_ops=("mine.ops", "hydra"))

    assert custom_ops.load(declared) == {}
    assert (project.root / "imported.txt").exists()
    mine, hydra = custom_ops.records(declared)
    assert (mine.version, mine.sha256, hydra.sha256) == (None, None, None)
    assert hydra.version.startswith("1.3")


def test_modules_of_the_project_are_loaded_in_a_confined_process(project):
    project.write("pyproject.toml", '[tool.smdecl]\ncustom_ops = ["mine", "packed"]\n')
    project.write("mine.py", "")
    project.write("packed/__init__.py", "")

    done = project.spawn()

    assert (done.stdout, done.stderr, done.returncode) == ("exports/adder/1\n", "", 0)


def test_everything_that_cannot_be_loaded_is_reported(project):
    project.write("broken.py", "raise ValueError('no good')")
    project.write("ops/libtext.so", "not a library")

    with pytest.raises(UsageError) as error:
        custom_ops.load(
            Project(
                project.root,
                custom_ops=("absent_ops", "broken", "ops/libmine.so", "ops/libtext.so"),
            )
        )

    where = f"{project.root}/pyproject.toml: tool.smdecl.custom_ops"
    library = f"{project.root}/ops/libtext.so"
    assert [problem.message for problem in error.value.problems] == [
        f"{where}[0]: cannot load 'absent_ops': ModuleNotFoundError: No module named 'absent_ops'",
        f"{where}[1]: cannot load 'broken': ValueError: no good",
        f"{where}[2]: cannot load 'ops/libmine.so': FileNotFoundError: no such file:"
        f" '{project.root}/ops/libmine.so'",
        f"{where}[3]: cannot load 'ops/libtext.so': NotFoundError: {library}: file too short",
    ]


def test_undeclared_needs_of_a_release_are_reported(project):
    (project.root / "lib").mkdir()
    (project.root / "lib/libmoved.so").write_bytes(b"the library")
    (sha256,) = [
        entry.sha256
        for entry in custom_ops.records(Project(project.root, custom_ops=("lib/libmoved.so",)))
    ]
    recorded = [
        CustomOpsRecord("ops/libtwice.so", sha256=sha256),
        CustomOpsRecord("tensorflow_text", version="2.21.1"),
        CustomOpsRecord("hydra", version="1.2"),
        CustomOpsRecord("evil\x1b[2J"),
    ]
    here = Project(project.root, custom_ops=("lib/libmoved.so", "hydra"))

    messages = [problem.message for problem in custom_ops.undeclared(recorded, here)]

    assert messages[0] == (
        f"custom_ops: the release needs the package tensorflow_text 2.21.1, which the project {project.root} does not"
        " declare; run this in the project that made the release, or add 'tensorflow_text' to custom_ops under"
        f" [tool.smdecl] in {project.root}/pyproject.toml"
    )
    assert len(messages) == 2, "a library counts as declared under any name"
    assert "\x1b" not in messages[1]
    (differs,) = [problem.message for problem in custom_ops.differing(recorded, here)]
    assert differs.startswith("custom_ops: the release was made with hydra 1.2; found hydra 1.3")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library with an op that doubles, compiled as TensorFlow's guide to custom ops says."""
    scratch = tmp_path_factory.mktemp("op")
    (scratch / "twice.cc").write_text(SOURCE)
    flags = [*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags()]
    command = [
        "g++",
        "-std=c++17",
        "-w",
        "-shared",
        "-fPIC",
        "-O0",
        "twice.cc",
        "-o",
        "libtwice.so",
        *flags,
    ]
    subprocess.run(command, cwd=scratch, check=True)
    return scratch / "libtwice.so"


@pytest.fixture
def net(project, library):
    (project.root / "ops").mkdir()
    (project.root / "ops/libtwice.so").symlink_to(library)
    project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    project.write("pyproject.toml", DECLARED)
    return project


def export(net, *overrides):
    return net.export("model=net", "signatures=none", SIGNATURE, *overrides)


@pytest.mark.slow
def test_a_declared_library_serves_both_loaders_and_every_verb(net, tmp_path):
    release = export(net, "audit=strict", 'audit.consumer.tensorflow="2.16"')

    assert [warning.key for warning in release.warnings] == ["audit.custom_ops"]
    assert (
        "ops/libtwice.so registers it, and the server must load that too"
        in release.warnings[0].message
    )
    manifest = json.loads((Path(release.path) / MANIFEST).read_text())
    (entry,) = manifest["custom_ops"]
    assert entry["name"] == "ops/libtwice.so"
    assert len(entry["sha256"]) == 64

    verified = net.run("verify", str(release.path))
    assert verified.returncode == 0, verified.stderr
    assert "examples with the loaders python, cpp" in verified.stdout
    reproduced = net.run("reproduce", str(release.path))
    assert reproduced.returncode == 0, reproduced.stderr

    # A manifest makes nothing load: only the project that the command runs in does.
    elsewhere = conftest.Project(tmp_path / "elsewhere")
    elsewhere.write("pyproject.toml", "")
    refused = elsewhere.run("verify", str(net.root / release.path))
    assert refused.returncode == 4
    assert (
        f"{MANIFEST}: custom_ops: the release needs the library ops/libtwice.so (sha256 "
        in refused.stderr
    )
    assert (
        f"add 'ops/libtwice.so' to custom_ops under [tool.smdecl] in {elsewhere.root}/pyproject.toml"
        in (refused.stderr)
    )


@pytest.mark.slow
def test_an_undeclared_op_is_reported_with_where_to_declare_it(net):
    net.write("pyproject.toml", "")

    with pytest.raises(VerificationError) as error:
        export(net)

    declare = "name the package or library that registers it under custom_ops in [tool.smdecl] of pyproject.toml"
    assert [problem.message for problem in error.value.problems] == [
        f"the {loader} loader cannot load it: nothing registers the op 'SmdeclTwice'; {declare}"
        for loader in ("python", "cpp")
    ]
    with pytest.raises(smdecl.errors.ContractError, match="custom_ops in .tool.smdecl."):
        export(net, "audit=strict")
