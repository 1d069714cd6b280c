"""The benchmark: what its figures mean, and that its commands run."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.benchmarks import cases, documents, measure, picture, results, run
from tests.benchmarks.cases import Command
from tests.benchmarks.measure import Memory, Run
from tests.benchmarks.results import Grown, Measured, Result

STAGES = {"start": 1.0, "build": 1.0, "save": 2.0, "inspect": 1.0, "seal": 0.5, "verify": 2.5}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def result():
    runs = tuple(Run(seconds, 9.0, 2**20, STAGES) for seconds in (11.0, 10.0, 9.0))
    own = Measured("smdecl", runs, Memory(2**30, 2**31))
    plain = Measured("plain script", (Run(8.0, 7.0, 2**20),), Memory(2**30, 2**30))
    return Result("resnet50", "Net", (own, plain))


@pytest.mark.parametrize(
    ("cpu", "exponent"),
    [((3.0, 6.0, 18.0), 1.0), ((103.0, 106.0, 118.0), 1.0), ((1.0, 4.0, 52.0), 2.0)],
)
def test_the_exponent_is_that_of_what_grows(cpu, exponent):
    assert Grown("x", (8, 32, 128), cpu).exponent == pytest.approx(exponent)


def test_what_does_not_grow_has_no_exponent():
    assert Grown("x", (8, 32, 128), (3.0, 2.9, 3.1)).exponent is None


def test_a_ratio_is_of_medians_and_stages_add_up_to_the_whole(result):
    assert result.ratio == 1.25
    assert sum(result.measured[0].stages.values()) == 10.0
    assert result.measured[0].stages["other"] == 2.0


def test_a_table_has_a_line_for_each_command(result):
    lines = results.table([result]).splitlines()

    assert lines[2:] == [
        "| Net | smdecl | 10.00 |  | 9.00 | 1,024 | 2,048 | 1.0 |",
        "|  | plain script | 8.00 | 1.25 x | 7.00 | 1,024 | 1,024 | 1.0 |",
    ]


def test_documents_have_the_figures_of_the_json_file(result):
    machine = {
        "cores": 2,
        "python": "3.11.7",
        "runs": 3,
        "packages": {"tensorflow": "2.21.0", "keras": "3.12.4"},
    }
    grown = Grown("variants", (8, 32, 128), (3.0, 6.0, 18.0))
    document = json.loads(json.dumps(results.as_json([result], [grown], machine)))

    readme = list(documents.readme(document))
    performance = list(documents.performance(document))

    assert "| Net | plain script | 8.00 | 10.00 | 1.25 x |" in readme
    assert set(results.table([result]).splitlines()) < set(performance)
    assert "| variants | 8, 32, 128 | 3.00, 6.00, 18.00 | 1.00 |" in performance
    assert "Medians of 3 runs on 2 cores, with TensorFlow 2.21.0, Keras 3.12.4, Python 3.11:" in (
        performance
    )


def test_the_picture_shows_each_stage_by_its_seconds(result):
    drawing = ElementTree.fromstring(picture.draw([result]))
    parts = [one.text for one in drawing.iter(f"{SVG}title")]
    texts = [one.text for one in drawing.iter(f"{SVG}text")]

    assert parts[1:3] == ["start: 1.00 s", "build: 1.00 s"]
    assert {"Net", "1.25 x", "plain script", "seal", "other"} <= set(texts)


HOLDS = "import sys; held = bytearray(100 * 2**20); print(); sys.stdout.flush(); sys.stdin.read()"
STARTS = """
import subprocess, sys
for process in [subprocess.Popen([sys.executable, "-c", sys.argv[1]]) for _ in range(2)]:
    process.wait()
"""


def test_memory_is_that_of_a_process_and_of_all_its_children():
    command = [sys.executable, "-c", STARTS, HOLDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.readline()
        memory = measure.sample(process.pid)
        process.stdin.close()

    assert 100 * 2**20 < memory.process < 200 * 2**20
    assert 200 * 2**20 < memory.total < 300 * 2**20


def test_a_sample_of_a_loop_is_scaled(tmp_path):
    writes = "open('big', 'wb').write(bytes(2**20))"
    once = measure.timed(Command("", (sys.executable, "-c", writes)), tmp_path)
    scaled = measure.timed(Command("", (sys.executable, "-c", writes), 1000), tmp_path)

    assert scaled.cpu > 10 * once.cpu
    assert scaled.seconds > once.seconds  # a thousand times, were neither ever interrupted


def test_a_script_may_measure_a_part_of_its_run(tmp_path):
    measures = (
        """import json; json.dump({"seconds": 500, "cpu": 300}, open("measured.json", "w"))"""
    )
    part = measure.timed(Command("", (sys.executable, "-c", measures)), tmp_path)
    whole = measure.timed(Command("", (sys.executable, "-c", "")), tmp_path)

    assert (part.seconds, part.cpu) == (500, 300)
    assert whole.seconds < 500


def test_every_case_has_a_name_of_its_own_and_scripts_that_exist():
    names = [case.name for case in cases.CASES]
    scripts = [
        argument
        for case in cases.CASES
        for command in (case.command, *case.beside)
        for argument in command.arguments
        if argument.endswith(".py")
    ]

    assert len(names) == len(set(names))
    assert scripts
    assert all((cases.SCRIPTS / script).is_file() for script in scripts)


def test_an_unknown_case_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        run.main(["adde"])

    assert "unknown case adde; expected some of adder, " in capsys.readouterr().err


@pytest.mark.slow
def test_one_command_measures_an_export_beside_its_plain_script(tmp_path, capsys):
    run.main(["adder", "watch-check", "--runs", "1", "--output", str(tmp_path / "new")])

    document = json.loads((tmp_path / "new" / "benchmarks.json").read_text())
    assert [case["name"] for case in document["cases"]] == ["adder", "watch-check"]
    assert document["cases"][0]["commands"][0]["median"]["stages"]["verify"] > 0
    assert "adder" in (tmp_path / "new" / "benchmarks.svg").read_text()
    assert "| adder | smdecl | " in capsys.readouterr().out
