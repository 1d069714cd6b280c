"""The failures of a sweep are told at once, and its releases in order."""

import threading
from concurrent.futures import Future

from smdecl.pipeline.telling import Telling
from smdecl.pipeline.variants import Variant


def variant(number, exit_code=0):
    return Variant(number, (), exit_code, None, None, (), 0.0)


def test_a_failure_is_told_before_the_variants_that_still_run():
    futures = [Future() for _ in range(4)]
    told = []
    both = threading.Event()

    def tell(one):
        told.append(one.number)
        if one.number == 3:
            both.set()
        return one

    def end():
        futures[2].set_result(variant(2))
        futures[1].set_result(variant(1, exit_code=3))
        futures[3].set_result(variant(3, exit_code=4))
        both.wait()  # although the first variant has not ended
        futures[0].set_result(variant(0))

    thread = threading.Thread(target=end)
    thread.start()
    results = [one.number for one in Telling(futures, tell).outcomes()]
    thread.join()

    assert results == [0, 1, 2, 3]
    assert told == [1, 3, 0, 2]


def test_what_had_ended_is_told_after_an_interrupt():
    futures = [Future() for _ in range(3)]
    told = []

    def tell(one):
        told.append(one.number)
        return one

    futures[0].set_result(variant(0))
    futures[2].set_result(variant(2, exit_code=3))
    telling = Telling(futures, tell)
    next(telling.outcomes())
    futures[1].cancel()

    assert [one.number for one in telling.rest()] == [0, 2]
    assert told == [2, 0]
