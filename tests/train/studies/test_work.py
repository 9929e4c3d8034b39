import time

import pytest

from train.studies.work import Work

# Runs 1 and 2 are matched with 0, run 4 with 3, and run 3 with the later run 5.
DONORS = [None, 0, 0, 5, 3, None, None]


def test_matched_run_waits_for_its_donor_and_for_nothing_else():
    work = Work(DONORS)
    assert [work.begin() for _ in range(4)] == [0, 5, 6, None]
    work.end(6)
    assert work.begin() is None
    work.end(0)
    assert [work.begin() for _ in range(3)] == [1, 2, None]
    work.end(5)
    assert work.begin() == 3
    assert work.left == {1, 2, 3, 4}


def test_what_is_matched_with_a_run_that_lends_nothing_is_left_out():
    work = Work(DONORS)
    assert work.end(5, lends=False) == [3, 4]
    work.end(2)  # was done before
    assert work.end(0, lends=False) == [1]
    assert work.left == {6}


@pytest.mark.parametrize("ahead", [1, 100])  # runs at a time
def test_ten_thousand_runs_take_less_than_a_second(ahead):
    start = time.process_time()
    work = Work([None if n % 10 < 5 else n - 5 for n in range(10_000)])
    done, begun = 0, []
    while work.left:
        while len(begun) < ahead and (place := work.begin()) is not None:
            begun.append(place)
        work.end(begun.pop(0))
        done += 1
    assert done == 10_000
    assert time.process_time() - start < 1
