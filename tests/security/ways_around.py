"""An untrusted package and a check that none of it ran, shared by the tests of ways around."""

import pytest
from smdecl.errors import TrustError

from tests.conftest import ROOT

EVIL = "import pathlib\npathlib.Path('ran_import').write_text('')\nclass Evil: ...\ndef evil(x): return x\n"


def ran(project):
    return [path.name for path in project.root.rglob("ran*")]


def refused(project, *overrides, kind=TrustError):
    """Exports what must be refused before anything has run; returns the text of the error."""
    with pytest.raises(kind) as error:
        project.export(*overrides)
    assert error.value.exit_code == 2
    assert ran(project) == []
    assert not (project.root / "exports").exists()
    return str(error.value)


def write_evilpkg(tmp_path, monkeypatch):
    """Writes an untrusted package outside of the project; returns the environment that finds it."""
    package = tmp_path / "elsewhere" / "evilpkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(EVIL)
    (package.parent / "far.yaml").write_text("_target_: smdecl.models.Scaler\n")
    monkeypatch.syspath_prepend(package.parent)
    return {"PYTHONPATH": f"{ROOT}:{package.parent}"}
