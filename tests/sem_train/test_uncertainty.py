"""The budget of a field: which sources count for what, and what the rows say."""

import math

import numpy as np
import pytest
from coatings import CLASSES, CRACK, FE2AL5, PORE, put_disc, section

from sem_train.measure import measure_instance_map, measure_section, prepare
from sem_train.measure.tables.rows import rows_of
from sem_train.measure.uncertainty import Sources, uncertainties

SHAPE = (220, 400)
THICKNESS = ("layer", "Fe2Al5", "thickness_mean")
PORES = ("inclusion", "pore", "area_percent")


@pytest.fixture(scope="module")
def coating():
    """Fe2Al5 of wavy thickness with pores, 0.5 µm a pixel."""
    rng = np.random.default_rng(4)
    x = np.arange(SHAPE[1])
    wave = sum(2 * np.sin(2 * np.pi * (x / length + rng.uniform())) for length in (23, 37, 61))
    labels = section(SHAPE, 50, 150 + wave)
    for _ in range(60):
        put_disc(labels, rng.uniform(55, 140), rng.uniform(0, 400), rng.uniform(2, 5), PORE, only=FE2AL5)
    ready = prepare(labels, CLASSES)
    return ready, measure_section(ready, 0.5)


def of(coating, **sources):
    return uncertainties(*coating, Sources(**sources))


def test_parts_add_up_and_the_interval_holds_the_value(coating):
    for e in of(coating).values():
        assert e.standard == pytest.approx(math.hypot(*e.parts.values()))
        assert e.low <= e.value <= e.high


def test_sources_of_a_thickness(coating):
    e = of(coating, calibration_percent=2.0)[THICKNESS]
    assert set(e.parts) == {"sampling", "calibration", "edge", "tilt"}
    assert e.parts["calibration"] == pytest.approx(0.02 * e.value)
    assert e.parts["edge"] == pytest.approx(math.sqrt(2) * 0.5 / math.sqrt(3) * 0.5)
    assert e.value == coating[1].layers["Fe2Al5"].mean
    assert "specimen" in e.note and "segmentation error not included" in e.note


def test_the_field_itself_has_no_sampling_error(coating):
    specimen, field = of(coating), of(coating, target="field")
    assert "sampling" not in field[THICKNESS].parts
    assert field[THICKNESS].standard < specimen[THICKNESS].standard
    assert "field alone" in field[THICKNESS].note
    exact = of(coating, target="field", calibration_percent=0, edge_px=0, tilt_uncertainty_deg=0)[THICKNESS]
    assert (exact.standard, exact.low, exact.high) == (0, exact.value, exact.value)


def test_a_share_does_not_depend_on_the_scale(coating):
    e = of(coating)[PORES]
    assert "calibration" not in e.parts and "tilt" not in e.parts
    assert e.low >= 0


def test_edges_of_pores_are_off_all_around(coating):
    """All outlines drawn outwards by u: the share grows by their length times u."""
    pores, layer = coating[1].inclusions["pore"], coating[1].layers["Fe2Al5"]
    outline = math.pi * pores.ecd_mean * pores.count
    assert of(coating, edge_px=0.3)[PORES].parts["edge"] == pytest.approx(100 * outline * 0.3 * 0.5 / layer.area)
    ecd = of(coating, edge_px=0.3)["inclusion", "pore", "ecd_mean"]
    assert ecd.parts["edge"] == pytest.approx(2 * 0.3 * 0.5)


def test_without_a_scale_there_is_nothing_to_calibrate(coating):
    ready, _ = coating
    e = uncertainties(ready, measure_section(ready, None), Sources())[THICKNESS]
    assert "calibration" not in e.parts


