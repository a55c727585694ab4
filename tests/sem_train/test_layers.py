"""Thickness against closed form: slabs, wedges, waves, and everything that goes wrong in a section."""

import numpy as np
import pytest
from coatings import CLASSES, CRACK, FE2AL5, FEAL, PORE, STEEL, put_disc, section, slab
from scipy.ndimage import gaussian_filter1d

from sem_train.classes import ClassMap
from sem_train.measure import measure_label_map
from sem_train.measure.layers.censoring import censored_mean
from sem_train.measure.tables.rows import rows_of
from semforge.errors import InputError

SHAPE = (400, 512)


def layer(labels, name="Fe2Al5", pixel_size_um=None, classes=CLASSES):
    return measure_label_map(labels, classes, pixel_size_um).layers[name]


@pytest.mark.parametrize("tilt_deg", [-30, -22.5, -13, -5, -1, 0, 0.4, 2, 7, 18, 26, 30])
@pytest.mark.parametrize("thickness", [3, 8, 41, 120])
def test_tilted_slab_is_as_thick_as_it_is(thickness, tilt_deg):
    found = layer(slab(SHAPE, thickness, tilt_deg))
    assert found.mean == pytest.approx(thickness, abs=0.1)
    assert found.sd < 0.5  # what the pixel staircase leaves
    assert found.tilt_deg == pytest.approx(tilt_deg, abs=0.2)
    assert found.present
    assert found.coverage == 1.0
    assert found.resolved == (thickness > 5)


def test_thick_layer_filling_most_of_the_frame():
    found = layer(slab((512, 512), 307.0, 3.0))
    assert found.mean == pytest.approx(307.0, abs=0.1)
    assert found.complete


def test_unit_is_micrometre_with_a_pixel_size_and_pixel_without():
    labels = section(SHAPE, 100, 220)
    in_um, in_px = measure_label_map(labels, CLASSES, 0.25), measure_label_map(labels, CLASSES, None)
    assert (in_um.unit, in_px.unit) == ("um", "px")
    assert in_px.layers["Fe2Al5"].mean == pytest.approx(120.0, abs=1e-6)
    assert in_um.layers["Fe2Al5"].mean == pytest.approx(30.0, abs=1e-6)
    assert in_um.layers["Fe2Al5"].area == pytest.approx(120 * 512 * 0.0625)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_any_side_may_be_up(quarter_turns):
    labels = section(SHAPE, 90, 220, 240)
    put_disc(labels, 120, 300, 9, PORE)
    turned = measure_label_map(np.rot90(labels, quarter_turns), CLASSES, 1.0)
    assert turned.layers["Fe2Al5"].mean == pytest.approx(130.0, abs=1e-6)
    assert turned.layers["FeAl"].mean == pytest.approx(20.0, abs=1e-6)


def test_wedge():
    x = np.arange(512)
    found = layer(section(SHAPE, 100 - 0.05 * x, 200 + 0.05 * x))
    # symmetric about a level midline: thickness is the vertical distance, 100 to 151 px
    assert found.mean == pytest.approx(100 + 0.1 * 255.5, abs=0.3)
    assert found.min == pytest.approx(100, abs=1.5)
    assert found.max == pytest.approx(151, abs=1.5)
    assert found.tilt_deg == pytest.approx(0, abs=0.1)


def test_long_wave_keeps_its_thickness():
    x = np.arange(512)
    wave = 30 * np.sin(2 * np.pi * x / 400)
    slope = 30 * 2 * np.pi / 400 * np.cos(2 * np.pi * x / 400)
    half = 10 * np.hypot(1, slope)  # so that the layer is close to 20 px thick along its normals
    found = layer(section(SHAPE, 200 + wave - half, 200 + wave + half))
    assert found.mean == pytest.approx(20.0, abs=0.3)


def test_rough_interfaces_agree_with_area_over_length():
    rng = np.random.default_rng(4)

    def rough(rms, correlation):
        z = gaussian_filter1d(rng.normal(size=512), correlation, mode="wrap")
        return z / z.std() * rms

    bias = []
    for _ in range(6):
        outer, inner = 120 + rough(6, 20), 230 + rough(4, 8)
        labels = section(SHAPE, outer, inner)
        midline = gaussian_filter1d((outer + inner) / 2, 110, mode="nearest")
        length = 512 * np.hypot(1, np.gradient(midline)).mean()
        bias.append(layer(labels).mean - np.count_nonzero(labels == FE2AL5) / length)
    assert abs(np.mean(bias)) < 0.3


