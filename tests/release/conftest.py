"""Fixtures of a signed release and its keys."""

import shutil

import pytest

from tests.release.signatures import keys_of, signed_release


@pytest.fixture
def keys(tmp_path_factory):
    return keys_of(tmp_path_factory)


@pytest.fixture
def release(tmp_path_factory, tmp_path):
    return shutil.copytree(signed_release(tmp_path_factory), tmp_path / "copy" / "7")


@pytest.fixture
def public(keys):
    return keys / "release.pub"
