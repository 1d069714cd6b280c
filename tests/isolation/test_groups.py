"""The cores that the threads of a group need."""

import threading

import pytest
from smdecl.isolation import groups
from smdecl.isolation.groups import Group
from smdecl.isolation.server import Child

HERE = threading.get_ident()
OTHER, THIRD = HERE + 1, HERE + 2


def child(thread: int | None) -> Child:
    made = Child.__new__(Child)
    made.thread = thread
    return made


@pytest.mark.parametrize(
    ("processes", "at_work", "busy"),
    [
        ([], [], 0),
        ([HERE], [], 1),
        ([HERE, HERE], [HERE], 2),
        ([], [HERE], 0),  # this thread asks for itself
        ([], [HERE, OTHER], 1),  # between two processes of the other
        ([HERE], [HERE, OTHER], 2),
        ([HERE, OTHER, OTHER], [HERE, OTHER], 3),
        ([OTHER, OTHER], [OTHER, THIRD], 2),
        ([HERE, None, None], [HERE], 1),  # two rest
    ],
)
def test_a_thread_at_work_needs_a_core_between_its_processes(processes, at_work, busy):
    group = Group({child(thread) for thread in processes}, {*at_work})

    assert group.busy() == busy


def test_a_thread_is_at_work_in_its_group_meanwhile():
    group = Group()
    seen = []

    def work() -> None:
        groups.join(group)
        with groups.working():
            seen.append(len(group.at_work))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [1]
    assert not group.at_work
