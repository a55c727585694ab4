"""Intervals that say 95 % hold the truth about as often. The large version is `python -m benchmarks.coverage`."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.coverage import measure_specimen
from benchmarks.layer_specimens import CLASSES, PORE, STEEL, Specimen, gaussian
from sem_train.measure.uncertainty.estimate import coverage_factor
from sem_train.measure.uncertainty.series import series_mean


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("lengths", [12, 40])
def test_of_the_mean_of_a_series(lengths, smooth):
    """With 90 to 98 of 100 in the long run, 400 series lie within these counts 99 times in 100."""
    rng = np.random.default_rng([lengths, smooth])
    held = 0
    for _ in range(400):
        found = series_mean(gaussian(rng, 512, 512 / lengths, smooth))
        held += abs(found.mean) <= coverage_factor(found.spread.dof) * found.spread.standard
    assert binom.ppf(0.005, 400, 0.90) <= held <= binom.ppf(0.995, 400, 0.98)


def test_of_label_maps():
    """12 specimens, one of each setting: fields of each hold the truth so often, and five together."""
    held = {}
    for number in range(12):
        tally, _ = measure_specimen(number, fields=2, seed=3)
        for (quantity, interval), cases in tally.cases.items():
            held.setdefault((quantity, interval), []).extend(case[0] for case in cases)
    for quantity in ("layer thickness_mean", "pore area_percent", "lower coverage"):
        one, both = held[quantity, "one field, sampling"], held[quantity, "2 fields, sampling"]
        assert (len(one), len(both)) == (24, 12)
        assert sum(one) >= binom.ppf(0.005, 24, 0.90), quantity
        assert sum(both) >= binom.ppf(0.005, 12, 0.90), quantity


def test_series_are_what_they_were_asked_to_be():
    rng = np.random.default_rng(0)
    values = np.array([gaussian(rng, 512, 10.0, smooth) for smooth in (False, True) for _ in range(300)])
    assert values.var() == pytest.approx(1, rel=0.03)
    for group in (values[:300], values[300:]):
        # the variance of the mean of a series is 2ℓ/L, but for the ends
        assert group.mean(axis=1).var() == pytest.approx(2 * 10 / 512, rel=0.25)


@pytest.mark.parametrize("members", [0.0, 3.0])
def test_porosity_by_formula_and_by_counting(members):
    specimen = Specimen(members=members, germs=2.5e-4 if members else 7e-4)
    rng = np.random.default_rng(1)
    fields = [specimen.field(rng) for _ in range(40)]
    pores, layer = (sum(np.count_nonzero(np.isin(f, ids)) for f in fields) for ids in ([PORE], [1, PORE]))
    assert 100 * pores / layer == pytest.approx(100 * specimen.porosity, rel=0.06)
    assert CLASSES.names[STEEL] == "steel" and 2 < 100 * specimen.porosity < 8
