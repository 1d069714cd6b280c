"""Each variant of a sweep has a directory for its record."""

import pytest
from smdecl.config.project import find_project
from smdecl.errors import ConfigError
from smdecl.pipeline.sweeping import variants
from smdecl.pipeline.sweeping.sweep_places import Places


@pytest.mark.parametrize("verb", [[], ["check"]])
def test_variants_that_would_share_a_directory_are_refused(project, verb):
    done = project.run(*verb, "-m", "seed=1,2", "hydra.sweep.subdir=same")

    assert done.returncode == 2
    assert "hydra.sweep.subdir: the variants seed=1 and seed=2 would share the directory" in (
        done.stderr
    )
    assert not (project.root / "exports").exists()


@pytest.mark.parametrize(
    ("text", "is_distinct"),
    [
        ("run_${hydra.job.num}", True),
        ("'${hydra:job.id}'", True),
        ("'${hydra:job.override_dirname}'", False),  # exclude_keys may leave out any key
        ("same", False),
        ("'${seed}'", False),
    ],
)
def test_a_sweeper_that_adds_variants_needs_a_directory_for_each(project, text, is_distinct):
    places = Places(find_project(project.root), [f"hydra.sweep.subdir={text}"])

    if is_distinct:
        places.require_distinct()
    else:
        with pytest.raises(ConfigError, match=r"expected \$\{hydra.job.num\} in it"):
            places.require_distinct()


@pytest.mark.parametrize(
    ("verb", "launcher"),
    [
        (["check"], []),
        ([], []),
        pytest.param([], ["hydra.output_subdir=.h"], marks=pytest.mark.slow),
    ],
)
def test_a_variant_that_would_publish_where_a_different_one_does_is_refused(
    project, verb, launcher
):
    project.root.joinpath("link").symlink_to("out")
    keys = "publish.version,export_dir"
    unnamed = f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"
    swept = ["publish.version=1,next", "export_dir=out,link/"]

    done = project.run(*verb, "-m", *swept, unnamed, *launcher)

    assert (done.returncode, done.stdout) == (2, "" if verb else "out/1\n")
    errors = [line for line in done.stderr.splitlines() if " error: " in line]
    assert errors == [
        f"smdecl: {variant}: error: override '{variant.split()[1]}': export_dir: the variant"
        f" publish.version=1 export_dir=out publishes into '{project.root}/out' too; expected a"
        " different export_dir or name, or a different number as publish.version of each"
        for variant in (
            "publish.version=1 export_dir=link/",
            "publish.version=next export_dir=out",
            "publish.version=next export_dir=link/",
        )
    ]


def test_variants_may_share_a_base_path_if_each_sets_the_number_of_its_version(project):
    unnamed = "hydra.job.config.override_dirname.exclude_keys=[publish.version]"

    done = project.run("check", "-m", "publish.version=1,2", unnamed)

    assert (done.returncode, done.stderr) == (0, "")


def test_forgetting_earlier_outcomes_leaves_no_empty_directory(tmp_path):
    for name in ("result.json", "0/result.json", "1/result.json", "1/.hydra/config.yaml"):
        place = tmp_path / "sweep" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()

    variants.forget(tmp_path / "sweep")

    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == ["1"]
