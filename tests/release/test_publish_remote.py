"""A release for a remote base path is made and verified locally, then uploaded."""

import pytest
from smdecl import progress
from smdecl.errors import ConfigError, PublishError
from smdecl.pipeline import verify
from smdecl.progress import Listener
from smdecl.release import comparison, manifest

from tests.conftest import tree
from tests.release.stores import FILES, made, memory_store, upload, uploaded


@pytest.fixture
def store(project):
    with memory_store() as files:
        yield files


def test_an_uploaded_release_has_the_files_of_a_local_one(project, store, monkeypatch, tmp_path):
    order = []
    put = type(store).put_file
    monkeypatch.setattr(
        type(store),
        "put_file",
        lambda self, source, target, **kw: (order.append(target), put(self, source, target, **kw)),
    )
    local = project.export("model=scaler", "publish.warmup=true")

    remote = ["export_dir=memory://models", "publish.models_config=models.config"]
    first, second = (
        project.export("model=scaler", "publish.warmup=true", *remote) for _ in range(2)
    )

    assert (first.path, first.version) == ("memory:///models/1", 1)
    assert (second.path, second.version) == ("memory:///models/2", 2)
    assert first.digest == local.digest
    expected = tree(local.path)
    assert uploaded(store) == {
        f"{version}/{name}": data for version in (1, 2) for name, data in expected.items()
    }
    # saved_model.pb, without which a server sees no version, comes last.
    assert order[-1] == "/models/2/saved_model.pb"
    assert len(order) == len(uploaded(store))
    assert 'base_path: "memory://models"' in (project.root / "models.config").read_text()

    store.get(second.path, str(tmp_path / "fetched"), recursive=True)
    assert list(comparison.compare(tmp_path / "fetched", manifest.read(tmp_path / "fetched"))) == []
    verify.verify(tmp_path / "fetched")


def test_an_error_of_the_store_names_the_key_and_the_next_upload_succeeds(
    project, store, monkeypatch
):
    def refuse(*_arguments, **_keywords):
        raise PermissionError("no")

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "put_file", refuse)
        with pytest.raises(PublishError) as error:
            project.export("model=scaler", "export_dir=memory://models")

    assert (
        str(error.value)
        == "override 'export_dir=memory://models': export_dir: cannot access 'memory://models': PermissionError: no"
    )
    assert uploaded(store) == {}
    assert project.export("model=scaler", "export_dir=memory://models").path == "memory:///models/1"


def test_an_existing_version_is_reported_before_anything_is_built(project, store):
    project.export("export_dir=memory://models", "publish.version=7")
    before = uploaded(store)

    with pytest.raises(
        PublishError,
        match="publish.version: version 7 exists in '/models'; expected a different version, or next",
    ):
        project.export(
            "export_dir=memory://models",
            "publish.version=7",
            "model=scaler",
            "model.factor=word",
        )

    assert uploaded(store) == before
    assert project.export("export_dir=memory://models").version == 8


@pytest.mark.slow
def test_an_unchanged_release_is_not_uploaded_again(project, store):
    skip = ("model=scaler", "export_dir=memory://models", "publish.unchanged=skip")
    project.export(*skip)
    before = uploaded(store)

    for version in ("next", "1", "7"):
        found = project.export(*skip, f"publish.version={version}")
        assert (found.path, found.version, found.is_new) == ("memory:///models/1", 1, False)
    assert uploaded(store) == before

    store.pipe("/models/1/saved_model.pb", bytes(len(before["1/saved_model.pb"])))
    with pytest.raises(PublishError, match="version 1 exists in '/models'"):
        project.export(*skip, "publish.version=1")
    found = project.export(*skip)
    assert (found.path, found.is_new) == ("memory:///models/2", True)
    assert "memory:///models/1/saved_model.pb: content differs" in str(found.warnings[0])


def test_publishing_in_place_needs_an_empty_place(project, store):
    assert (
        project.export("export_dir=memory://models/one", "publish=in_place").path
        == "memory:///models/one"
    )
    assert "saved_model.pb" in uploaded(store, "/models/one")

    with pytest.raises(PublishError, match="'/models/one' is not empty"):
        project.export("export_dir=memory://models/one", "publish=in_place")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense://bucket/models", "Protocol not known: nonsense"),
        ("hdfs://host/models", "pyarrow"),
    ],
)
def test_a_missing_driver_is_reported(project, url, message):
    with pytest.raises(ConfigError, match=message) as error:
        project.export(f"export_dir={url}")

    assert [problem.key for problem in error.value.problems] == ["export_dir"]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("github://foo/bar", ConfigError),
        ("reference://x", ConfigError),
        ("jlab://h/x", ConfigError),
        ("dbfs://x", ConfigError),
        ("generic://x", ConfigError),
        ("dir://x", ConfigError),
        ("ftp://nohost.invalid/x", PublishError),
        ("zip://x/y", PublishError),
    ],
)
def test_any_error_of_a_driver_is_reported(project, url, kind):
    with pytest.raises(kind) as error:
        project.export(f"export_dir={url}", "+model.wrong=1")

    (problem,) = error.value.problems
    assert problem.key == "export_dir"
    cause = type(error.value.__cause__).__name__
    assert problem.message.startswith(f"cannot open {url!r}: {cause}: ")
    assert problem.message.endswith(
        "; expected a URL that fsspec and the store's driver open, or a local path"
    )


@pytest.mark.parametrize(
    "url",
    [
        "simplecache::file:///{root}/x",
        "blockcache::s3://x",
        "zip://x::file://{root}/x.zip",
        "://x",
        "s3://",
        "file:///",
        "memory:////",
        "1s3://x",
        "gs//x://y",
    ],
)
def test_an_invalid_url_is_refused(project, url):
    with pytest.raises(ConfigError, match="invalid URL") as error:
        project.export(f'export_dir="{url.format(root=project.root)}"')

    assert [problem.key for problem in error.value.problems] == ["export_dir"]
    assert [path.name for path in project.root.iterdir()] == ["pyproject.toml"]


@pytest.mark.slow
def test_the_command_line_prints_the_url(project, tmp_path):
    done = project.run(f"export_dir=file://{tmp_path}/store")

    assert (done.returncode, done.stdout) == (0, f"file://{tmp_path}/store/1\n")
    assert (tmp_path / "store" / "1" / "saved_model.pb").is_file()


class Bytes(Listener):
    def __init__(self):
        self.steps = []

    def reached(self, run, step):
        self.steps.append((step.done, step.total))


@pytest.mark.parametrize("takes_callback", [True, False])
def test_the_bytes_of_an_upload_are_reported(store, tmp_path, monkeypatch, takes_callback):
    directory = made(tmp_path / "release", "new")
    total = sum((directory / name).stat().st_size for name in FILES)
    if not takes_callback:
        put = type(store).put_file

        def put_alone(self, source, place):
            put(self, source, place)

        monkeypatch.setattr(type(store), "put_file", put_alone)
    listener = Bytes()

    with progress.listening([listener]):
        upload(directory)

    assert listener.steps[-1] == (total, total)
    assert len(listener.steps) >= len(FILES)
