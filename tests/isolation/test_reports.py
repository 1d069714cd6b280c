"""A child reports how far it is, asks and listens, and cannot make its caller believe more."""

import json
from collections.abc import Iterator

import pytest
from smdecl.errors import ModelError, VerificationError
from smdecl.isolation import reports
from smdecl.isolation.reports import Answer, Report, ReportHandler
from smdecl.pipeline.children import children

OPTIONS = {"failure": VerificationError, "doing": "testing"}


def count_to(total):
    for done in range(total):
        reports.report("counting", done + 1, total)
    return total


def test_reports_arrive_in_order_before_the_result():
    seen = []

    result = children.run(count_to, 3, **OPTIONS, handler=ReportHandler(seen.append))

    assert result == 3
    assert seen == [Report("counting", number, 3) for number in (1, 2, 3)]


def ask_twice():
    return [reports.ask("where"), reports.ask("where"), reports.ask("why")]


def test_a_question_is_answered_once():
    done = []
    answer = Answer("here", lambda: done.append("afterwards"))
    handler = ReportHandler(answers={"where": lambda: answer})

    assert children.run(ask_twice, **OPTIONS, handler=handler) == ["here", "", ""]
    assert done == ["afterwards"]


def test_a_question_without_a_listener_has_an_empty_answer():
    assert children.run(ask_twice, **OPTIONS) == ["", "", ""]
    assert ask_twice() == ["", "", ""]


def ask_without_end():
    question = json.dumps({"stage": "where", "asks": True}).encode()
    while True:
        reports._caller.sender.send_bytes(b"report " + question)


def test_a_child_that_reads_no_answers_does_not_block_its_caller():
    # The answers would fill the pipe to the child, and nobody would read the pipe from it.
    with pytest.raises(VerificationError, match="asked more than 100 questions"):
        children.run(ask_without_end, **OPTIONS)


def listen():
    return reports.listen()


def repeat() -> Iterator[str]:
    while True:
        yield reports.listen()


def test_a_generator_answers_each_message_until_it_ends():
    with children.running(repeat, **OPTIONS) as running:
        answers = []
        for message in ("one", "two"):
            running.send(message)
            answers.append(running.result())

    assert answers == ["one", "two"]


def test_a_child_listens():
    with children.running(listen, **OPTIONS) as running:
        running.send("go on")

        assert running.result() == "go on"


def wait_for_an_answer():
    reports.ask("where")


@pytest.mark.parametrize("error", [ModelError("wrong"), OSError("disk")])
def test_an_error_of_an_answer_reaches_the_caller(error):
    def fail():
        raise error

    with pytest.raises(type(error)) as raised:
        children.run(wait_for_an_answer, **OPTIONS, handler=ReportHandler(answers={"where": fail}))

    assert raised.value is error


FORGED = [
    b"",
    b"[]",
    b"[" * 100_000,
    b"\xff",
    b'"text"',
    json.dumps({"stage": 1}).encode(),
    json.dumps({"stage": "save", "done": "1"}).encode(),
    json.dumps({"stage": "save", "total": True}).encode(),
    json.dumps({"stage": "save", "done": False, "total": 1}).encode(),
    json.dumps({"stage": "save", "done": -1, "total": 1}).encode(),
    json.dumps({"stage": "save", "done": 2, "total": 1}).encode(),
    json.dumps({"stage": "save", "done": 1}).encode(),
    json.dumps({"stage": "save", "total": 1}).encode(),
    json.dumps({"stage": "save", "done": 1, "total": 10**400}).encode(),
    json.dumps({"stage": "save", "done": 1, "total": 2**63}).encode(),
    json.dumps({"stage": "save", "asks": 1}).encode(),
    json.dumps({"stage": "save", "more": 1}).encode(),
    json.dumps({"stage": "save", "doing": 1}).encode(),
    json.dumps({"stage": "save", "key": 1}).encode(),
    json.dumps({"stage": "save", "key": [[]]}).encode(),
    json.dumps({"stage": "save", "key": [True]}).encode(),
    json.dumps({"stage": "x" * 1000}).encode(),
]


def send_forged_reports():
    for content in FORGED:
        reports._caller.sender.send_bytes(b"report " + content)
    return "result"


def test_what_is_no_report_is_ignored():
    seen = []

    result = children.run(send_forged_reports, **OPTIONS, handler=ReportHandler(seen.append))

    assert result == "result"
    assert seen == []
