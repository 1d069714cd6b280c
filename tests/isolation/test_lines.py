"""Processes that print at the same time do not share a line."""

import os
import tempfile

from smdecl.isolation.lines import at_once, between, showing_bars, whole_lines

from tests.conftest import redirected
from tests.waiting import wait_for


def printed(file):
    """Returns what is in a file, without moving the place where others write into it."""
    return os.pread(file.fileno(), 1 << 20, 0)


def test_each_line_is_whole_and_the_last_one_ends():
    with tempfile.TemporaryFile() as file:
        with redirected(2, file.fileno(), "strict"), whole_lines() as one, whole_lines() as other:
            os.write(one, b"first ")
            os.write(other, b"second\npartial")
            os.write(one, b"line\n" + b"x" * 200_000)
            os.close(one)
            os.close(other)
        lines = printed(file).splitlines(keepends=True)

    assert sorted(lines) == sorted(
        [b"first line\n", b"second\n", b"partial\n", b"x" * 200_000 + b"\n"]
    )


def test_a_progress_bar_is_passed_on_before_its_line_ends_where_it_can_be_shown():
    with tempfile.TemporaryFile() as file, redirected(2, file.fileno(), "strict"):
        with showing_bars(), whole_lines() as one, whole_lines() as other:
            os.write(one, b"\r 10%\r 20%\r")
            wait_for(lambda: printed(file) == b"\r 10%\r")  # the rest may be part of a line end
            os.write(other, b"second\r\n")
            wait_for(lambda: printed(file) == b"\r 10%\rsecond\r\n")
            os.close(one)
            os.close(other)
        with whole_lines() as one:
            os.write(one, b"\r 10%\r 20%\r")
            os.close(one)
        assert printed(file) == b"\r 10%\rsecond\r\n 20%\r\n\r 10%\r 20%\r\n"


def test_what_is_passed_on_at_once_gets_a_line_end_before_others_print():
    with tempfile.TemporaryFile() as file, redirected(2, file.fileno(), "strict"):
        with at_once() as one, at_once() as other:
            os.write(one, b" 10%\r 20%")
            wait_for(lambda: printed(file) == b" 10%\r 20%")
            with between():
                os.write(2, b"stage\n")
            os.write(one, b"more")
            with between():
                os.write(2, b"stage\n")
            os.write(other, b"done\n")
            wait_for(lambda: printed(file).endswith(b"done\n"))
            with between():
                os.write(2, b"stage\n")
            os.write(one, b"last")
            wait_for(lambda: printed(file).endswith(b"last"))
            os.write(other, b" words\n")
            wait_for(lambda: printed(file).endswith(b"words\n"))
            os.close(one)
            os.write(other, b"end")
            os.close(other)
        assert printed(file).decode().splitlines() == [
            " 10%", " 20%", "stage", "more", "stage", "done", "stage", "last words", "end",
        ]  # fmt: skip
        assert printed(file).endswith(b"end\n")


def test_a_process_that_holds_the_descriptor_longer_is_not_awaited():
    with tempfile.TemporaryFile() as file:
        with redirected(2, file.fileno(), "strict"), whole_lines() as into:
            os.write(into, b"partial")
        os.close(into)
        assert printed(file) == b"partial\n"
