"""The constructors of the installed TensorFlow and Keras that a config may name."""

import importlib
import inspect
import re
from collections import defaultdict

import pytest
from smdecl.config import frameworks, trust
from smdecl.config.project import find_project

LAYERS = [
    "activations", "applications", "constraints", "dtype_policies", "initializers", "layers",
    "losses", "metrics", "models", "optimizers", "optimizers.schedules", "quantizers", "random",
    "regularizers",
]  # fmt: skip
NAMESPACES = [
    *(f"{keras}{name}" for keras in ("keras", "tf_keras") for name in ("", *(f".{part}" for part in LAYERS))),
    "tensorflow", "tensorflow.lookup", "tensorflow.lookup.experimental", "tensorflow.distribute",
    "tensorflow.saved_model", "tensorflow.train", "tensorflow.train.experimental",
]  # fmt: skip
# Code that may read a file, use the network, import a module or run its argument.
ACTS = re.compile(
    r"deserialize|from_config|gfile|read_file|get_file|import_module|py_function"
    r"|\b(?:open|eval|exec|load\w*|run)\("
)
ARGUMENTS = re.compile(
    r"path|file\w*|\w*_(?:path|file)|url|module|\w*config|\w*_?fn|function|dataset|directory"
    r"|vocabulary|weights|type_spec"
)
# Constructors that contain such code, by the end of their names, and why they are allowed.
REFUSED_ARGUMENTS = "refuse_arguments refuses mappings that it would deserialize"
PLAIN_FILES = "refuse_arguments accepts only plain text, and the file must be the project's"
OBJECTS = "its objects come from allowed targets, and it calls none of them to build itself"
REVIEWED = {
    r"applications\..*": "check refuses weights other than null, which it would download or read",
    r"(keras|tensorflow)\.initializers\.\w+": REFUSED_ARGUMENTS,
    r"layers\.(Masking|InputLayer)": REFUSED_ARGUMENTS,
    r"(tf_keras|layers)\.Input": REFUSED_ARGUMENTS,
    r"layers\.Bidirectional": "copies the layer it is given; accepts no mapping for it",
    r"layers\.(IntegerLookup|StringLookup|TextVectorization)": PLAIN_FILES,
    r"(lookup\.TextFileInitializer|saved_model\.Asset)": PLAIN_FILES,
    r"layers\.(Dense|EinsumDense|Embedding|ReversibleEmbedding)": OBJECTS,
    r"(layers\.(FlaxLayer|JaxLayer)|metrics\.MeanMetricWrapper)": OBJECTS,
    r"quantizers\.(AWQConfig|GPTQConfig)": "keeps the data set for quantize(), which no config calls",
}


def constructors():
    """Yields name and object of everything that a config may name in the installed versions."""
    for namespace in NAMESPACES:
        holder = importlib.import_module(namespace.partition(".")[0])
        for part in namespace.split(".")[1:]:
            holder = getattr(holder, part, None)  # tf_keras has fewer
        for name in dir(holder):
            if frameworks.refuse_name(f"{namespace}.{name}") is None and callable(
                getattr(holder, name)
            ):
                yield f"{namespace}.{name}", getattr(holder, name)


def source(constructor):
    """Returns the code that makes an object."""
    if not inspect.isclass(constructor):
        return inspect.getsource(inspect.unwrap(constructor))
    code = ""
    for kind in constructor.__mro__:
        if frameworks.is_framework(kind.__module__):
            for name in ("__init__", "__new__"):
                code += inspect.getsource(vars(kind)[name]) if name in vars(kind) else ""
    return code


def doings(constructor):
    """Returns the code and the arguments of a constructor that need a review."""
    try:
        found = set(ACTS.findall(source(constructor)))
    except (TypeError, OSError):  # of C, or made by a decorator
        found = set()
    try:
        parameters = inspect.signature(constructor).parameters
    except ValueError:
        return found
    return found | {name for name in parameters if ARGUMENTS.fullmatch(name)}


@pytest.mark.slow
def test_every_constructor_that_may_read_or_run_something_was_reviewed():
    """A release of TensorFlow or Keras may add one: review it, and refuse it or add it to REVIEWED."""
    unreviewed, used = defaultdict(set), set()
    for name, constructor in constructors():
        if not (found := doings(constructor)):
            continue
        rows = {row for row in REVIEWED if re.search(rf"(^|\.){row}$", name)}
        used |= rows
        if not rows:
            unreviewed[name] |= found

    assert unreviewed == {}
    assert used == set(REVIEWED)


@pytest.mark.slow
def test_arguments_that_name_files_are_at_the_positions_in_the_table():
    positions = {}
    for name, constructor in constructors():
        reads = frameworks.READS.get(name.rpartition(".")[2])
        if reads is not None:
            parameters = list(inspect.signature(constructor).parameters)
            positions[name] = parameters.index(reads.keyword) == reads.position

    assert set(positions.values()) == {True}
    assert len(positions) == 8


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("keras.layers.Lambda", "it runs code that is stored as data"),
        ("tf_keras.layers.Lambda", "it runs code that is stored as data"),
        ("keras.layers.TFSMLayer", "it loads a SavedModel"),
        (
            "keras.layers.TorchModuleWrapper",
            "it runs PyTorch, and unpickles the file it loads",
        ),
        ("keras.activations.get", "it makes any object out of data"),
    ],
)
def test_a_constructor_that_does_more_than_compute_is_refused_with_a_reason(
    project, target, reason
):
    assert trust.refuse_target(target, find_project(project.root)).endswith(reason)
