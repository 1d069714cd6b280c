"""An object store in memory and fake releases, shared by the tests of uploads."""

import contextlib

import fsspec
from smdecl.config.settings import Publish
from smdecl.release.publish_remote import RemotePublisher

NEXT = Publish(version="next", replace=False)
FILES = (
    "assets.extra/smdecl/manifest.json",
    "assets/words",
    "fingerprint.pb",
    "saved_model.pb",
    "variables/data",
)


@contextlib.contextmanager
def memory_store():
    """Yields the object store in memory, emptied before and after."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()


def uploaded(store, base="/models"):
    return {name.removeprefix(f"{base}/"): store.cat(name) for name in store.find(base)}


def made(directory, content, names=FILES):
    """Fills a directory with the files of a fake release; returns it."""
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"{content} {name}")
    return directory


def upload(directory):
    return RemotePublisher("memory://models", NEXT).publish(directory)[:2]