def test_units_scale_the_whole_budget(coating):
    ready, _ = coating
    um, px = of(coating, calibration_percent=0), uncertainties(
        ready, measure_section(ready, None), Sources(calibration_percent=0))  # fmt: skip
    for key in (THICKNESS, ("layer", "Fe2Al5", "thickness_p25"), ("inclusion", "pore", "ecd_mean")):
        assert um[key].standard == pytest.approx(px[key].standard * 0.5)
    density = ("inclusion", "pore", "number_density")
    assert um[density].high == pytest.approx(px[density].high / 0.5**2)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_how_the_image_lies_does_not_matter(coating, turns):
    turned = prepare(np.rot90(coating[0].labels, turns), CLASSES)
    found = uncertainties(turned, measure_section(turned, 0.5), Sources())
    for key, e in of(coating).items():
        assert found[key].standard == pytest.approx(e.standard, rel=0.05), key


def test_extremes_have_no_interval(coating):
    quantities = {quantity for _, _, quantity in of(coating)}
    assert not {"thickness_min", "thickness_max"} & quantities


def test_a_slab_without_any_variation():
    ready = prepare(section(SHAPE, 50, 150), CLASSES)
    e = uncertainties(ready, measure_section(ready, 0.5), Sources())
    assert e[THICKNESS].parts["sampling"] == pytest.approx(0, abs=1e-9)
    coverage = e["layer", "Fe2Al5", "coverage"]
    assert coverage.high == 100 and 90 < coverage.low < 100
    pores = e["inclusion", "pore", "number_density"]  # none seen is not none there
    assert pores.value == 0 and pores.high == pytest.approx(3.689 / (400 * 100 * 0.25), rel=0.01)


def test_a_layer_with_gaps():
    x = np.arange(SHAPE[1])
    ready = prepare(section(SHAPE, 50, np.where(x // 25 % 2 == 0, 90, 50)), CLASSES)
    field = measure_section(ready, None)
    e = uncertainties(ready, field, Sources(edge_px=0.0))
    assert e["layer", "Fe2Al5", "coverage"].low < 50 < e["layer", "Fe2Al5", "coverage"].high
    over_all = e["layer", "Fe2Al5", "thickness_mean_over_all"]
    assert over_all.parts["sampling"] > 5 * e[THICKNESS].parts["sampling"]


def test_cracks_are_counted_events():
    labels = section(SHAPE, 50, 150)
    for column in (30, 110, 190, 250, 370):
        labels[50:150, column : column + 3] = CRACK
    ready = prepare(labels, CLASSES)
    field = measure_section(ready, 1.0)
    e = uncertainties(ready, field, Sources(calibration_percent=0))["crack", "crack", "per_length"]
    assert e.value == field.cracks["crack"].per_length
    # evenly spaced as they are, nobody knew that they would be: Poisson's limits for five, 1.62 and 11.67
    assert (e.low / e.value * 5, e.high / e.value * 5) == (
        pytest.approx(1.62, abs=0.01),
        pytest.approx(11.67, abs=0.01),
    )


def test_particles_of_an_instance_map():
    instances = np.zeros((300, 300), dtype=np.int32)
    rng = np.random.default_rng(0)
    for i in range(36):
        put_disc(instances, 25 + 50 * (i // 6), 25 + 50 * (i % 6), rng.uniform(4, 15), i + 1)
    field = measure_instance_map(instances, 0.1)
    found = uncertainties(None, field, Sources(calibration_percent=1.0))
    d50 = found["particle", "particle", "d50_volume"]
    assert d50.low < d50.value < d50.high
    assert d50.parts["calibration"] == pytest.approx(0.01 * d50.value)


def test_rows_carry_the_estimates(coating):
    estimates = of(coating)
    rows = {(r.kind, r.name, r.quantity): r for r in rows_of("a", coating[1], estimates)}
    plain = {(r.kind, r.name, r.quantity): r for r in rows_of("a", coating[1])}
    assert rows.keys() == plain.keys()
    row, e = rows[THICKNESS], estimates[THICKNESS]
    assert (row.value, row.standard_uncertainty, row.low_95, row.high_95) == (e.value, e.standard, e.low, e.high)
    assert "u: sampling" in row.note
    assert rows["layer", "Fe2Al5", "thickness_max"] == plain["layer", "Fe2Al5", "thickness_max"]
