"""The server computes once what its forks share."""

import os

from smdecl.errors import VerificationError
from smdecl.pipeline.children import children


def run(function, *args):
    return children.run(function, *args, failure=VerificationError, doing="testing")


def take_steps() -> int:
    """Takes every step, and returns the number of threads after them."""
    from smdecl.exporting import warming

    for step in warming.STEPS:
        step()
    return len(os.listdir("/proc/self/task"))


def test_every_step_works_and_does_not_start_the_runtime():
    assert run(take_steps) == 1


def source_that_is_written() -> list[str]:
    """Returns what AutoGraph converts while a signature is saved."""
    import tempfile

    import tensorflow as tf
    from tensorflow.python.autograph.pyct import loader

    written = []
    load_source = loader.load_source

    def noting(source: str, delete_on_exit: bool) -> object:
        written.append(source)
        return load_source(source, delete_on_exit)

    loader.load_source = noting
    module = tf.Module()
    module.f = tf.function(double, input_signature=[tf.TensorSpec([])])
    with tempfile.TemporaryDirectory() as place:
        tf.saved_model.save(module, place, signatures=module.f)
    return [name for text in written for name in ("signature_wrapper", "double") if name in text]


def double(x):
    return x + x


def test_a_fork_converts_only_the_code_of_the_model():
    assert run(source_that_is_written) == ["double"]


def converted_line(text: str) -> str:
    """Returns what an error of converted code says about its line, after the file has changed."""
    import importlib
    import pathlib
    import sys

    import tensorflow as tf

    file = pathlib.Path("own_code.py")
    sys.path.insert(0, ".")
    file.write_text("def f(x):\n    return x\n")
    module = importlib.import_module("own_code")
    file.write_text(text)
    module = importlib.reload(module)
    try:
        tf.function(module.f)(1)
    except ValueError as error:
        return str(error)
    return ""


def test_an_error_shows_the_line_of_the_module_as_it_is(project, monkeypatch):
    monkeypatch.chdir(project.root)
    text = "import os\n\ndef f(x):\n    if x > 0:\n        raise ValueError('stop')\n    return x\n"

    shown = run(converted_line, text)

    assert 'own_code.py", line 5, in f' in shown
    assert "raise ValueError('stop')" in shown
