"""The cut and its truth against closed form."""

import numpy as np
import pytest
from specimens import COATING, PORE, RESIN, SUBSTRATE, slab

from blender_gen.section import audit, cut, phase_map
from blender_gen.truth.coating import coating_truth, thickness_profile
from semforge.errors import RejectedSpecimen


@pytest.mark.parametrize("tilt", [0.0, 3.0, -12.0, 25.0])
def test_a_slab_is_as_thick_at_any_tilt(tilt):
    truth = coating_truth(cut(slab(20.0, tilt_deg=tilt)))["layers"]["coating"]
    assert truth["present"]
    for key in ("mean_um", "min_um", "max_um"):
        assert truth[key] == pytest.approx(20.0, abs=1e-3)
    assert truth["sd_um"] == pytest.approx(0, abs=1e-3)


def test_a_wedge_is_measured_across_its_bisector():
    slope = 0.1
    specimen = slab(outer=lambda x: 15 + slope * x, size_px=(200, 200), centre=(0.0, 8.0))
    profile = thickness_profile(specimen, specimen.strata[1])
    # normals of the bisector y = (15 + slope x)/2 meet both faces
    a = np.arctan(slope / 2)
    x0 = specimen.x_um
    y0 = (15 + slope * x0) / 2
    up = (15 + slope * x0 - y0) / (np.cos(a) + slope * np.sin(a))
    expected = up + y0 / np.cos(a)
    inner = np.abs(x0) < 20
    assert profile[inner] == pytest.approx(expected[inner], abs=0.02)


def test_a_rough_slab_has_its_area_over_its_length_as_mean():
    specimen = slab(outer=lambda x: 20 + 2 * np.sin(2 * np.pi * x / 9), size_px=(256, 160))
    section = cut(specimen)
    layer = coating_truth(section)["layers"]["coating"]
    assert layer["mean_um"] == pytest.approx(section.layer_area_um2[COATING] / specimen.view.size_um[0], rel=5e-3)
    assert layer["sd_um"] == pytest.approx(2 / np.sqrt(2), rel=0.05)


def test_the_profile_follows_the_thickness():
    """Of a wedge: even steps, at most 64 of them, thickness rising by the slope."""
    specimen = slab(outer=lambda x: 15 + 0.1 * x, size_px=(256, 200), centre=(0.0, 8.0))
    layer = coating_truth(cut(specimen))["layers"]["coating"]
    profile = np.array(layer["profile"]["thickness_um"], dtype=float)
    assert 16 < profile.size <= 64
    assert profile.size * layer["profile"]["step_um"] == pytest.approx(layer["usable_length_um"], rel=0.1)
    slopes = np.diff(profile)[3:-3] / layer["profile"]["step_um"]
    assert slopes == pytest.approx(0.1, abs=0.01)


def test_volume_fraction_of_spheres_does_not_depend_on_where_they_are_cut():
    """A sphere of radius r, cut anywhere, stands for the mean area of its cuts, 2/3 pi r^2."""
    for height in (0.0, 2.5):
        section = cut(slab(20.0, spheres=[(-10, 10, height, 4.0), (8, 9, -height, 4.0)]))
        pores = coating_truth(section)["inclusions"]["pore"]
        expected = 100 * 2 * (2 / 3 * np.pi * 16) / section.layer_area_um2[COATING]
        assert pores["volume_percent"] == pytest.approx(expected, rel=6e-3)


def test_normals_that_leave_the_frame_do_not_count():
    specimen = slab(20.0, centre=(0.0, 25.0), size_px=(200, 120))  # the inner interface lies below the frame
    layer = coating_truth(cut(specimen))["layers"]["coating"]
    assert layer["usable_length_um"] == 0
    assert "mean_um" not in layer


def test_cut_spheres_have_the_area_of_their_discs():
    spheres = [(-10, 10, 0, 4.0), (8, 9, 2, 5.0), (0, 14, 30, 3.0)]  # the last one is not cut
    section = cut(slab(20.0, spheres=spheres))
    pores = coating_truth(section)["inclusions"]["pore"]
    radii = [4.0, np.sqrt(25 - 4)]
    assert pores["count"] == 2
    assert sorted(pores["ecd_um"]) == pytest.approx(sorted(2 * r for r in map(float, radii)), rel=2e-3)
    area = np.pi * sum(r**2 for r in radii)
    assert pores["area_percent"] == pytest.approx(100 * area / section.layer_area_um2[COATING], rel=3e-3)


