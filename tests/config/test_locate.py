"""Every value is located at its line or override."""

import sys

import pytest
import smdecl
from smdecl.errors import ConfigError, ModelError, Problem


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        (("model", "factor"), "override 'model.factor=2'"),
        (("model", "_target_"), "conf/model/mine.yaml:3"),
        (("model", "layers", 1, "units"), "conf/model/mine.yaml:6"),
        (("signatures", "pinned", "inputs"), "conf/release/r.yaml:7"),
        (("signatures", "pinned", "inputs", "x"), "conf/release/r.yaml:7"),
        (("seed",), "conf/release/r.yaml:4"),
        (("publish", "nothing"), None),
    ],
)
def test_every_value_is_located_at_its_line_or_override(project, path, origin):
    project.write(
        "conf/model/mine.yaml",
        "# A comment.\n\n_target_: mynet.Mine\nlayers:\n  - units: 1\n  - units: 2\nfactor: 1\n",
    )
    project.write(
        "conf/release/r.yaml",
        "# @package _global_\ndefaults:\n  - override /model: mine\nseed: 3\n"
        "signatures:\n  pinned:\n    inputs: {x: {shape: [], dtype: int32}}\n",
    )
    composition = project.compose("release=r", "model.factor=2")

    found = composition.locate(path)

    if origin is None:
        assert str(found).endswith("conf/publish/next.yaml:1")
    else:
        assert str(found) == origin


@pytest.mark.parametrize(
    ("overrides", "origin"),
    [
        (["model.dtype=flaot32"], "override 'model.dtype=flaot32'"),
        (["model.dtype=flaot32", "model.factor=2"], "conf/model/mine.yaml:1"),
        (["model._target_=mynet.My", "model.factor=2"], "override 'model._target_=mynet.My'"),
        (["model={dtype: flaot32, factor: 2}"], "override 'model={dtype: flaot32, factor: 2}'"),
    ],
)
def test_a_failing_target_is_not_blamed_on_one_of_several_overrides(project, overrides, origin):
    project.write("conf/model/mine.yaml", "_target_: mynet.Mine\ndtype: float32\nfactor: 1\n")

    composition = project.compose("model=mine", *overrides)

    assert str(composition.locate(("model",))) == origin


METHOD = ("signatures", "serving_default", "method")


@pytest.mark.parametrize(
    ("overrides", "path", "kind", "is_hinted"),
    [
        (["model=dense"], METHOD, ConfigError, True),
        (["model=dense"], ("model",), ConfigError, False),
        (["model=dense"], METHOD, ModelError, False),
        (["signatures=scalar_float"], METHOD, ConfigError, False),
        (["release=selects"], METHOD, ConfigError, False),
        (["release=changes"], METHOD, ConfigError, False),
        (["signatures.serving_default.method=ad"], METHOD, ConfigError, False),
    ],
)
def test_an_error_about_signatures_that_nobody_selected_says_so_once(
    project, overrides, path, kind, is_hinted
):
    project.write(
        "conf/release/selects.yaml",
        "# @package _global_\ndefaults:\n  - override /signatures: scalar_float\n",
    )
    project.write(
        "conf/release/changes.yaml",
        "# @package _global_\nsignatures: {serving_default: {method: ad}}\n",
    )
    composition = project.compose(*overrides)

    error = composition.masked(kind([Problem(path, "a"), Problem(path, "b")]))

    hint = (
        "; no signatures are selected, so the default scalar_float is used: write signatures=none"
        " or signatures=..."
    )
    first = f"a{hint}" if is_hinted else "a"
    assert [problem.message for problem in error.problems] == [first, "b"]
    # What is located already is not changed again.
    assert composition.masked(error).problems == error.problems


