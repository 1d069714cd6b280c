"""The failures of a sweep are announced at once, and its releases in order."""

import threading
from concurrent.futures import Future

from smdecl.pipeline.sweeping.announcing import Announcing
from smdecl.pipeline.sweeping.variants import Variant


def variant(number, exit_code=0):
    return Variant(number, (), exit_code, None, None, (), 0.0)


def test_a_failure_is_announced_before_the_variants_that_still_run():
    futures = [Future() for _ in range(4)]
    announced, recorded = [], []
    both = threading.Event()

    def announce(one):
        announced.append(one.number)
        if one.number == 3:
            both.set()

    def record(ended):
        assert not {one.number for one in ended} & {*announced}
        recorded.extend(one.number for one in ended)

    def end():
        futures[2].set_result(variant(2))
        futures[1].set_result(variant(1, exit_code=3))
        futures[3].set_result(variant(3, exit_code=4))
        both.wait()  # although the first variant has not ended
        futures[0].set_result(variant(0))

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    announcing = Announcing(futures, announce, record)
    results = [one.number for one in announcing.outcomes()]
    thread.join()

    assert results == [0, 1, 2, 3]
    assert announced == [1, 3, 0, 2]
    assert sorted(recorded) == [0, 1, 2, 3]
    assert recorded[-1] == 0  # the third was recorded while it waited for its turn to be printed


def test_what_had_ended_is_announced_after_an_interrupt():
    futures = [Future() for _ in range(3)]
    announced = []

    def announce(one):
        announced.append(one.number)

    futures[0].set_result(variant(0))
    futures[2].set_result(variant(2, exit_code=3))
    announcing = Announcing(futures, announce, lambda _: None)
    next(announcing.outcomes())
    futures[1].cancel()

    assert [one.number for one in announcing.rest()] == [0, 2]
    assert announced == [2, 0]