def test_a_pore_that_the_frame_cuts_counts_for_area_and_not_for_size():
    edge = 200 * 0.31 / 2
    pores = coating_truth(cut(slab(20.0, spheres=[(-10, 10, 0, 4.0), (edge, 10, 0, 4.0)])))["inclusions"]["pore"]
    assert pores["area_um2"] == pytest.approx(1.5 * np.pi * 16, rel=3e-3)
    assert len(pores["ecd_um"]) == pores["count"] == 2
    assert pores["ecd_whole_um"] == pytest.approx([8.0], rel=2e-3)


@pytest.mark.parametrize("tilt", [0.0, 17.0])
def test_the_phase_at_a_pixels_centre_is_that_of_the_outline_around_it(tilt):
    section = cut(slab(20.0, tilt_deg=tilt, spheres=[(-10, 10, 0, 4.0), (8, 19, 1, 5.0), (-9, 11, 0, 1.0)]))
    x, y = np.moveaxis(section.view.pixel_centres(), -1, 0)
    expected = np.select([y > 20, y > 0], [RESIN, COATING], SUBSTRATE)
    for cx, cy, radius in ((-10, 10, 4.0), (8, 19, np.sqrt(24))):
        expected[(np.hypot(x - cx, y - cy) < radius) & (y > 0) & (y < 20)] = PORE
    assert (phase_map(section) != expected).sum() < 15  # the spheres are polyhedra


def test_a_label_that_is_off_fails_the_audit():
    section = cut(slab(20.0, spheres=[(-10, 10, 0, 4.0)]))
    phase = phase_map(section)
    audit(section, phase)
    for wrong in (np.roll(phase, 1, axis=1), np.where(phase == PORE, COATING, phase)):  # a pixel aside; pores lost
        with pytest.raises(RejectedSpecimen, match="off the exact outlines, most of them in"):
            audit(section, wrong)


def test_a_pore_ends_where_its_layer_ends():
    section = cut(slab(20.0, spheres=[(0, 20, 0, 5.0)]))
    assert section.visible[PORE].area() == pytest.approx(np.pi * 25 / 2, rel=3e-3)


def test_overlapping_pores_count_their_common_area_once():
    section = cut(slab(20.0, spheres=[(0, 10, 0, 4.0), (4, 10, 0, 4.0)]))
    lens = 2 * 16 * np.arccos(0.5) - 2 * np.sqrt(64 - 16)
    assert section.visible[PORE].area() == pytest.approx(2 * np.pi * 16 - lens, rel=3e-3)
    assert coating_truth(section)["inclusions"]["pore"]["count"] == 1


def test_pore_line_depth_is_a_share_of_the_thickness():
    line = {"pore": {"host": "coating", "present": True, "depth_fraction": 0.4, "half_width_um": 1.5, "coverage": 0.6}}
    truth = coating_truth(cut(slab(20.0, line=line)))
    assert truth["pore_lines"]["pore"]["depth_um"] == pytest.approx(8.0, abs=1e-3)


def test_a_pore_line_splits_its_layer_into_what_grew_outwards_and_inwards():
    line = {"pore": {"host": "coating", "present": True, "depth_fraction": 0.4, "half_width_um": 1.5, "coverage": 0.6}}
    wavy = slab(outer=lambda x: 20 + 2 * np.sin(2 * np.pi * x / 9), size_px=(256, 160), line=line)
    layer = coating_truth(cut(wavy))["layers"]["coating"]
    parts = layer["parts"]
    assert parts["line"] == "pore"
    assert parts["outward"]["mean_um"] == pytest.approx(0.4 * 20, rel=0.02)
    assert parts["outward"]["mean_um"] + parts["inward"]["mean_um"] == pytest.approx(layer["mean_um"])
    assert parts["outward"]["sd_um"] + parts["inward"]["sd_um"] == pytest.approx(layer["sd_um"])


def test_without_a_line_a_layer_is_one():
    for line in (None, {"pore": {"host": "coating", "present": False}}):
        assert "parts" not in coating_truth(cut(slab(20.0, line=line)))["layers"]["coating"]


def test_visible_regions_fill_the_frame():
    specimen = slab(20.0, tilt_deg=7, spheres=[(-10, 10, 0, 4.0), (8, 19, 1, 5.0)])
    total = sum(region.area() for region in cut(specimen).visible.values())
    assert total == pytest.approx(np.prod(specimen.view.size_um), rel=1e-6)


def test_a_phase_that_was_not_drawn_is_in_the_truth_with_zero():
    pores = coating_truth(cut(slab(20.0)))["inclusions"]["pore"]
    assert (pores["area_percent"], pores["count"]) == (0.0, 0)
