"""Class shares of a sample and their intervals."""

import numpy as np
import pytest

from sem_train.classification.shares import (
    REJECTED,
    Confusion,
    Counted,
    deconvolved,
    design_effect,
    shares_of,
    wilson,
)

CLASSES = ("mineral", "salt")


def counted(name, field=None, area=None, volume=None, weight=None):
    name = np.asarray(name)
    ones = np.ones(len(name))
    pick = lambda given: ones if given is None else np.asarray(given, dtype=float)
    return Counted(np.zeros(len(name), int) if field is None else np.asarray(field), name, pick(weight), pick(area),
                   pick(volume))  # fmt: skip


def by(shares, what):
    return {s.name: s for s in shares if s.by == what}


def test_wilson_of_nothing_and_of_half():
    low, high = wilson(0.0, 10)
    assert low == 0 and high == pytest.approx(1.959964**2 / (10 + 1.959964**2), rel=1e-5)  # z²/(n + z²)
    low, high = wilson(0.5, 100)
    assert (low + high) / 2 == pytest.approx(0.5) and high - low == pytest.approx(0.1926, abs=1e-3)


def test_wilson_holds_the_true_share_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    found = rng.binomial(60, 0.2, size=4000) / 60
    low, high = wilson(found, 60)
    assert 0.93 < ((low <= 0.2) & (high >= 0.2)).mean() < 0.975


def test_shares_add_up_and_reject_is_one_of_them():
    found = by(shares_of("filter", counted([0] * 6 + [1] * 3 + [2]), CLASSES), "number")
    assert [found[n].share for n in (*CLASSES, REJECTED)] == pytest.approx([0.6, 0.3, 0.1])
    assert [found[n].count for n in (*CLASSES, REJECTED)] == [6, 3, 1]
    assert all(s.low_95 < s.share < s.high_95 for s in found.values())


def test_a_class_that_is_not_there_has_an_upper_bound():
    found = by(shares_of("filter", counted([0] * 20), CLASSES), "number")
    assert found["salt"].share == 0 and 0.1 < found["salt"].high_95 < 0.2
    assert REJECTED not in found


def test_weights_count_and_make_particles_fewer():
    plain = by(shares_of("a", counted([0, 1] * 20), CLASSES), "number")["salt"]
    uneven = counted([0, 1] * 20, weight=[1, 3] * 20)
    weighted = by(shares_of("a", uneven, CLASSES), "number")["salt"]
    assert plain.share == pytest.approx(0.5) and weighted.share == pytest.approx(0.75)
    assert "32 particles" in weighted.method  # (Σw)²/Σw² = 80²/200


def test_cut_particles_count_for_area_alone():
    cut = counted([0, 0, 1], weight=[1, 1, np.nan], area=[1, 1, 2], volume=[1, 1, np.nan])
    shares = shares_of("a", cut, CLASSES)
    assert by(shares, "number")["mineral"].share == 1
    assert by(shares, "area")["salt"].share == pytest.approx(0.5)
    assert by(shares, "volume")["mineral"].share == 1


def test_fields_that_differ_widen_the_interval():
    rng = np.random.default_rng(1)
    field = np.repeat(np.arange(10), 30)
    mixed, clumped = rng.permutation([0, 1] * 150), np.repeat([0, 1] * 5, 30)
    assert design_effect(field, mixed == 1, np.ones(300)) < 2
    # ten fields of one kind each: variance between fields 0.25 · 10/9 / 10, of 300 particles 0.25 / 300
    assert design_effect(field, clumped == 1, np.ones(300)) == pytest.approx(300 / 9)
    width = lambda name: (s := by(shares_of("a", counted(name, field), CLASSES), "number")["salt"]).high_95 - s.low_95
    assert width(clumped) > 3 * width(mixed)


