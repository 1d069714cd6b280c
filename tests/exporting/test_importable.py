"""The project's modules are imported as they are, whatever Python has cached of them."""

import os
import py_compile

import smdecl

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
