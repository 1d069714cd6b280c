"""An attacker writes a few hundred bytes of config that take minutes or all memory to compose."""

import json

import pytest
import smdecl
from smdecl.config import project
from smdecl.errors import ConfigError, UsageError

from tests.security import hostile

TARGET = "_target_: smdecl.models.Adder\n"


@pytest.fixture
def conf(tmp_path):
    return tmp_path / "conf"


@pytest.fixture
def compose(limited, conf):
    """Composes a config with `text` as its model, with little processor time and memory."""

    def run(text, *overrides):
        write(conf / "model/bomb.yaml", TARGET + text)
        return limited("compose", conf, "model=bomb", *overrides)

    return run


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def refused(outcome):
    assert outcome.exit_code == 2, outcome.text[:500]
    assert len(outcome.text) < 2000
    return outcome.text.partition("\n")[2]


def values(outcome):
    assert outcome.exit_code == 0, outcome.text[:500]
    return json.loads(outcome.text)


def doubled(first, form, times=40):
    """Returns lines of keys `k0`, `k1`, …, each of which names the one before it twice."""
    lines = [f"k0: {first}"]
    lines += [
        f"k{number}: {form.format(before=f'k{number - 1}', own=f'k{number}')}"
        for number in range(1, times)
    ]
    return "\n".join(lines) + "\n"


# YAML.


@pytest.mark.parametrize(
    "text",
    [
        doubled("&k0 [1]", "&{own} [*{before}, *{before}]"),
        doubled("&k0 {a: 1}", "&{own} {{a: *{before}, b: *{before}}}"),
        doubled("&k0 {a: 1}", "&{own} {{<<: [*{before}, *{before}]}}"),
    ],
    ids=["lists", "mappings", "merges"],
)
def test_aliases_that_double_are_refused_at_their_line(compose, conf, text):
    expected = "more than 20000 values, counting those that aliases repeat; expected fewer"

    found = refused(compose(text))

    assert found.startswith(f"{conf}/model/bomb.yaml:1")
    assert found.endswith(expected)


def test_a_text_that_holds_a_document_is_bounded_too(limited, conf):
    document = doubled("&k0 [1]", "&{own} [*{before}, *{before}]")
    write(conf / "model/bomb.yaml", json.dumps(document))

    assert "counting those that aliases repeat" in refused(limited("compose", conf, "model=bomb"))


def test_recursive_or_deeply_nested_values_are_refused(compose, conf):
    place = f"{conf}/model/bomb.yaml:2: "
    chained = doubled("&k0 [1]", "&{own} [*{before}]", times=100)

    assert (
        refused(compose("k: &a [*a]\n")) == f"{place}the alias *a refers to a node that contains it"
    )
    assert (
        refused(compose(f"k: {'[' * 1000}{']' * 1000}\n"))
        == f"{place}nested more than 64 levels deep; expected fewer"
    )
    assert refused(compose(chained)).endswith("nested more than 64 levels deep; expected fewer")
    brackets = f"{'[' * 1000}{']' * 1000}"
    assert refused(compose(f"k: '${{oc.create:{brackets}}}'\n")).startswith(
        f"{place}nested more than 64 levels deep"
    )
    assert refused(compose("", f"+model.x={brackets}")).endswith(
        "': nested more than 64 levels deep; expected fewer"
    )


@pytest.mark.parametrize("digits", ["1" + ":1" * 100_000, "9" * 5000, "0x" + "f" * 5000])
def test_a_long_integer_is_refused_at_its_line(compose, conf, digits):
    message = "an integer has more than 4300 digits; expected fewer"

    assert refused(compose(f"x: {digits}\n")) == f"{conf}/model/bomb.yaml:2: {message}"