def test_area_is_drawn_by_fields_where_there_are_enough():
    rng = np.random.default_rng(2)
    name, field, area = rng.integers(2, size=400), np.repeat(np.arange(8), 50), rng.lognormal(size=400)
    many = by(shares_of("a", counted(name, field, area), CLASSES), "area")["salt"]
    few = by(shares_of("a", counted(name, field // 4, area), CLASSES), "area")["salt"]
    assert "8 fields drawn" in many.method and "particles of 2 fields drawn" in few.method
    assert many.low_95 < many.share < many.high_95
    alone = by(shares_of("a", counted([0, 1], area=[1, 3]), CLASSES), "area")["salt"]
    assert alone.share == pytest.approx(0.75) and alone.low_95 is None and "too few" in alone.method


def test_deconvolution_is_exact_where_shares_explain_what_is_seen():
    confused = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    true = np.array([0.5, 0.2, 0.3])
    assert deconvolved(true @ confused, confused) == pytest.approx(true, abs=2e-3)


def test_correction_stands_beside_and_goes_the_right_way():
    confusion = Confusion(np.array([[900, 100], [0, 1000]]))  # a tenth of the minerals is taken for salt
    seen = counted([0] * 720 + [1] * 280)  # of 800 minerals and 200 salts
    found = by(shares_of("a", seen, CLASSES, confusion), "number")
    assert found["salt"].share == pytest.approx(0.28)
    assert found["salt"].corrected == pytest.approx(0.2, abs=0.003)
    assert found["salt"].corrected_low_95 < 0.2 < found["salt"].corrected_high_95
    assert found["mineral"].corrected == pytest.approx(0.8, abs=0.003)


def test_rejected_particles_have_no_part_in_the_correction():
    """Nor in its interval: of a class that was tested with few particles they say no more than of the others."""
    confusion = Confusion(np.diag([1000, 1000, 20]))
    classes, accepted = ("mineral", "salt", "pollen"), [0] * 500 + [1] * 500
    without = by(shares_of("a", counted(accepted), classes, confusion), "number")
    rejecting = by(shares_of("a", counted([*accepted, *[3] * 300]), classes, confusion), "number")
    of = lambda share: (share.corrected, share.corrected_low_95, share.corrected_high_95)
    assert [of(rejecting[name]) for name in classes] == [of(without[name]) for name in classes]
    assert 0 < without["pollen"].corrected_high_95 < 0.01  # of 1,000 particles none, as Wilson's limit of 0.004


def test_a_class_that_is_rejected_more_often_is_more_frequent_than_it_seems():
    confusion = Confusion(np.array([[950, 0, 50], [0, 500, 500]]))
    found = by(shares_of("a", counted([0] * 760 + [1] * 100 + [2] * 140), CLASSES, confusion), "number")
    assert found["salt"].corrected == pytest.approx(0.2, abs=0.003)  # of 800 minerals and 200 salts


@pytest.mark.parametrize("strangers", [0.0, 0.4])
def test_corrected_intervals_hold_the_true_shares(strangers, monkeypatch):
    """Of samples in which so large a share is of no class and rejected, beside what is rejected of the classes."""
    true = np.array([0.6, 0.37, 0.03])
    names = np.array([[0.87, 0.08, 0.0, 0.05], [0.1, 0.8, 0.05, 0.05], [0.02, 0.08, 0.7, 0.2]])
    monkeypatch.setattr("sem_train.classification.shares.DRAWS", 200)
    rng, held = np.random.default_rng(3), []
    for _ in range(100):
        tested = Confusion(np.array([rng.multinomial(n, row) for n, row in zip((300, 300, 40), names, strict=True)]))
        given = rng.multinomial(300, [*(1 - strangers) * (true @ names)[:3], strangers + (1 - strangers)
                                      * (true @ names)[3]])  # fmt: skip
        nothing = np.full(300, np.nan)
        seen = counted(np.repeat(np.arange(4), given), area=nothing, volume=nothing)
        found = by(shares_of("a", seen, ("a", "b", "c"), tested), "number")
        held.append([found[n].corrected_low_95 <= t <= found[n].corrected_high_95
                     for n, t in zip("abc", true, strict=True)])  # fmt: skip
    assert np.all(np.mean(held, axis=0) >= 0.9), np.mean(held, axis=0)


def test_a_class_that_was_never_tested_leaves_nothing_corrected():
    found = shares_of("a", counted([0, 1, 1, 0, 0]), CLASSES, Confusion(np.array([[10, 0], [0, 0]])))
    assert all(share.corrected is None for share in found)


def test_nothing_counted_gives_nothing():
    assert shares_of("a", counted([]), CLASSES) == []
