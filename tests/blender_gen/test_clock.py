"""Stages are charged for their own time and for no other's."""

import time

import pytest

from blender_gen.clock import Lap, measured, stage


def test_a_stage_inside_another_stops_the_outer_one():
    with measured() as clock, stage("outer"):
        time.sleep(0.03)
        with stage("inner"):
            time.sleep(0.08)
        time.sleep(0.03)
    (outer,), (inner,) = clock.laps["outer"], clock.laps["inner"]
    assert 0.06 <= outer.wall_s < 0.14
    assert inner.wall_s >= 0.08


def test_time_between_stages_counts_nowhere():
    with measured() as clock:
        for _ in range(3):
            with stage("work"):
                pass
            time.sleep(0.02)
    assert len(clock.laps["work"]) == 3
    assert sum(lap.wall_s for lap in clock.laps["work"]) < 0.02


def test_a_stage_that_fails_is_measured_and_closed():
    with measured() as clock:
        with pytest.raises(ValueError, match="no"), stage("outer"), stage("inner"):
            raise ValueError("no")
        with stage("after"):
            pass
    assert list(clock.laps) == ["inner", "outer", "after"]


def test_nobody_measures_outside():
    with measured() as clock:
        pass
    with stage("work"):
        pass
    assert not clock.laps


def test_laps_add():
    assert Lap(1.0, 2.0) + Lap(0.5, 0.25) == Lap(1.5, 2.25)