@pytest.mark.parametrize(
    "value",
    [
        "1:" * 300 + "1.5", "0b_", "!!bool x", "!!float ''", "!!float x", "!!int ''", "!!int '-'",
        "!!timestamp x",
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_read_is_refused_at_its_line(compose, conf, value):
    found = refused(compose(f"x: {value}\n"))

    assert found.startswith(f"{conf}/model/bomb.yaml:2: invalid YAML: invalid value ")


def test_a_large_file_is_not_read(compose, limited, conf):
    hostile.sparse(conf / "model/bomb.yaml", 1 << 35)

    message = f"cannot read the file: it has {1 << 35} bytes; expected at most {1 << 22}"
    assert refused(limited("compose", conf, "model=bomb")) == f"{conf}/model/bomb.yaml: {message}"
    # Where the lines of all files are searched for the origin of an error.
    write(conf / "model/broken.yaml", TARGET + "x: ${b\n")
    assert "broken.yaml:2: invalid interpolation" in refused(
        limited("compose", conf, "model=broken")
    )


def test_aliases_merges_and_scalar_documents_still_work(compose, limited, conf):
    model = values(compose("a: &a {x: [1, 2]}\nb: *a\nc: {<<: *a, y: 3}\n"))["model"]

    assert model["b"] == {"x": [1, 2]}
    assert model["c"] == {"x": [1, 2], "y": 3}
    write(conf / "model/lone.yaml", "word\n")
    assert values(limited("compose", conf, "model=lone"))["model"] == {"word": None}
    write(conf / "model/lone.yaml", "7\n")
    assert refused(limited("compose", conf, "model=lone")).endswith(
        "lone.yaml:1: expected a mapping, got 7"
    )


def test_a_pyproject_is_bounded_too(tmp_path):
    hostile.sparse(tmp_path / "pyproject.toml", 1 << 35)
    with pytest.raises(UsageError, match="cannot read .*expected at most"):
        project.find_project(tmp_path)

    (tmp_path / "pyproject.toml").write_text(f"x = {'[' * 5000}{']' * 5000}\n")
    with pytest.raises(UsageError, match="cannot read "):
        project.find_project(tmp_path)


# Interpolations.


def test_interpolations_that_double_a_text_are_refused_at_a_key(compose, conf):
    found = refused(compose(doubled("abcdefgh", "${{.{before}}}${{.{before}}}")))

    assert found.startswith(f"{conf}/model/bomb.yaml:13: model.k11: ")
    assert found.endswith("interpolations expand to more than 5000 values; expected fewer")


def test_interpolations_that_double_a_list_are_refused_at_a_key(compose):
    found = refused(compose(doubled("[1]", "['${{..{before}}}', '${{..{before}}}']")))

    assert "model.k" in found
    assert found.endswith("interpolations expand to more than 5000 values; expected fewer")


def test_a_long_text_is_not_repeated_by_interpolations(compose):
    found = refused(compose(f"a: {'x' * 1_000_000}\nb: {'${.a}' * 1000}\n"))

    assert found.endswith(
        "model.b: interpolations expand to more than 10000000 characters; expected fewer"
    )


def test_interpolations_of_hydras_own_settings_are_bounded(limited, conf):
    write(
        conf / "release/bomb.yaml",
        "# @package _global_\n" + doubled("a", "${{{before}}}${{{before}}}"),
    )
    overrides = ["release=bomb", "hydra.sweep.dir=${k39}"]

    assert "interpolations expand to more than 5000 values" in refused(
        limited("compose", conf, *overrides)
    )


# Defaults lists.


def test_defaults_lists_that_double_are_refused(limited, conf):
    for number in range(40):
        entry = f"k{number + 1}"
        write(conf / f"model/k{number}.yaml", f"defaults:\n  - {entry}@a\n  - {entry}@b\n")
    write(conf / "model/k40.yaml", TARGET)

    found = refused(limited("compose", conf, "model=k0"))

    assert found.endswith(".yaml: defaults lists choose more than 300 configs; expected fewer")


# Sweeps.


@pytest.mark.parametrize(
    ("overrides", "variants"),
    [
        (["seed=range(1,100000001)"], "100000000"),
        (["seed=shuffle(range(0,1,1e-9))"], "1000000000"),
        (["seed=range(0,101)", "name=a,b", "+x=range(0,50)"], "10100"),
        (["seed=range(0,1,1e-300)"], "more than 1000000000000000000"),
    ],
)
def test_a_sweep_of_too_many_variants_is_counted_and_not_expanded(limited, overrides, variants):
    found = refused(limited("sweep", *overrides))

    assert (
        found
        == f"override {overrides[0]!r}: the sweep has {variants} variants; expected at most 10000"
    )


@pytest.mark.parametrize("swept", ["range(0,inf)", "range(0,9,0)", "range(0.5,9,0)"])
def test_a_range_that_never_ends_is_refused(limited, swept):
    expected = "is an endless range; expected finite bounds and a step other than 0"

    assert refused(limited("sweep", f"seed={swept}")) == f"override 'seed={swept}': {expected}"


def test_the_variants_are_counted_as_hydra_makes_them(limited):
    overrides = [
        "seed=range(9,1,-3)",
        "+x=range(0,1,0.25)",
        "name=choice(a,b)",
        "model=glob(*_concat)",
    ]

    made = values(limited("sweep", *overrides))

    assert len(made) == 3 * 4 * 2
    assert len(values(limited("sweep", "seed=range(0,10000)"))) == 10_000


# Python.


def test_a_mapping_that_shares_its_values_is_bounded():
    value = [1]
    for _ in range(40):
        value = [value, value]

    with pytest.raises(ConfigError, match="model: more than 20000 values; expected fewer"):
        smdecl.check({"model": {"_target_": "smdecl.models.Adder", "x": value}})
