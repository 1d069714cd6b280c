"""An attacker's weights copy a different file into the release, or fill memory and disk."""

import stat
import zipfile

import h5py
import numpy as np
import pytest
from smdecl.checks import check
from smdecl.checks.weights import self_contained_weights
from smdecl.config.project import find_project
from smdecl.errors import ConfigError

from tests.conftest import tree

PLACE = "layers/dense/vars"


def external_data_set(group, secret):
    group.create_dataset("0", (6,), "u1", external=[(str(secret), 0, 6)])


def link_to_another_file(group, secret):
    group["0"] = h5py.ExternalLink(str(secret), "/values")


def soft_link(group, _secret):
    group["0"] = h5py.SoftLink("/elsewhere")


def dangling_group(group, secret):
    group["0/deep"] = np.zeros(1)
    group["0/link"] = h5py.ExternalLink(str(secret), "/")


def virtual_data_set(group, secret):
    layout = h5py.VirtualLayout((6,), "u1")
    layout[:] = h5py.VirtualSource(str(secret), "values", (6,))
    group.create_virtual_dataset("0", layout)


def data_set_of_a_petabyte(group, _secret):
    group.create_dataset("0", (10**6, 10**9), "u1", chunks=(1000, 1000), compression="gzip")


def data_set_that_overflows(group, _secret):
    group.create_dataset("0", (2**31, 2**31, 4), "u1", chunks=(1, 1, 4))


ATTACKS = {
    external_data_set: "'/layers/dense/vars/0'|keeps its values in 'SECRET'",
    link_to_another_file: "'/layers/dense/vars/0'|is a link to '/values' in 'SECRET'",
    soft_link: "'/layers/dense/vars/0'|is a link to '/elsewhere'",
    dangling_group: "'/layers/dense/vars/0/link'|is a link to '/' in 'SECRET'",
    virtual_data_set: "'/layers/dense/vars/0'|is a view of other data sets",
    data_set_of_a_petabyte: "'/layers/dense/vars/0'|unpacks 0 bytes to 1000000000000000",
    data_set_that_overflows: "'/layers/dense/vars/0'|unpacks 0 bytes to 18446744073709551616",
}


def write_hdf5(path, secret, attack=None):
    with h5py.File(path, "w") as file:
        group = file.create_group(PLACE)
        group["values"] = np.zeros(8, "f4")
        group["again"] = group["values"]
        group["loop"] = file
        if attack is not None:
            attack(group, secret)


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("secret")
    return path


@pytest.mark.parametrize("name", ["w.weights.h5", "w.keras"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_weights_keep_their_values_themselves(tmp_path, secret, attack, name):
    path = tmp_path / name
    write_hdf5(tmp_path / "plain.h5", secret, attack)
    content = (tmp_path / "plain.h5").read_bytes()
    if name == "w.keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", content)
            archive.writestr("config.json", "{}")
    else:
        path.write_bytes(content)

    (reason,) = self_contained_weights.refuse_objects(path)

    place, expected = ATTACKS[attack].replace("SECRET", str(secret)).split("|")
    holder = f"{path}:model.weights.h5" if name == "w.keras" else str(path)
    assert reason.startswith(f"the object {place} of {holder!r} {expected}")


def test_an_archive_that_is_hdf5_too_is_read_as_both(tmp_path, secret):
    write_hdf5(tmp_path / "w.keras", secret, external_data_set)
    with zipfile.ZipFile(tmp_path / "w.keras", "a") as archive:
        archive.writestr("config.json", "{}")

    assert len(list(self_contained_weights.refuse_objects(tmp_path / "w.keras"))) == 1


def test_weights_with_nothing_but_values_are_taken(tmp_path, secret):
    write_hdf5(tmp_path / "w.h5", secret)
    (tmp_path / "none.h5").write_bytes(b"\x89HDF\r\n\x1a\n broken")

    assert list(self_contained_weights.refuse_objects(tmp_path / "w.h5")) == []
    assert list(self_contained_weights.refuse_objects(tmp_path / "none.h5")) == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "..\\x"])
def test_a_member_of_an_archive_leads_to_no_other_place(tmp_path, name):
    member = zipfile.ZipInfo()
    member.filename = name
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr(member, "")

    (reason,) = self_contained_weights.refuse_members(tmp_path / "w.keras")

    assert "is outside the archive" in reason


def test_a_member_of_an_archive_is_not_read_as_a_link(tmp_path):
    member = zipfile.ZipInfo("assets")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr(member, "/etc")

    assert "is a symbolic link" in next(self_contained_weights.refuse_members(tmp_path / "w.keras"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_of_an_archive_is_there_once(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("config.json", "{ }")

    assert "is in the archive twice" in next(
        self_contained_weights.refuse_members(tmp_path / "w.keras")
    )


def bomb(path):
    """Writes an archive of a few hundred kilobytes that unpacks to 100 MiB, and says so."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        with archive.open("model.weights.h5", "w") as member:
            for _ in range(100):
                member.write(bytes(1 << 20))


def test_weights_that_fill_memory_are_refused_by_check(project):
    bomb(project.root / "w.keras")
    composition = project.compose("model=dense", "weights=keras", "weights.path=w.keras")

    with pytest.raises(ConfigError) as error:
        check.check(composition, find_project(project.root))

    (problem,) = error.value.problems
    assert (problem.key, error.value.exit_code) == ("weights.path", 2)
    assert "the member 'model.weights.h5' of 'w.keras' unpacks " in problem.message
    assert problem.message.endswith("expected at most 100 times its size")


FORMATS = {
    "weights.path": ["model=dense", "weights=keras_weights", "weights.path=w.keras.weights.h5"],
    "model.path": ["model._target_=smdecl.models.load_keras", "+model.path=w.keras", "name=w"],
}


@pytest.mark.parametrize(("key", "overrides"), FORMATS.items(), ids=["weights", "a whole model"])
def test_no_outside_file_is_restored_into_a_release(project, secret, key, overrides):
    write_hdf5(project.root / "w.keras.weights.h5", secret, external_data_set)
    with zipfile.ZipFile(project.root / "w.keras", "w") as archive:
        archive.write("w.keras.weights.h5", "model.weights.h5")

    with pytest.raises(ConfigError) as error:
        project.export(*overrides, "signatures=none")

    (problem,) = error.value.problems
    assert (problem.key, error.value.exit_code) == (key, 2)
    assert "the object '/layers/dense/vars/0' of 'w.keras" in problem.message
    expected = f"keeps its values in {str(secret)!r}; expected values in the file itself"
    assert expected in problem.message
    assert "exports" not in {name.partition("/")[0] for name in tree(project.root)}
