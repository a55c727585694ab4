"""Local thickness against closed form and against PoreSpy."""

import numpy as np
import pytest
from coatings import CLASSES, section, slab
from scipy.ndimage import gaussian_filter1d

from sem_train.measure import measure_label_map
from sem_train.measure.layers.local_thickness import local_thickness

Y, X = np.mgrid[:300, :400]


def statistics(mask, factor=1):
    values = local_thickness(mask, factor)
    values = values[values > 0]
    return values.mean(), values.std(), values.max()


def disc(row, column, radius):
    return np.hypot(Y - row, X - column) < radius


@pytest.mark.parametrize("thickness", [3, 4, 5, 20, 21, 63, 120])
def test_a_slab_is_as_thick_everywhere(thickness):
    mean, sd, largest = statistics((Y >= 90) & (90 + thickness > Y))
    assert mean == pytest.approx(thickness, abs=0.05)
    assert sd < 0.05
    assert largest == pytest.approx(thickness, abs=0.5)


@pytest.mark.parametrize("tilt_deg", [-25, 7, 20])
@pytest.mark.parametrize("thickness", [9, 40, 150])
def test_a_tilted_slab_too(thickness, tilt_deg):
    found = measure_label_map(slab((512, 512), thickness, tilt_deg), CLASSES, 0.5).layers["Fe2Al5"].local_thickness
    assert found.mean == pytest.approx(0.5 * thickness, abs=0.2)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_disc_has_its_diameter_everywhere(factor):
    mean, sd, _ = statistics(disc(140.3, 180.2, 60), factor)
    assert mean == pytest.approx(120, rel=0.01)
    assert sd < 1e-3


def test_two_discs_count_by_area():
    mean, _, largest = statistics(disc(140.3, 110.2, 60) | disc(150.3, 300.2, 30))
    assert mean == pytest.approx((120 * 60**2 + 60 * 30**2) / (60**2 + 30**2), rel=0.01)
    assert largest == pytest.approx(120, rel=0.01)


def test_two_discs_that_overlap_keep_their_diameters():
    both = disc(150.3, 120.2, 50) | disc(150.3, 180.2, 50)
    values = local_thickness(both)
    assert values[150, 80] == pytest.approx(100, rel=0.01)
    assert values[150, 150] == pytest.approx(100, rel=0.01)


def test_what_the_frame_cuts_is_left_out():
    touching = (Y < 40) | ((Y >= 100) & (Y < 130))
    values = local_thickness(touching)
    assert not values[:40].any()
    assert not values[:, :15].any()
    assert not values[:, -15:].any()
    assert values[100:130, 16:-16] == pytest.approx(np.full((30, 368), 30), abs=0.1)


def test_a_disc_clear_of_the_sides_counts_whole():
    values = local_thickness(disc(150.3, 62.2, 60))
    assert np.count_nonzero(values) == np.count_nonzero(disc(150.3, 62.2, 60))


def test_a_coarser_grid_agrees_within_a_percent():
    rng = np.random.default_rng(2)
    rough = lambda rms, length: gaussian_filter1d(rng.normal(size=400), length, mode="wrap") * rms * np.sqrt(2 * length)
    mask = (60 + rough(4, 30) < Y) & (220 + rough(4, 30) > Y)
    fine, coarse = (statistics(mask, factor) for factor in (1, 3))
    assert coarse[0] == pytest.approx(fine[0], rel=0.01)
    assert coarse[2] == pytest.approx(fine[2], rel=0.01)


# name: mean, sd, max of 2 r - 1
PORESPY = {"slab": (31.0, 0.0, 31.0), "discs": (105.959, 24.011, 118.0), "rough": (49.381, 6.663, 59.0),
           "wave": (30.835, 6.286, 37.0)}  # fmt: skip


@pytest.mark.parametrize("shape", PORESPY)
def test_as_porespy_measures_it(shape):
    """Reference values of PoreSpy 3.2.0 for the masks of `masks()`, which are of 300 x 400 pixels:

        padded = np.pad(mask, ((60, 60), (0, 0)))
        radius = porespy.filters.local_thickness(padded, method="legacy", sizes=np.arange(80, 0.9, -0.25))
        values = (2 * radius[60:-60] - 1)[:, 40:-40][mask[:, 40:-40]]
        values.mean(), values.std(), values.max()

    Its discs sit on pixel centres and reach to the nearest centre outside, so that a slab of 31 px has r = 16: the
    thickness lies between 2 r - 1, of a straight edge along the pixels, and 2 r.
    """
    values = local_thickness(masks()[shape])[:, 40:-40]  # nearer the sides the layers' boundaries are not seen
    values = values[values > 0]
    mean, sd, largest = values.mean(), values.std(), values.max()
    reference = PORESPY[shape]
    assert reference[0] - 0.1 <= mean <= reference[0] + 1.3
    assert reference[2] - 0.1 <= largest <= reference[2] + 1.3
    assert sd == pytest.approx(reference[1], abs=0.15)


def masks():
    rng = np.random.default_rng(5)

    def rough(rms, length):
        z = gaussian_filter1d(rng.normal(size=400), length, mode="wrap")
        return z / z.std() * rms

    wave = 120 + 20 * np.sin(X / 30)
    return {
        "slab": np.abs(Y - 150) <= 15,
        "discs": disc(140.3, 110.2, 60) | disc(150.3, 300.2, 30),
        "rough": (120 + rough(5, 20) <= Y) & (165 + rough(4, 15) > Y),
        "wave": (wave <= Y) & (wave + 30 + 8 * np.sin(X / 17) > Y),
    }


def test_nothing_to_measure():
    assert measure_label_map(section((300, 400), 100, 200), CLASSES, None).layers["FeAl"].local_thickness is None
    assert not local_thickness(np.zeros((50, 60), dtype=bool)).any()
