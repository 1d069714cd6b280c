"""The versions of installed packages, as they are at the time of the call."""

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
