from render_farm.cancellation import TOGETHER_S, Cancellations


def test_all_that_were_alive_cancelled_at_once_are_all():
    assert Cancellations().all_struck({"a", "b"}, set(), 0.0)


def test_one_task_is_not_all_even_if_it_is_alone():
    assert not Cancellations().all_struck({"a"}, set(), 0.0)
    assert not Cancellations().all_struck({"a"}, {"b"}, 0.0)


def test_ends_of_one_order_may_be_seen_one_after_the_other():
    seen = Cancellations()
    assert not seen.all_struck({"a"}, {"b", "c"}, 0.0)
    assert not seen.all_struck(set(), {"b", "c", "new"}, 1.0)
    assert not seen.all_struck({"b"}, {"c", "new"}, 2.0)
    assert seen.all_struck({"c"}, {"new"}, 3.0)


def test_what_ended_by_itself_or_works_on_was_not_cancelled():
    seen = Cancellations()
    assert not seen.all_struck({"a"}, {"b", "c"}, 0.0)
    assert not seen.all_struck({"b"}, {"c"}, 1.0)  # c goes on
    seen = Cancellations()
    assert not seen.all_struck({"a"}, {"b", "c"}, 0.0)
    assert not seen.all_struck({"c"}, set(), 1.0)  # b ended well


def test_a_later_cancellation_is_another_order():
    seen = Cancellations()
    assert not seen.all_struck({"a"}, {"b"}, 0.0)
    assert not seen.all_struck({"b"}, {"new"}, TOGETHER_S + 1)
    seen = Cancellations()
    assert not seen.all_struck({"a"}, {"b"}, 0.0)
    assert not seen.all_struck({"new"}, {"newer"}, 1.0)  # b has ended: another round
