"""The same layer measures the same whichever way it lies in the image, whatever is wrong with it."""

import numpy as np
import pytest
from coatings import CLASSES, CRACK, FEAL, PORE, STEEL, put_disc, section, slab
from scipy.ndimage import gaussian_filter1d

from sem_train.measure import measure_label_map

SHAPE = (384, 512)
X = np.arange(512)
QUANTITIES = ("mean", "sd", "min", "max", "mean_over_all", "mean_censored", "coverage", "usable_fraction", "area")


def with_gaps():
    labels = section(SHAPE, 100, 220, 232)
    for gap in (slice(40, 90), slice(300, 420)):
        labels[:, gap] = np.where(labels[:, gap] == FEAL, STEEL, labels[:, gap])
    return labels


def with_cracks():
    labels = section(SHAPE, 100, 220, 240)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for start, lean in ((80, 0.2), (300, -0.5)):
        labels[(np.abs(columns - start - lean * rows) < 3) & (rows >= 100) & (rows < 260)] = CRACK
    return labels


def rough_with_pores():
    rng = np.random.default_rng(8)
    rough = lambda length: 5 * np.sqrt(2 * length) * gaussian_filter1d(rng.normal(size=512), length, mode="wrap")
    labels = section(SHAPE, 100 + rough(15), 220 + rough(25), 232 + rough(25))
    for row, column in zip(rng.uniform(100, 220, 40), rng.uniform(0, 512, 40), strict=True):
        put_disc(labels, row, column, 5, PORE, only=1)
    return labels


CASES = {
    "tilted": slab(SHAPE, 60, 12),
    "leaving": slab(SHAPE, 90, 25, middle=120),
    "wedge": section(SHAPE, 100 - 0.05 * X, 200 + 0.1 * X),
    "wave": section(SHAPE, 120 + 10 * np.sin(X / 20), 250 + 15 * np.sin(X / 33)),
    "thin": section(SHAPE, 120, 240, 243),
    "gaps": with_gaps(),
    "cracks": with_cracks(),
    "rough": rough_with_pores(),
}


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
@pytest.mark.parametrize("case", CASES)
def test_it_does_not_matter_how_the_image_was_taken(case, quarter_turns, mirrored):
    upright = measure_label_map(CASES[case], CLASSES, 0.5)
    image = np.rot90(CASES[case][:, ::-1] if mirrored else CASES[case], quarter_turns)
    turned = measure_label_map(image, CLASSES, 0.5)
    # a pixel of a crack that is as near to one class as to another goes to the first: a few pixels along the crack
    tie = case == "cracks" and mirrored
    same, extreme = (5e-3, 0.15) if tie else (1e-3, 1e-3)
    for name, layer in upright.layers.items():
        other = turned.layers[name]
        assert other.present == layer.present
        assert other.censored == layer.censored
        for quantity in QUANTITIES:
            tolerance = 1.0 if tie and quantity == "area" else extreme if quantity in ("min", "max", "sd") else same
            assert getattr(other, quantity) == pytest.approx(getattr(layer, quantity), abs=tolerance), quantity
        for percent, value in layer.percentiles.items():
            assert other.percentiles[percent] == pytest.approx(value, abs=extreme)
        if layer.local_thickness is not None:
            assert other.local_thickness.mean == pytest.approx(layer.local_thickness.mean, rel=2e-3)
        for side, interface in layer.roughness.items():
            assert other.roughness[side].rq == pytest.approx(interface.rq, abs=extreme)
            assert other.roughness[side].wq == pytest.approx(interface.wq, abs=extreme)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
@pytest.mark.parametrize("tilt_deg", [-30, -24, -17, -8, -3, -0.5, 0.5, 3, 8, 17, 24, 30])
def test_a_tilted_slab_on_any_side(tilt_deg, quarter_turns):
    found = measure_label_map(np.rot90(slab((400, 512), 37, tilt_deg), quarter_turns), CLASSES, None).layers["Fe2Al5"]
    assert found.mean == pytest.approx(37, abs=0.1)
    assert found.mean_censored == pytest.approx(37, abs=0.1)
    assert found.percentiles[50] == pytest.approx(37, abs=0.3)


@pytest.mark.parametrize("slope", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("tilt_deg", [-15, 0, 15])
def test_a_wedge_at_any_tilt(slope, tilt_deg):
    """Two straight boundaries about a tilted bisector: across it, the thickness grows by `slope` along it."""
    tilt = np.radians(tilt_deg)
    y, x = np.mgrid[:420, :512].astype(float)
    along = (x - 255.5) * np.cos(tilt) - (y - 209.5) * np.sin(tilt)
    depth = (y - 209.5) * np.cos(tilt) + (x - 255.5) * np.sin(tilt)
    half = (100 + slope * along) / 2
    labels = np.select([depth < -half, depth < half], [0, 1], 3).astype(np.uint8)
    found = measure_label_map(labels, CLASSES, None).layers["Fe2Al5"]
    whole = np.isfinite(found.profile.thickness)
    from_middle = found.profile.along - 255.5 / np.cos(tilt)
    rise, middle = np.polyfit(from_middle[whole], found.profile.thickness[whole], 1)
    assert rise == pytest.approx(slope, abs=0.004)
    assert middle == pytest.approx(100, abs=0.5)