def test_an_item_of_a_list_in_an_override_is_located_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "signatures").mkdir(parents=True)
    (tmp_path / "conf" / "signatures" / "mine.yaml").write_text(
        "s:\n  inputs:\n    x: {shape: [batch, 2], dtype: float32}\n"
    )
    shape = "signatures.s.inputs.x.shape=[batch,-1]"
    composition = smdecl.compose(
        ["signatures=mine", "verify.loaders=[python,cp]", shape], config_dir="conf"
    )

    assert (
        str(composition.locate(("verify", "loaders", 1))) == "override 'verify.loaders=[python,cp]'"
    )
    assert (
        str(composition.locate(("signatures", "s", "inputs", "x", "shape", 1)))
        == f"override {shape!r}"
    )
    assert (
        str(composition.locate(("signatures", "s", "inputs", "x", "dtype")))
        == "conf/signatures/mine.yaml:3"
    )


@pytest.mark.parametrize(
    "override",
    [
        "verify.ranges={serving_default: {x: [5, 1]}}",
        "++verify.ranges.serving_default={x: [5, 1]}",
        "verify={ranges: {serving_default: {x: [5, 1]}}}",
    ],
)
def test_everything_that_a_mapping_in_an_override_sets_is_located_there(project, override):
    project.write(
        "conf/verify/mine.yaml", "ranges:\n  serving_default:\n    x: [0, 1]\n    y: [2, 3]\n"
    )

    composition = project.compose("verify=mine", override)

    assert (
        str(composition.locate(("verify", "ranges", "serving_default", "x")))
        == f"override {override!r}"
    )
    assert (
        str(composition.locate(("verify", "ranges", "serving_default", "y")))
        == "conf/verify/mine.yaml:4"
    )


def test_a_removed_key_is_not_located_in_its_file(project):
    spec = "signatures.serving_default.inputs.x"
    composition = project.compose("signatures=scalar_float", f"~{spec}", f"+{spec}={{value: 3}}")

    assert (
        str(composition.locate((*spec.split("."), "dtype"))) == f"override '+{spec}={{value: 3}}'"
    )


def steps_to_locate(project, count):
    """Returns how many functions are called to locate every key of a config."""
    keys = [f"k{number}" for number in range(count)]
    project.write("conf/model/big.yaml", "".join(f"{key}: 1\n" for key in keys))
    composition = project.compose("model=big", "model.k0=2")
    composition.locate(("model", "k0"))  # reads the files
    calls = 0

    def count_call(_frame, event, _argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        found = [composition.locate(("model", key)) for key in keys]
    finally:
        sys.setprofile(None)
    assert str(found[0]) == "override 'model.k0=2'"
    assert [origin.line for origin in found[1:]] == list(range(2, count + 1))
    return calls


def test_locating_four_times_as_many_values_takes_four_times_the_steps(project):
    assert steps_to_locate(project, 400) < 8 * steps_to_locate(project, 100)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (
            "  - overide /model: dense\n",
            "conf/release/r.yaml:3: model: unknown word before /model; write '- override /model: ...'",
        ),
        (
            "  - override /signatures: none\n  - overide /model: dense\n",
            "conf/release/r.yaml:4: model: unknown word before /model; write '- override /model: ...'",
        ),
        (
            "  - override /signatures: none\n  - /model: dense\n",
            "conf/release/r.yaml:4: model: comes after an entry with 'override'; write '- override"
            " /model: dense', or move a new group before these",
        ),
        (
            "  - override /model: dense\nmodel: {units: {a: 1}}\n",
            "conf/release/r.yaml:4: model.units: expected a list, as in the config that it changes,"
            ' got {"a": 1}',
        ),
    ],
)
def test_what_hydra_cannot_merge_is_located_in_its_file(project, entries, expected):
    project.write("conf/model/dense.yaml", "_target_: mynet.Net\nunits: [1, 2]\n")
    project.write("conf/release/r.yaml", f"# @package _global_\ndefaults:\n{entries}")

    with pytest.raises(ConfigError) as error:
        project.compose("release=r")

    assert str(error.value) == expected
