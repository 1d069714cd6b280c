"""A remote base path: made and verified here, uploaded with saved_model.pb last."""

import fsspec
import pytest

from smdecl import manifest, pipeline
from smdecl.errors import ConfigError, PublishError
from tests.conftest import tree


@pytest.fixture
def store(project):
    """An object store in this process's memory."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()


def uploaded(store, base="/models"):
    return {name.removeprefix(f"{base}/"): store.cat(name) for name in store.find(base)}


def test_a_release_is_uploaded_as_it_would_be_published(project, store):
    local = project.export("model=scaler", "publish.warmup=true")

    releases = [project.export("model=scaler", "publish.warmup=true", "export_dir=memory://models") for _ in range(2)]

    assert [(release.path, release.version) for release in releases] == [
        ("memory:///models/1", 1),
        ("memory:///models/2", 2),
    ]
    assert releases[0].digest == local.digest
    expected = tree(local.path)
    assert uploaded(store) == {f"{version}/{name}": data for version in (1, 2) for name, data in expected.items()}


def test_what_was_uploaded_and_fetched_again_is_the_release(project, store, tmp_path):
    release = project.export("export_dir=memory://models")

    store.get(release.path, str(tmp_path / "fetched"), recursive=True)

    assert list(manifest.compare(tmp_path / "fetched", manifest.read(tmp_path / "fetched"))) == []
    pipeline.verify(tmp_path / "fetched")


def test_saved_model_pb_comes_last(project, store, monkeypatch):
    order = []
    put = type(store).put_file
    monkeypatch.setattr(
        type(store),
        "put_file",
        lambda self, source, target, **kw: (order.append(target), put(self, source, target, **kw)),
    )

    project.export("export_dir=memory://models")

    assert order[-1] == "/models/1/saved_model.pb"
    assert len(order) == len(uploaded(store))


@pytest.mark.parametrize("failing", range(6))
def test_what_a_store_breaks_off_is_removed_and_the_next_upload_stands(project, store, monkeypatch, failing):
    put, calls = type(store).put_file, []

    def refuse(self, source, target, **keywords):
        calls.append(target)
        if len(calls) == failing + 1:
            raise PermissionError("no")
        return put(self, source, target, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "put_file", refuse)
        with pytest.raises(PublishError) as error:
            project.export("model=scaler", "export_dir=memory://models")

    assert (
        str(error.value)
        == "override 'export_dir=memory://models': export_dir: 'memory://models' refuses: PermissionError: no"
    )
    assert uploaded(store) == {}
    assert project.export("model=scaler", "export_dir=memory://models").path == "memory:///models/1"


def test_a_version_that_exists_is_told_before_anything_is_built(project, store):
    project.export("export_dir=memory://models", "publish.version=7")
    before = uploaded(store)

    with pytest.raises(
        PublishError, match="publish.version: version 7 exists in '/models'; takes another version, or next"
    ):
        project.export(
            "export_dir=memory://models", "publish.version=7", "model._target_=smdecl.models.Scaler", "+model.wrong=1"
        )

    assert uploaded(store) == before
    assert project.export("export_dir=memory://models").version == 8


def test_in_place_takes_an_empty_place(project, store):
    assert project.export("export_dir=memory://models/one", "publish=in_place").path == "memory:///models/one"
    assert "saved_model.pb" in uploaded(store, "/models/one")

    with pytest.raises(PublishError, match="'/models/one' is not empty"):
        project.export("export_dir=memory://models/one", "publish=in_place")


@pytest.mark.parametrize("option", ["publish.replace=true", "publish.keep=3"])
def test_what_a_store_cannot_do_in_one_step_is_refused(project, store, option):
    with pytest.raises(ConfigError, match="a store can neither swap nor retire a version in one step"):
        project.export("export_dir=memory://models", option)


@pytest.mark.parametrize(
    ("url", "message"),
    [("nonsense://bucket/models", "Protocol not known: nonsense"), ("hdfs://host/models", "pyarrow")],
)
def test_a_store_without_a_driver_is_told(project, url, message):
    with pytest.raises(ConfigError, match=message) as error:
        project.export(f"export_dir={url}")

    assert [problem.key for problem in error.value.problems] == ["export_dir"]


def test_the_command_line_prints_the_url(project, tmp_path):
    done = project.run(f"export_dir=file://{tmp_path}/store")

    assert (done.returncode, done.stdout) == (0, f"file://{tmp_path}/store/1\n")
    assert (tmp_path / "store" / "1" / "saved_model.pb").is_file()


def test_a_server_is_told_the_url(project, store):
    project.export("export_dir=memory://models", "publish.models_config=models.config")

    assert 'base_path: "memory://models"' in (project.root / "models.config").read_text()
