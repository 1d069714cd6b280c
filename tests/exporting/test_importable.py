"""The project's modules are imported as they are, whatever Python has cached of them."""

import os
import py_compile

import smdecl
from smdecl import files
from smdecl.release import manifest

CODE = "from smdecl.models import {} as make\n"


def test_the_second_save_within_a_second_counts(project):
    module = project.write("mynet.py", CODE.format("Adder "))
    py_compile.compile(str(module))
    saved = module.stat()
    module.write_text(CODE.format("Scaler"))
    os.utime(module, ns=(saved.st_atime_ns, saved.st_mtime_ns))
    assert module.stat().st_size == saved.st_size

    planned = smdecl.plan(smdecl.compose(["model._target_=mynet.make", "signatures=none"]))

    assert planned.obj.class_name == "smdecl.models.Scaler"


CHANGES_ITSELF = """
import pathlib

import tensorflow as tf


class Adder(tf.Module):
    def add(self, x):
        pathlib.Path(__file__).write_text("changed")
        return x + 1.0
"""


def test_a_module_that_changes_is_recorded_as_it_was_imported(project):
    module = project.write("mynet.py", CHANGES_ITSELF)
    imported = files.sha256(module)

    release = project.export("model=adder", "model._target_=mynet.Adder", "verify.generate=1")

    assert module.read_text() == "changed"
    assert manifest.read(release.path)["inputs"]["mynet.py"] == imported
