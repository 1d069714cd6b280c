"""`check` refuses what an export would refuse right before the build."""

import pytest
import smdecl
from smdecl.errors import ConfigError, PublishError


def test_check_refuses_a_version_that_exists(project):
    project.write("exports/adder/1/saved_model.pb", "")

    with pytest.raises(PublishError) as error:
        smdecl.check(project.compose("publish.version=1"))

    assert str(error.value) == (
        "override 'publish.version=1': publish.version: version 1 exists: 'exports/adder/1';"
        " expected a different version, next, or publish.replace=true"
    )
    for fitting in (["publish.version=1", "publish.replace=true"], ["publish.version=2"], []):
        smdecl.check(project.compose(*fitting))


def test_check_of_a_sweep_looks_for_the_version_of_each_variant(project):
    project.write("exports/adder/publish.version=2/2/saved_model.pb", "")

    checked = project.run("check", "-m", "publish.version=1,2")

    assert checked.returncode == 5
    [line] = checked.stderr.splitlines()[-1:]
    assert "version 2 exists: 'exports/adder/publish.version=2/2'" in line


def test_check_refuses_files_that_an_export_must_not_add_to(project):
    project.write("runs.jsonl", "not a record\n")

    with pytest.raises(PublishError) as error:
        smdecl.check(project.compose("publish.run_record=runs.jsonl"))

    assert "publish.run_record: " in str(error.value)


def test_check_does_not_contact_a_remote_store(project):

    smdecl.check(project.compose("export_dir=nosuchstore://bucket/models", "publish.version=1"))


def test_check_refuses_what_a_store_cannot_do(project):
    url, options = "gs://bucket/models", ["publish.replace=true", "publish.keep=3"]

    with pytest.raises(ConfigError) as error:
        smdecl.check(project.compose(f"export_dir={url}", *options))

    expected = "expected a local one: a store can neither swap nor retire a version in one step"
    assert list(map(str, error.value.problems)) == [
        f"override {option!r}: {key}: got {value} with the remote base path {url!r}; {expected}"
        for option, key, value in zip(
            options, ("publish.replace", "publish.keep"), ("True", "3"), strict=True
        )
    ]


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_a_typo_of_the_default_signature_is_a_warning_before_an_export(project, verb):
    project.write("conf/signatures/net.yaml", "serving_defualt: {method: add}\n")
    arguments = ["--config-dir", "conf", "signatures=net", "model=typed_adder"]

    done = project.run(verb, *arguments)

    assert done.returncode == 0
    assert (
        "smdecl: warning: conf/signatures/net.yaml:1: signatures.serving_defualt: requests without"
        " a signature name need 'serving_default', which is missing; did you mean it?\n"
    ) in done.stderr
