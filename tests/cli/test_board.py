"""What the live view shows for a run and for a sweep."""

import pytest
from smdecl.cli.output.board import Board
from smdecl.progress import Run, Step

GIB = 1 << 30


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def board(clock):
    return Board(clock)


@pytest.mark.parametrize(
    ("step", "after", "line"),
    [
        (Step("build"), 0.04, "smdecl: build 0.0 s"),
        (Step("build"), 9.96, "smdecl: build 10.0 s"),
        (Step("save"), 12.9, "smdecl: save 12 s"),
        (Step("save"), 125.0, "smdecl: save 2 min 5 s"),
        (Step("verify", 3, 8), 1.0, "smdecl: verify 1.0 s, 3 of 8 examples"),
        (Step("seal", GIB // 2, 2 * GIB), 1.0, "smdecl: seal 1.0 s, 0.5 of 2.0 GiB"),
        (Step("publish", 1, 900), 1.0, "smdecl: publish 1.0 s, 1 of 900 B"),
        (Step("hash", 0, 0), 1.0, "smdecl: hash 1.0 s"),
    ],
)
def test_a_run_is_a_line_with_its_stage(board, clock, step, after, line):
    board.reached(Run(), Step("check"))
    board.reached(Run(), Step(step.stage))
    clock.now = after
    board.reached(Run(), step)

    assert board.lines(80, 24) == [line]


def test_nothing_is_shown_before_the_first_stage(board):
    assert board.lines(80, 24) == []


def test_a_sweep_has_a_line_for_each_running_variant_and_counts_the_others(board, clock):
    board.reached(Run(), Step("compose"))
    board.planned([("a=1", f"seed={number}") for number in range(5)])
    for number in range(4):
        board.reached(Run(number, ("a=1", f"seed={number}")), Step("save"))
    board.ended(Run(1), has_failed=False)
    board.ended(Run(2), has_failed=True)
    clock.now = 3.0

    assert board.lines(80, 24) == [
        "smdecl: 1 done, 1 failed, 3 left",
        "  save 3.0 s: seed=0",
        "  save 3.0 s: seed=3",
    ]


def test_lines_fit_the_terminal(board):
    board.planned([()] * 9)
    for number in range(9):
        board.reached(Run(number, ("name=" + "日本" * 9,)), Step("build"))

    lines = board.lines(30, 5)
    assert lines[0] == "smdecl: 0 done, 0 failed, ..."
    assert lines[1:3] == ["  build 0.0 s: name=...日本"] * 2
    assert lines[3:] == ["... and 7 more"]
    assert [len(line) for line in board.lines(3, 1)] == [2]
    assert board.lines(1, 1) == [""]


def test_long_overrides_are_cut_so_that_variants_differ(board):
    swept = [(f"a={number}", "model.name=" + "x" * 90 + end) for number in (1, 22) for end in "yz"]
    board.planned(swept)
    for number, overrides in enumerate(swept):
        board.reached(Run(number, overrides), Step("build"))

    assert board.lines(40, 24)[1:] == [
        "  build 0.0 s: a=1 model.nam...xxxxxxxy",
        "  build 0.0 s: a=1 model.nam...xxxxxxxz",
        "  build 0.0 s: a=22 model.na...xxxxxxxy",
        "  build 0.0 s: a=22 model.na...xxxxxxxz",
    ]


def test_names_cannot_control_the_terminal(board):
    board.planned([()])
    board.reached(Run(0, ("a=\x1b[2J\n",)), Step("build"))

    assert board.lines(80, 24)[1] == r"  build 0.0 s: a=\x1b[2J\n"