def test_layer_that_leaves_the_frame_is_flagged_and_unbiased():
    labels = slab(SHAPE, 120, 30, middle=120)
    found = layer(labels)
    assert found.usable_fraction < 0.8
    assert not found.complete
    assert "both boundaries" in found.note
    assert found.mean == pytest.approx(120, abs=0.3)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_percentiles_of_a_wedge(quarter_turns):
    x = np.arange(512)
    labels = np.rot90(section(SHAPE, 100 - 0.05 * x, 200 + 0.05 * x), quarter_turns)
    found = layer(labels, pixel_size_um=0.5)
    assert set(found.percentiles) == {5, 25, 50, 75, 95}
    for percent, value in found.percentiles.items():
        assert value == pytest.approx(0.5 * (100 + 51.2 * percent / 100), abs=0.5)


def test_thin_and_thick_parts_of_a_wave():
    x = np.arange(512)
    inner = 250 + 20 * np.sin(2 * np.pi * x / 128)
    found = layer(section(SHAPE, 49.5, inner))  # row 50 is the first: its upper side is at 49.5
    assert found.mean == pytest.approx(200.5, abs=0.1)
    assert found.sd == pytest.approx(20 / np.sqrt(2), rel=0.02)
    assert found.percentiles[50] == pytest.approx(200.5, abs=1.0)
    assert found.percentiles[95] - found.percentiles[5] == pytest.approx(2 * 20 * np.cos(np.pi * 0.05), rel=0.02)


def test_seen_whole_is_not_censored():
    found = layer(section(SHAPE, 100, 220), pixel_size_um=0.5)
    assert not found.censored
    assert found.mean_censored == pytest.approx(found.mean)
    assert found.usable_length == pytest.approx(0.5 * 512, rel=0.01)
    assert found.note == ""


def test_normals_that_leave_by_a_side_censor_nothing():
    """Where the layer runs on, they are dropped whatever its thickness."""
    found = layer(slab(SHAPE, 60, 12))
    assert found.usable_fraction < 1
    assert not found.censored
    assert found.mean == pytest.approx(60, abs=0.1)
    assert found.note == ""


def test_where_thick_parts_leave_the_mean_is_a_lower_bound_and_the_estimate_is_better():
    """The outer interface rough, the inner one rougher; the frame ends where it bulges most."""
    rng = np.random.default_rng(6)

    def rough(rms, correlation):
        z = gaussian_filter1d(rng.normal(size=512), correlation, mode="wrap")
        return z / z.std() * rms

    dropped, estimated = [], []
    for _ in range(30):
        outer, inner = 150 + rough(8, 20), 330 + rough(35, 40)
        true = layer(section((900, 512), outer, inner)).mean
        found = layer(section(SHAPE, outer, inner))
        if inner.max() > SHAPE[0] + 5:
            assert found.censored
            assert "lower bound" in found.note
        dropped.append(found.mean - true)
        estimated.append(found.mean_censored - true)
    assert np.mean(dropped) < -1.5
    assert abs(np.mean(estimated)) < 0.5


def test_a_slab_that_leaves_is_as_thick_in_the_estimate():
    found = layer(slab(SHAPE, 120, 30, middle=120))
    assert found.censored
    assert found.mean_censored == pytest.approx(120, abs=0.3)
    spacing = np.diff(found.profile.along).mean()
    assert found.usable_length == pytest.approx(spacing * np.isfinite(found.profile.thickness).sum())


def test_censored_mean():
    complete = np.array([True, True, False, True])
    # 2 (1/4), 4 (1/4), 5 or more: to the one longer, 8 (1/2)
    assert censored_mean(np.array([2.0, 4.0, 5.0, 8.0]), complete) == pytest.approx(2 / 4 + 4 / 4 + 8 / 2)
    assert censored_mean(np.array([2.0, 4.0, 9.0, 8.0]), complete) == pytest.approx(23 / 4)  # 9 counts as it is
    assert censored_mean(np.array([4.0, 4.0]), np.array([False, True])) == pytest.approx(4)
    assert censored_mean(np.array([4.0]), np.array([False])) is None


