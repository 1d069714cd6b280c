"""The table at the end of a sweep."""

import re
from pathlib import Path

import pytest
from smdecl.cli.output import sweep_table
from smdecl.pipeline.sweeping.variants import Variant

from tests.cli.terminals import Terminal
from tests.conftest import redirected

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
NAMES = ("units=4", "units=word")
PATH = "exports/net/units=4,activation=relu/1"
ERROR = "override 'units=word': model: building mynet.Net failed: [/INST] has no units"
LONG = "model.kernel_initializer_of_the_first_layer: expected one of " + "a, " * 60
RESULTS = [
    Variant(0, (NAMES[0], "seed=3"), 0, PATH, "", (), 2.34),
    Variant(1, (NAMES[1], "seed=3"), 3, None, None, (ERROR,), 112.3),
]
FAILED = Variant(2, ("units=5", "seed=3"), 2, None, None, (f"{LONG}\nb", "c", "d"), 0.1)
FILE = "sweeps/2026-11-27/02-20-48-015875/sweep.json"


def print_table(*more):
    sweep_table.print_table([*RESULTS, *more], Path(FILE).parent, {"seed=3"})


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_it_fits_into_a_terminal_and_nothing_is_cut(columns, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    with Terminal(columns) as terminal:
        with redirected(2, terminal.slave, "strict"):
            print_table()
        terminal.seen()  # waits for all of it
        place, *lines = _STYLE.sub("", terminal.printed).replace("\x1b[999Z", "").splitlines()

    assert place == FILE
    assert max(map(len, lines)) <= columns
    words = "".join("".join(lines).split())
    for text in (*NAMES, PATH, ERROR, "2.3", "112.3"):
        assert "".join(text.split()) in words


def test_a_line_has_all_of_a_variant_but_long_errors_where_there_is_no_terminal(
    capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "40")

    print_table(FAILED)

    place, *lines = capsys.readouterr().err.splitlines()
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if "│" in line]
    assert place == FILE
    assert rows == [
        [NAMES[0], "0", "2.3", PATH],
        [NAMES[1], "3", "112.3", ERROR],
        ["units=5", "2", "0.1", f"{LONG[:77]}... and 2 more"],
    ]
