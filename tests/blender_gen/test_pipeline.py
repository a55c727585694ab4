"""A draw that fails is replaced, counted and explained; never kept, never repeated without end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from blender_gen import pipeline
from blender_gen.families import FAMILIES
from blender_gen.recipe import load_recipe, with_frame
from semforge.errors import RejectedSpecimen

RECIPE = Path(__file__).parents[2] / "configs" / "recipes" / "slurry_coating.yaml"


@pytest.fixture
def small():
    return with_frame(load_recipe(RECIPE), width_px=64, height_px=48, pixel_size_um=2.0)


@pytest.fixture
def reject(monkeypatch):
    """Make the first `times` audits fail."""

    def install(times):
        left = iter(range(times))
        family = FAMILIES["coating"]

        def audit(built, passes):
            if next(left, None) is not None:
                raise RejectedSpecimen("too dull")
            family.audit(built, passes)

        monkeypatch.setitem(FAMILIES, "coating", replace(family, audit=audit))

    return install


def test_a_rejected_draw_is_replaced_and_said_so(small, reject):
    plain = pipeline.make_sample(small, 0, seed=3)
    assert plain.truth["rejected"] == []
    reject(2)
    replaced = pipeline.make_sample(small, 0, seed=3)
    assert replaced.truth["rejected"] == ["too dull", "too dull"]
    assert (replaced.phase != plain.phase).any()
    assert pipeline.make_sample(small, 0, seed=3).digest == plain.digest


def test_draws_without_end_are_given_up(small, reject):
    reject(pipeline.MAX_ATTEMPTS)
    with pytest.raises(RejectedSpecimen, match="sample 0: 10 draws were rejected, the last one because too dull"):
        pipeline.make_sample(small, 0, seed=3)


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError])
def test_a_programming_error_is_no_rejection(small, monkeypatch, error):
    def build(recipe, rng):
        raise error("mistake")

    monkeypatch.setitem(FAMILIES, "coating", replace(FAMILIES["coating"], build=build))
    with pytest.raises(error, match="mistake"):
        pipeline.make_sample(small, 0, seed=3)


def test_points_without_a_hull_are_a_rejection(small, monkeypatch):
    def build(recipe, rng):
        ConvexHull(np.zeros((5, 2)))

    monkeypatch.setitem(FAMILIES, "coating", replace(FAMILIES["coating"], build=build))
    with pytest.raises(RejectedSpecimen, match="no hull"):
        pipeline.make_sample(small, 0, seed=3)


def test_a_truth_that_is_no_number_is_never_kept():
    assert pipeline.rounded({"a": [1.23456789012, None, "b"]}) == {"a": [1.23456789, None, "b"]}
    for bad in (float("nan"), float("inf")):
        with pytest.raises(RejectedSpecimen, match="truth"):
            pipeline.rounded({"a": [1.0, {"b": bad}]})