def test_evidence_says_what_is_needed():
    labels = section(SHAPE, 100, 220, 232)
    labels[:, 60:] = np.where(labels[:, 60:] == FEAL, STEEL, labels[:, 60:])
    found = layer(labels, "FeAl")
    assert not found.present
    assert found.evidence.coverage == found.coverage == pytest.approx(60 / 512, abs=0.01)
    assert found.evidence.mean_px == pytest.approx(12, abs=0.3)
    assert found.note == "absent: coverage 12%, mean 11.9 px; needed 20% and 1.5 px"
    whole = layer(section(SHAPE, 100, 220)).evidence
    assert whole.present
    assert whole.words == "present: coverage 100%, mean 120.0 px; needed 20% and 1.5 px"


@pytest.mark.parametrize("section_tilt_deg", [-30, 10, 60])
def test_an_oblique_section_stretches_thickness(section_tilt_deg):
    labels = section(SHAPE, 100, 220, 240)
    for column in range(16, 512, 32):
        put_disc(labels, 148, column, 6, PORE)
    plain, oblique = (measure_label_map(labels, CLASSES, 0.5, section_tilt_deg=t) for t in (0.0, section_tilt_deg))
    share = np.cos(np.radians(section_tilt_deg))
    one, other = plain.layers["Fe2Al5"], oblique.layers["Fe2Al5"]
    for quantity in ("mean", "min", "max", "mean_over_all", "mean_censored"):
        assert getattr(other, quantity) == pytest.approx(share * getattr(one, quantity))
    assert other.percentiles[95] == pytest.approx(share * one.percentiles[95])
    assert other.profile.thickness == pytest.approx(share * one.profile.thickness)
    assert other.profile.along == pytest.approx(one.profile.along)
    assert other.local_thickness.mean == pytest.approx(share * one.local_thickness.mean)
    assert other.parts[0].mean == pytest.approx(share * one.parts[0].mean)
    assert oblique.lines["pore"].depth == pytest.approx(share * plain.lines["pore"].depth)
    assert other.area == one.area
    rows = {r.quantity: r for r in rows_of("a", oblique) if (r.kind, r.name) == ("layer", "Fe2Al5")}
    assert f"section tilt {section_tilt_deg} deg" in rows["thickness_mean"].method
    assert rows["section_tilt"].value == section_tilt_deg


@pytest.mark.parametrize("tilt", [61.0, -90.0, float("nan")])
def test_impossible_section_tilt(tilt):
    with pytest.raises(InputError, match="section tilt"):
        measure_label_map(section(SHAPE, 100, 220), CLASSES, None, section_tilt_deg=tilt)


def test_a_pore_line_splits_its_layer():
    x = np.arange(512)
    outer, inner = 100 + 0.1 * x, 260 + 0.2 * x  # 160 to 211 px
    labels = section((450, 512), outer, inner)
    for column in range(16, 512, 32):
        put_disc(labels, (outer + 0.35 * (inner - outer))[column], column, 6, PORE)
    found = measure_label_map(labels, CLASSES, 0.5)
    whole = found.layers["Fe2Al5"]
    outward, inward = whole.parts
    assert (outward.side, inward.side) == ("outward", "inward")
    assert outward.line == "pore"
    assert outward.share == pytest.approx(0.35, abs=0.01)
    assert outward.mean == pytest.approx(0.35 * whole.mean, rel=0.03)
    assert outward.mean + inward.mean == pytest.approx(whole.mean)
    assert outward.sd + inward.sd == pytest.approx(whole.sd)
    assert found.layers["FeAl"].parts == ()
    rows = {r.quantity: r for r in rows_of("a", found) if (r.kind, r.name) == ("layer", "Fe2Al5")}
    assert rows["outward_mean"].value == outward.mean
    assert "line of pore" in rows["inward_share"].note


def test_without_a_line_a_layer_is_one():
    assert layer(section(SHAPE, 100, 220)).parts == ()


def test_layer_with_one_boundary_in_the_frame_has_no_thickness():
    found = layer(section(SHAPE, 150, 400))
    assert found.present
    assert found.mean is None
    assert not found.complete


def test_frame_full_of_one_layer():
    found = layer(np.full(SHAPE, FE2AL5, dtype=np.uint8))
    assert found.present
    assert found.mean is None
    assert "leaves the frame" in found.note


def test_missing_layer():
    found = layer(section(SHAPE, 100, 220), "FeAl")
    assert not found.present
    assert found.mean is None
    assert found.coverage == 0.0
    assert found.note == "not in the map"


