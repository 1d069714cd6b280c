"""The versions of installed packages, as they are at the time of the call."""

import errno
import os
import sys
from importlib import metadata

import pytest
from smdecl.pipeline import packages


def test_an_upgrade_is_seen_in_the_same_process(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    metadata = tmp_path / "upgraded-1.dist-info/METADATA"
    metadata.parent.mkdir()
    seen = []

    for version in ("1.0", "2.0"):
        metadata.write_text(f"Metadata-Version: 2.1\nName: upgraded\nVersion: {version}\n")
        seen.append(packages.versions(["upgraded"]))

    assert seen == [{"upgraded": "1.0"}, {"upgraded": "2.0"}]


@pytest.fixture
def noted(monkeypatch):
    """Notes the versions, as the server does, and counts how often metadata is read afterwards."""
    monkeypatch.setattr(packages, "noted", packages.Noted())
    packages.note_versions()
    read = []
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: [read.append(name), version(name)][1])
    return read


def test_a_fork_that_searches_the_project_too_reads_no_metadata_again(noted, tmp_path, monkeypatch):
    expected = {"numpy": metadata.version("numpy")}
    noted.clear()
    (tmp_path / "model.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path, str(tmp_path / "missing")])

    assert packages.versions(["numpy"]) == expected
    assert noted == []


def test_a_fork_that_may_not_read_the_project_reads_no_metadata_again(noted, monkeypatch):
    def refuse(place):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), place)

    noted.clear()
    monkeypatch.setattr(sys, "path", ["/project", *sys.path])
    monkeypatch.setattr(os, "listdir", refuse)

    assert "numpy" in packages.versions(["numpy"])
    assert noted == []


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("numpy-0.1.dist-info", "METADATA"),
        ("numpy-0.1.egg-info", "PKG-INFO"),
        ("numpy-0.1-py3.egg/EGG-INFO", "PKG-INFO"),
    ],
)
def test_packages_in_the_project_are_found_first(noted, tmp_path, monkeypatch, place, file):
    own = tmp_path / place
    own.mkdir(parents=True)
    (own / file).write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(own.parent)

    assert packages.versions(["numpy"]) == {"numpy": "0.1"}


def test_a_fork_that_searches_elsewhere_reads_the_metadata(noted, monkeypatch):
    monkeypatch.setattr(sys, "path", [])

    assert packages.versions(["numpy"]) == {}
