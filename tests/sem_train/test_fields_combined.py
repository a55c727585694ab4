"""Several fields of one specimen against the arithmetic of ASTM E562, done by hand."""

import math

import numpy as np
import pytest

from sem_train.measure.tables.rows import Row
from sem_train.measure.uncertainty import FieldRows, Sources, combine_fields, specimen_rows
from sem_train.measure.uncertainty.fields import fields_needed
from semforge.errors import InputError

NOTHING = Sources(calibration_percent=0, edge_px=0, tilt_uncertainty_deg=0)


def field(i, pixel=0.5, **quantities):
    """Rows of one field; thickness and length in µm, pores in percent of the layer."""
    units = {"thickness_mean": "um", "usable_length": "um", "area": "um^2", "coverage": "%", "censored": ""}
    unit = "um" if pixel else "px"
    rows = [Row(str(i), "layer", "Fe2Al5", "", q, v, units[q].replace("um", unit), "") for q, v in quantities.items()
            if q in units]  # fmt: skip
    if "pores" in quantities:
        rows.append(Row(str(i), "inclusion", "pore", "Fe2Al5", "area_percent", quantities["pores"], "%", ""))
    return FieldRows(str(i), rows, pixel)


def of(fields, quantity, sources=NOTHING, **more):
    return next(c for c in combine_fields("S1", fields, sources, **more) if c.row.quantity == quantity)


def test_five_fields_by_hand():
    """Mean 12, s = 1.581, t = 2.776: ± 1.963, %RA 16.4; ten fields bring ± 1.13, nine ± 1.215, wanted are ± 1.2."""
    fields = [field(i, pores=v) for i, v in enumerate((10, 12, 14, 11, 13))]
    found = of(fields, "area_percent")
    assert found.estimate.value == pytest.approx(12)
    assert found.sd == pytest.approx(1.5811, abs=1e-4)
    assert (found.estimate.low, found.estimate.high) == (pytest.approx(10.037, abs=0.001),
                                                         pytest.approx(13.963, abs=0.001))  # fmt: skip
    assert found.relative_accuracy_percent == pytest.approx(16.36, abs=0.01)
    assert found.still_needed == 5
    assert (found.smallest, found.largest, found.fields) == (10, 14, 5)
    assert of(fields, "area_percent", wanted_percent=20.0).still_needed == 0


def test_number_of_fields_for_a_wanted_accuracy():
    assert fields_needed(12.0, 1.5811, 10.0) == 10
    # far from small numbers it is (1.96 s / (RA·mean))²
    assert fields_needed(10.0, 10.0, 1.0) is None
    assert fields_needed(10.0, 10.0, 5.0) == pytest.approx((1.96 * 10 / 0.5) ** 2, rel=0.01)
    assert fields_needed(10.0, 0.0, 10.0) == 2


def test_what_all_fields_share_is_not_averaged_away():
    sources = Sources(calibration_percent=2.0, edge_px=0.3, tilt_uncertainty_deg=0.0)
    few, many = ([field(i, thickness_mean=v, usable_length=100.0) for i, v in enumerate(np.tile([57.0, 63.0], n // 2))]
                 for n in (4, 400))  # fmt: skip
    few, many = (of(fields, "thickness_mean", sources).estimate for fields in (few, many))
    assert many.parts["sampling"] < 0.2 * few.parts["sampling"]
    assert many.parts["calibration"] == pytest.approx(0.02 * many.value)
    assert many.parts["edge"] == pytest.approx(math.sqrt(2) * 0.3 * 0.5)
    assert many.standard == pytest.approx(math.hypot(*many.parts.values()))
    assert many.standard > 1.2


def test_long_fields_count_more():
    fields = [field(0, thickness_mean=50.0, usable_length=300.0), field(1, thickness_mean=60.0, usable_length=100.0)]
    found = of(fields, "thickness_mean")
    assert found.estimate.value == pytest.approx(52.5)
    # ratio estimate: √(n/(n-1)·Σ w²(x - mean)²), w = 0.75 and 0.25
    expected = math.sqrt(2 * ((0.75 * 2.5) ** 2 + (0.25 * 7.5) ** 2))
    assert found.estimate.standard == pytest.approx(expected)


def test_pores_count_by_the_area_of_their_layer():
    fields = [field(0, pores=2.0, area=900.0), field(1, pores=6.0, area=100.0), field(2, pores=2.0, area=1000.0)]
    assert of(fields, "area_percent").estimate.value == pytest.approx((18 + 6 + 20) / 2000 * 100)


def test_one_field_says_what_it_cannot_know():
    row = Row("a", "inclusion", "pore", "Fe2Al5", "area_percent", 5.0, "%", "", 0.8, 3.4, 6.6)
    (found,) = combine_fields("S1", [FieldRows("a", [row], 0.5)], NOTHING)
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == (5.0, 3.4, 6.6)
    assert "how fields differ is not known" in found.estimate.note
    assert found.relative_accuracy_percent is None and found.still_needed is None
    assert [r.quantity for r in specimen_rows("S1", [found])] == ["area_percent"]


def test_fields_without_the_layer_and_fields_that_it_leaves_are_named():
    fields = [field(0, thickness_mean=50.0, usable_length=100.0, censored=0),
              field(1, thickness_mean=52.0, usable_length=80.0, censored=1),
              field(2, thickness_mean=None, usable_length=0.0, censored=0)]  # fmt: skip
    found = of(fields, "thickness_mean")
    assert found.fields == 2
    assert "2 of 3 fields have a value" in found.estimate.note
    assert "leaves the frame in 1 of 2 fields" in found.estimate.note


def test_rows_of_a_specimen():
    fields = [field(i, pores=v) for i, v in enumerate((10, 12, 14, 11, 13))]
    rows = {r.quantity: r for r in specimen_rows("S1", combine_fields("S1", fields, NOTHING))}
    assert {r.image for r in rows.values()} == {"S1"}
    assert rows["area_percent"].standard_uncertainty == pytest.approx(1.5811 / math.sqrt(5), abs=1e-4)
    assert rows["area_percent_fields_still_needed"].value == 5
    assert rows["area_percent_field_max"].value == 14
    assert rows["area_percent_relative_accuracy"].unit == "%"


def test_pixels_and_micrometres_are_not_mixed():
    fields = [field("a", thickness_mean=50.0), field("b", pixel=None, thickness_mean=100.0)]
    with pytest.raises(InputError, match="b has no scale"):
        combine_fields("S1", fields, NOTHING)


def test_a_wanted_accuracy_of_nothing_is_refused():
    with pytest.raises(InputError, match="relative accuracy"):
        combine_fields("S1", [field(0, pores=1.0)], NOTHING, wanted_percent=0.0)
