"""Odd numbers, texts, keys and nests for configs, as strategies of hypothesis."""

import copy
import math

import hypothesis.strategies as st
from smdecl import schema
from smdecl.checks.weights.weights_formats import FORMATS
from smdecl.savedmodel.audits import auditing

# Between 65536 and 2**62 lie sizes that a machine may try to allocate.
NUMBERS = [
    0,
    1,
    2,
    -1,
    7,
    65536,
    1.0,
    0.5,
    -1e308,
    1e-320,
    2**62,
    2**63 - 1,
    2**63,
    10**30,
    -(10**30),
]
TEXTS = [
    *(
        "",
        " ",
        "x",
        "self",
        "lambda",
        "None",
        "null",
        "next",
        "off",
        "nan",
        "1",
        "é",
        "ß",
        "Ω",
        "名前",
        "a b",
        "a.b",
    ),
    *(
        "a/b",
        "../x",
        "..",
        ".",
        "/",
        "~",
        "a\0b",
        "a\nb",
        "\r\n",
        "\t",
        "\x1b[31m",
        "\u202ex",
        "\ufeff",
        "\ud800",
    ),
    *(
        "\U0001f600",
        "e\u0301",
        "${name}",
        "${oc.env:HOME}",
        "${",
        "$",
        "%s",
        "{0}",
        "{x}",
        "\\",
        "'",
        '"',
        "`",
        "*",
    ),
    *(
        "[0]",
        "?",
        "a,b",
        "a=b",
        "__init__",
        "_target_",
        "_",
        "-x",
        "x" * 300,
        "(" * 60,
        "a/" * 60,
        "serving_default",
    ),
    *(
        "__saved_model_init_op",
        "train_op",
        "/device:CPU:0",
        "/device:CPU:99",
        "CPU:1",
        "GPU:0",
        "float32",
        "float64",
    ),
    *(
        "smdecl.models.Scaler",
        "smdecl.models.Adder",
        "smdecl.models.dense",
        "smdecl.models.Nothing",
        "os.system",
    ),
    *(
        "tensorflow.Module",
        "tensorflow.Variable",
        "keras.layers.Dense",
        "nomodule.Net",
        "2.15",
        "1.0",
        "error",
        "warn",
    ),
    *FORMATS,
    *(
        "add",
        "factor",
        "__class__",
        "ragged",
        "sparse",
        "string",
        "int32",
        "file:///x",
        "s3://x/y",
        "vector",
    ),
]
KEYS = [
    "name",
    "shape",
    "dtype",
    "value",
    "kind",
    "ragged_rank",
    "inputs",
    "outputs",
    "method",
    "file",
    "_args_",
]


KEYS += [
    *(rule.name for rule in auditing.RULES),
    *schema.load("config")["properties"]["options"]["properties"],
]


NODES = [
    {"shape": [2], "dtype": "float32", "kind": "ragged", "ragged_rank": 2**62},
    {"shape": [None, None], "dtype": "float32", "kind": "ragged"},
    {"shape": None, "dtype": "int64", "kind": "sparse", "name": "x"},
    {"_target_": "os.system"}, {"_target_": "smdecl.models.Scaler", "factor": 2}, {"value": {"shape": 3}},
    {"serving_default": {"method": "add"}}, {"serving_default": [{"inputs": {"x": 1}}]},
    {"serving_default": {"x": [math.nan, 1]}}, [], {},
]  # fmt: skip


def deep(depth, leaf):
    for level in range(depth):
        leaf = [leaf] if level % 2 else {"x": leaf}
    return leaf


KEY = st.sampled_from(KEYS + TEXTS)
SCALARS = st.one_of(
    *(
        st.sampled_from(values)
        for values in (TEXTS, NUMBERS, [None, True, False, math.nan, math.inf, -math.inf])
    ),
    *(st.text(max_size=8), st.integers(-3, 5)),
)
VALUES = st.one_of(
    SCALARS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3), max_leaves=5),
    st.builds(deep, st.sampled_from([3, 30, 150, 600]), SCALARS),
    st.sampled_from(NODES).map(copy.deepcopy),
)  # fmt: skip
