"""Large files are on disk before a release is published, and no error of the disk is lost."""

import ctypes
import errno
import os
import tempfile
from pathlib import Path

import pytest
from smdecl.errors import PublishError
from smdecl.release import early_sync

LARGE = 80 << 20  # bytes; more than is written at a time
CACHESTAT = 451
BIG = """
import tensorflow as tf
class Big(tf.Module):
    def __init__(self):
        self.big = tf.Variable(tf.zeros([5 << 20]))
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def __call__(self, x):
        return x + self.big[0]
"""


def unwritten(path: Path) -> int:
    """Returns the number of cached pages that are not on disk, by cachestat(2)."""
    whole, counts = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    with path.open("rb") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(CACHESTAT, file.fileno(), whole, counts, 0) != 0:
            pytest.skip(f"cachestat: {os.strerror(ctypes.get_errno())}")
    _, dirty, in_writeback, *_ = counts
    return dirty + in_writeback


@pytest.fixture
def large():
    # On a disk, although the other directories of the tests may be in memory.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        path = Path(directory, "release", "variables", "large")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\1" * LARGE)
        yield path


def test_large_files_are_on_disk_at_the_end(large):
    probe = large.with_name("probe")
    probe.write_bytes(b"\1" * (1 << 20))
    with probe.open("rb") as file:
        os.fsync(file.fileno())
    if not unwritten(large) or unwritten(probe):
        pytest.skip("the file system does not write later")

    with early_sync.syncing(large.parent.parent) as early:
        early.begin(large.parent.parent)
        early.finish()

    assert unwritten(large) == 0


def fail(path, *_):
    raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


def test_an_error_of_the_disk_is_raised_at_the_end(large, monkeypatch):
    monkeypatch.setattr(early_sync, "write_range", fail)

    with early_sync.syncing(large.parent.parent) as early:
        early.begin(large.parent.parent)
        with pytest.raises(OSError, match="Input/output error") as error:
            early.finish()

    assert error.value.filename == str(large)


def test_nothing_waits_for_the_disk_before_an_upload(large, monkeypatch):
    monkeypatch.setattr(early_sync, "write_range", fail)

    with early_sync.syncing("memory://bucket/models") as early:
        early.begin(large.parent.parent)
        early.finish()


def test_a_disk_that_fails_before_publishing_is_a_publish_error(project, monkeypatch):
    monkeypatch.setattr(early_sync, "write_range", fail)
    project.write("mynet.py", BIG)

    with pytest.raises(PublishError) as error:
        project.export("model._target_=mynet.Big", "signatures=none", "export_dir=exports/big")

    expected = "export_dir: cannot write to 'exports/big': Input/output error"
    assert expected in str(error.value)
    assert not (project.root / "exports").exists()