def test_discontinuous_layer():
    labels = section(SHAPE, 100, 220, 232)
    gap = np.zeros(512, dtype=bool)
    gap[100:180] = gap[300:348] = True
    labels[:, gap] = np.where(labels[:, gap] == FEAL, STEEL, labels[:, gap])
    found = layer(labels, "FeAl")
    assert found.coverage == pytest.approx(1 - 128 / 512, abs=0.01)
    assert found.mean == pytest.approx(12.0, abs=0.1)
    assert found.mean_over_all == pytest.approx(12.0 * 384 / 512, abs=0.2)


def test_thin_layer_is_unresolved():
    found = layer(section(SHAPE, 100, 220, 223), "FeAl", pixel_size_um=0.1)
    assert found.present
    assert not found.resolved
    assert found.mean == pytest.approx(0.3, abs=0.005)
    assert "unresolved" in found.note


def test_specks_are_no_layer():
    rng = np.random.default_rng(0)
    labels = section(SHAPE, 100, 220)
    for row, column in zip(rng.uniform(100, 390, 60), rng.uniform(0, 512, 60), strict=True):
        put_disc(labels, row, column, 2.5, FEAL)
    assert not layer(labels, "FeAl").present


def test_specks_elsewhere_do_not_change_a_layer():
    rng = np.random.default_rng(1)
    labels = section(SHAPE, 100, 220, 236)
    for row, column in zip(rng.uniform(300, 390, 30), rng.uniform(0, 512, 30), strict=True):
        put_disc(labels, row, column, 3, FEAL)
    found = layer(labels, "FeAl")
    assert found.mean == pytest.approx(16.0, abs=1e-6)
    assert found.area == 16 * 512


def test_crack_through_all_layers_is_bridged():
    labels = section(SHAPE, 100, 220, 236)
    rows, columns = np.mgrid[:400, :512]
    crack = (np.abs(columns - 200 - 0.2 * rows) < 4) & (rows >= 100) & (rows < 260)
    labels[crack] = CRACK
    found = measure_label_map(labels, CLASSES, None)
    assert found.layers["Fe2Al5"].mean == pytest.approx(120.0, abs=0.2)
    assert found.layers["FeAl"].mean == pytest.approx(16.0, abs=0.1)
    assert found.layers["FeAl"].coverage == 1.0
    assert found.inclusions["pore"].area_percent == 0.0


def test_pores_at_the_interface_do_not_shorten_the_thickness():
    labels = section(SHAPE, 100, 220)
    for column in range(30, 500, 60):
        put_disc(labels, 220, column, 12, PORE, only=FE2AL5)
        put_disc(labels, 100, column + 30, 12, PORE, only=FE2AL5)
    assert layer(labels).mean == pytest.approx(120.0, abs=1e-6)


def test_hole_of_another_class_is_filled():
    labels = section(SHAPE, 100, 220)
    put_disc(labels, 160, 250, 30, STEEL)
    assert layer(labels).mean == pytest.approx(120.0, abs=1e-6)


def test_layer_between_backgrounds_needs_no_outside_class():
    classes = ClassMap(classes=[
        {"name": "background"}, {"name": "oxide", "role": "layer"}, {"name": "crack", "role": "crack", "host": "oxide"},
    ])  # fmt: skip
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[180:220] = 1
    labels[180:220, 100:104] = 2
    found = layer(labels, "oxide", classes=classes)
    assert found.mean == pytest.approx(40.0, abs=0.05)
    assert found.coverage == 1.0


@pytest.mark.parametrize("pixel", [0.0, -1.0, float("nan")])
def test_impossible_pixel_size(pixel):
    with pytest.raises(InputError, match="pixel size"):
        measure_label_map(section(SHAPE, 100, 220), CLASSES, pixel)


def test_ids_without_a_class_and_maps_of_the_wrong_form():
    labels = section(SHAPE, 100, 220)
    with pytest.raises(InputError, match="class id 9, the class map has ids 0 to 6"):
        measure_label_map(np.where(labels == STEEL, 9, labels), CLASSES, None)
    with pytest.raises(InputError, match="expected class ids"):
        measure_label_map(np.zeros((4, 4, 3), np.uint8), CLASSES, None)
    with pytest.raises(InputError, match="expected class ids"):
        measure_label_map(np.zeros((4, 4), np.float32), CLASSES, None)
