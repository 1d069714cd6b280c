"""`publish.unchanged=skip` publishes nothing that only repeats the newest version."""

import shutil
from pathlib import Path

import pytest
from smdecl.names import MESSAGE_FILE
from smdecl.release import manifest

from tests.conftest import tree
from tests.release.signatures import keys_of

SKIP = ("model=scaler", "publish.unchanged=skip")


def versions(project):
    return sorted(path.name for path in (project.root / "exports/scaler").iterdir())


def _flip(path: Path) -> None:
    data = bytearray((path / MESSAGE_FILE).read_bytes())
    data[-1] ^= 1
    (path / MESSAGE_FILE).write_bytes(data)


def _edit_manifest(path: Path) -> None:
    with (path / manifest.FILE).open("a") as file:
        file.write(" ")


def _remove_manifest(path: Path) -> None:
    shutil.rmtree((path / manifest.FILE).parent)


def test_what_is_published_is_not_published_again_unless_it_was_changed(project):
    project.write("exports/scaler/1/saved_model.pb", "of a different program")
    first = project.export(*SKIP)
    before = tree(project.root)
    assert (first.version, first.is_new) == (2, True)

    # A version that does not exist is compared with the newest one, and nothing is retired.
    same = (*SKIP, "publish.version=7", "publish.keep=1", "publish.run_record=runs.jsonl")
    done = project.run(*same)
    assert (done.returncode, done.stdout) == (0, "exports/scaler/2\n")
    assert done.stderr == (
        "smdecl: nothing changed: exports/scaler/2 is the same release, so nothing is published\n"
    )
    assert tree(project.root) == before

    _flip(first.path)
    again = project.export(*SKIP)
    assert (again.version, again.is_new, again.digest) == (3, True, first.digest)
    warned = "content differs from the manifest: expected sha256 "
    assert f"exports/scaler/2/{MESSAGE_FILE}: {warned}" in str(again.warnings)


@pytest.mark.slow
def test_only_the_version_to_follow_or_to_replace_is_compared(project):
    for factor in (1, 2):
        project.export(*SKIP, f"model.factor={factor}")
    swap = (*SKIP, "model.factor=2", "publish.version=1", "publish.replace=true")
    models_config = "publish.models_config=m.config"

    found = [project.export(*swap), project.export(*swap, models_config)]
    assert [(each.version, each.is_new) for each in found] == [(1, True), (1, False)]
    assert (project.root / "m.config").exists()
    # The first two versions had these bytes, but the newest one has more.
    for overrides in (("publish.warmup=true",), ("publish.keep=2",)):
        assert project.export(*SKIP, "model.factor=2", *overrides).is_new
    assert versions(project) == ["3", "4"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "damage"),
    [
        (_flip, f"{MESSAGE_FILE}: content differs from the manifest: expected sha256 "),
        (_edit_manifest, f"{manifest.FILE}: changed since "),
        (_remove_manifest, None),  # as it is if a different program made it
    ],
)
def test_a_version_that_was_changed_is_not_the_same_release(project, change, damage):
    first = project.export(*SKIP)
    change(first.path)

    again = project.export(*SKIP)

    assert (again.version, again.is_new) == (2, True)
    assert again.digest == first.digest
    shown = [str(warning) for warning in again.warnings]
    assert len(shown) == (0 if damage is None else 1)
    for warning in shown:
        assert warning.startswith(
            "override 'publish.unchanged=skip': publish.unchanged: publishes again what is not as"
            f" it was published: exports/scaler/1/{damage}"
        )


@pytest.mark.slow
def test_a_release_that_is_signed_differently_is_published(project, tmp_path_factory):
    sign = f"publish.sign={keys_of(tmp_path_factory) / 'release.pem'}"
    found = [project.export(*SKIP, *more) for more in ((), (sign,), (sign,), ())]

    assert [(each.version, each.is_new) for each in found] == [
        (1, True), (2, True), (2, False), (3, True),
    ]  # fmt: skip


@pytest.mark.slow
def test_each_variant_of_a_sweep_is_compared(project):
    sweep = ["-m", *SKIP[1:], "model=scaler,adder", "signatures=scalar_float"]
    project.run(*sweep, "model=scaler")
    done = project.run(*sweep)

    place = "exports/scaler/model=scaler/1"
    assert done.stdout.splitlines() == [place, "exports/adder/model=adder/1"]
    assert done.stderr.splitlines()[0] == (
        f"smdecl: model=scaler: nothing changed: {place} is the same release, so nothing is published"
    )
