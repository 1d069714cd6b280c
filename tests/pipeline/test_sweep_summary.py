"""The record of a sweep is written again after each outcome."""

import json

import pytest
from smdecl import schema
from smdecl.errors import PublishError
from smdecl.pipeline.sweeping.sweep_summary import Summary
from smdecl.pipeline.sweeping.variants import Variant


def test_the_file_has_the_outcomes_until_now(tmp_path):
    swept = [["name=a\\\nb"], ["seed=1"], ["seed=2"]]
    summary = Summary(tmp_path / "sweep", swept, ["c" * 64, None])

    summary.record([Variant(2, ("seed=2",), 3, None, None, ("no\nway",), 1.5)])
    summary.record([Variant(0, ("name=a\\\nb",), 0, "exports/1", "d" * 64, (), 1.0)])

    record = json.loads(summary.file.read_text())
    for variant in record:
        schema.require("sweep", variant)
    assert [variant["state"] for variant in record] == ["published", "unfinished", "failed"]
    assert [variant["config"] for variant in record] == ["c" * 64, None, None]
    assert summary.file.read_text() == json.dumps(record, indent=2) + "\n"
    assert summary.counts() == "1 published, 1 failed, 1 unfinished"
    assert [variant.number for variant in summary.outcomes] == [0, 2]


def test_only_the_last_write_fails_if_the_file_cannot_be_written(tmp_path):
    (tmp_path / "sweep").touch()
    summary = Summary(tmp_path / "sweep", [["seed=1"]], [])

    summary.record([])

    with pytest.raises(PublishError):
        summary.write()
