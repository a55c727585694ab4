import threading

import pytest

from sem_train.data import Ahead
from semforge.errors import InputError


def test_items_come_as_they_are():
    assert list(Ahead(range(5))) == [0, 1, 2, 3, 4]
    assert list(Ahead([])) == []
    assert list(Ahead([None, None])) == [None, None]


def test_the_next_item_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(3)]

    def items():
        for event in made:
            event.set()
            yield event

    for number, _ in enumerate(Ahead(items())):
        if number < 2:
            assert made[number + 1].wait(5)


def test_what_goes_wrong_is_raised_where_items_are_used():
    def items():
        yield 1
        raise InputError("s.h5: cannot be read")

    found = iter(Ahead(items()))
    assert next(found) == 1
    with pytest.raises(InputError, match="cannot be read"):
        next(found)


def test_no_thread_is_left_behind():
    before = threading.active_count()
    found = iter(Ahead(iter(int, 1)))  # endless
    assert [next(found) for _ in range(3)] == [0, 0, 0]
    found.close()
    assert threading.active_count() == before
