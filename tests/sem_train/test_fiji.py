"""Lines and outlines to Fiji, and what comes back: thickness, changes, training labels."""

import numpy as np
import pytest
from coatings import CLASSES, CRACK, FE2AL5, FEAL, PORE, RESIN, STEEL, put_disc, section, slab
from hypothesis import given, settings
from hypothesis import strategies as st
from roifile import ROI_TYPE, ImagejRoi
from scipy import ndimage

from sem_train.fiji import corrected_labels, lay_lines, line_statistics, read_corrected, write_rois
from sem_train.fiji.corrected import Outline
from sem_train.fiji.polygons import inside
from sem_train.fiji.rois import area_roi, ends_of, is_line, line_roi, polygons_of, read_zip, write_zip
from sem_train.measure import measure_section, prepare
from semforge.errors import InputError

GREY = (1, 2, 3)
END = 180  # of FeAl in the coating, where no line of ten is laid


def rectangle(left, top, right, bottom):
    """The outline of these pixels, right and bottom not included."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) - 0.5


@pytest.fixture
def coating():
    """Fe2Al5 40 px thick over FeAl 10 px thick, missing at the right; pores and a crack."""
    columns = np.arange(256)
    labels = section((200, 256), 50, 90, np.where(columns < END, 100, 90))
    for k in range(5):
        put_disc(labels, 70, 30 + 40 * k, 4, PORE, only=FE2AL5)
    labels[50:100, 120:122] = CRACK
    return labels


class Fiji:
    """Selections of a label map as a person has them in the ROI Manager."""

    def __init__(self, folder, labels, number=10):
        self.path, self.labels, self.section = folder / "a.zip", labels, prepare(labels, CLASSES)
        self.laid = write_rois(self.path, labels, self.section, number)
        self.rois = {roi.name: roi for roi in read_zip(self.path)}

    def drag(self, name, dx, dy, ends=(1, 2)):
        roi = self.rois[name]
        for end in ends:
            setattr(roi, f"x{end}", getattr(roi, f"x{end}") + dx)
            setattr(roi, f"y{end}", getattr(roi, f"y{end}") + dy)

    def back(self, **options):
        write_zip(self.path, list(self.rois.values()))
        return read_corrected(self.path, self.labels, self.section, **options)

    def labels_back(self):
        return corrected_labels(self.labels, self.section, self.back().outlines)


@pytest.fixture
def fiji(tmp_path, coating):
    return Fiji(tmp_path, coating)


def changes(correction):
    return correction.unchanged, correction.moved, correction.added, correction.deleted


# lines


@pytest.mark.parametrize("number", [1, 5, 10, 20])
def test_lines_run_from_boundary_to_boundary_evenly(number):
    lines = lay_lines(prepare(section((200, 256), 50, 90), CLASSES), number)["Fe2Al5"]
    ends = np.array([line.ends for line in lines])
    assert ends[:, 0, 1] == pytest.approx(np.full(number, 49.5), abs=0.02)  # the edge between rows 49 and 50
    assert ends[:, 1, 1] == pytest.approx(np.full(number, 89.5), abs=0.02)
    assert ends[:, 0, 0] == pytest.approx((np.arange(number) + 0.5) * 256 / number - 0.5, abs=1.0)
    assert [line.number for line in lines] == list(range(1, number + 1))


@pytest.mark.parametrize("tilt", [-20, 7, 30])
def test_lines_of_an_inclined_layer_are_as_long_as_it_is_thick(tilt):
    lines = lay_lines(prepare(slab((300, 256), 40, tilt), CLASSES))["Fe2Al5"]
    assert [line.length_px for line in lines] == pytest.approx([40] * 10, abs=0.6)


@pytest.mark.parametrize("turns", range(4))
def test_lines_lie_on_the_image_as_given(turns, coating):
    turned = np.ascontiguousarray(np.rot90(coating, turns))
    for layer, label in (("Fe2Al5", FE2AL5), ("FeAl", FEAL)):
        for line in lay_lines(prepare(turned, CLASSES))[layer]:
            if not line.missing:
                step = (line.ends[1] - line.ends[0]) / line.length_px
                x, y = np.rint(line.ends[0] + 1.5 * step).astype(int)
                assert turned[y, x] in (label, CRACK)
                x, y = np.rint(line.ends[0] - 1.5 * step).astype(int)
                assert turned[y, x] == (RESIN if layer == "Fe2Al5" else FE2AL5) or turned[y, x] == CRACK


def test_where_the_layer_is_missing_lines_have_no_length(coating):
    prepared = prepare(coating, CLASSES)
    lines = lay_lines(prepared, 20)["FeAl"]
    missing = [line.missing for line in lines]
    assert sum(missing) == 6 and missing[-6:] == [True] * 6
    assert all(np.array_equal(*line.ends) for line in lines if line.missing)
    statistics = line_statistics([line.length_px for line in lines], 0.5)
    over_all = measure_section(prepared, 0.5).layers["FeAl"].mean_over_all
    assert statistics.mean == pytest.approx(14 / 20 * 10 * 0.5, abs=0.01)
    assert statistics.mean == pytest.approx(over_all, rel=0.02)


def test_a_layer_that_is_not_there_has_no_lines():
    lines = lay_lines(prepare(section((200, 256), 50, 90), CLASSES))
    assert len(lines["Fe2Al5"]) == 10 and lines["FeAl"] == ()
    assert line_statistics([], 1.0) == line_statistics(iter(()), 2.0)
    assert line_statistics([], 1.0).mean is None


def test_names_sort_by_layer_and_place(fiji):
    lines = [name for name, roi in fiji.rois.items() if is_line(roi)]
    assert lines[0] == "Fe2Al5 01" and lines[9] == "Fe2Al5 10" and lines[10] == "FeAl 01"
    assert lines == sorted(lines, key=lambda n: (n.split()[0] != "Fe2Al5", n))
    assert lines[-1] == "FeAl 10 missing"
    assert [n for n in fiji.rois if n not in lines] == ["Fe2Al5 outline 1", "FeAl outline 1"]


def test_selections_have_the_colours_of_overlays(fiji):
    colours = {name.split()[0]: roi.hexcolor(roi.stroke_color) for name, roi in fiji.rois.items()}
    assert colours == {"Fe2Al5": "#56b4e9", "FeAl": "#009e73"}


# lines back


def test_untouched_lines_give_the_same_number(fiji):
    corrected = fiji.back(pixel=0.25)
    for layer in ("Fe2Al5", "FeAl"):
        correction = corrected.lines[layer]
        assert changes(correction) == (10, 0, 0, 0)
        assert correction.corrected.mean == pytest.approx(correction.automatic.mean, rel=1e-6)
        assert correction.corrected.sd == pytest.approx(correction.automatic.sd, abs=1e-6)
    assert corrected.lines["Fe2Al5"].automatic.mean == pytest.approx(10, abs=0.01)
    assert corrected.identified


def test_moved_lengthened_deleted_and_added_lines(fiji):
    fiji.drag("Fe2Al5 01", 0, 20, ends=(2,))  # 60 px long now
    fiji.drag("Fe2Al5 02", 5, 0)  # aside, as long as before
    fiji.drag("Fe2Al5 03", 0.3, 0.3)  # a tremor of the hand
    del fiji.rois["Fe2Al5 04"]
    fiji.rois["0070-0100"] = line_roi("0070-0100", np.array([[100, 60], [100, 80]]), GREY, {})  # ImageJ's own name
    fiji.rois["Fe2Al5 11"] = line_roi("Fe2Al5 11", np.array([[10, 50], [10, 100]]), GREY, {})
    correction = fiji.back().lines["Fe2Al5"]
    assert changes(correction) == (7, 2, 2, 1)
    assert correction.automatic.n == 10 and correction.corrected.n == 11
    assert correction.corrected.mean == pytest.approx((60 + 40 * 8 + 20 + 50) / 11, abs=0.01)


@pytest.mark.parametrize(("by", "moved"), [(0.49, 0), (0.51, 1)])
def test_a_line_has_moved_from_half_a_pixel_on(fiji, by, moved):
    fiji.drag("Fe2Al5 05", by, 0, ends=(1,))
    assert fiji.back().lines["Fe2Al5"].moved == moved


def test_a_line_drawn_the_other_way_round_has_not_moved(fiji):
    roi = fiji.rois["Fe2Al5 05"]
    roi.x1, roi.y1, roi.x2, roi.y2 = roi.x2, roi.y2, roi.x1, roi.y1
    assert changes(fiji.back().lines["Fe2Al5"]) == (10, 0, 0, 0)


def test_a_renamed_line_is_known_by_what_it_was_laid_with(fiji):
    fiji.rois["Fe2Al5 05"].name = "looks odd"
    assert changes(fiji.back().lines["Fe2Al5"]) == (10, 0, 0, 0)


def test_a_line_drawn_anew_is_known_by_its_name(fiji):
    old = fiji.rois["Fe2Al5 05"]
    fiji.rois["Fe2Al5 05"] = line_roi("Fe2Al5 05", ends_of(old) + np.array([0, 3]), GREY, {})
    assert changes(fiji.back().lines["Fe2Al5"]) == (9, 1, 0, 0)


def test_a_copy_of_a_line_is_a_new_one(fiji):
    copy = ImagejRoi.frombytes(fiji.rois["Fe2Al5 05"].tobytes())
    fiji.rois["copy"] = copy
    assert changes(fiji.back().lines["Fe2Al5"]) == (10, 0, 1, 0)


def test_a_line_renamed_to_another_layer_goes_there(fiji):
    fiji.rois["Fe2Al5 05"].name = "FeAl 11"
    corrected = fiji.back()
    assert changes(corrected.lines["Fe2Al5"]) == (9, 0, 0, 1)
    assert changes(corrected.lines["FeAl"]) == (10, 0, 1, 0)


def test_missing_in_the_name_is_zero_until_the_line_is_drawn_out(fiji):
    fiji.rois["Fe2Al5 05"].name = "Fe2Al5 05 Missing"
    fiji.drag("FeAl 10 missing", 0, 12, ends=(2,))  # it was there after all
    corrected = fiji.back()
    assert changes(corrected.lines["Fe2Al5"]) == (9, 1, 0, 0)
    assert corrected.lines["Fe2Al5"].corrected.mean == pytest.approx(36, abs=0.01)
    assert changes(corrected.lines["FeAl"]) == (9, 1, 0, 0)
    added = corrected.lines["FeAl"].corrected.mean - corrected.lines["FeAl"].automatic.mean
    assert added == pytest.approx(1.2, abs=1e-4)


def test_the_number_of_lines_travels_in_the_file(tmp_path, coating):
    fiji = Fiji(tmp_path, coating, number=15)
    assert changes(fiji.back().lines["Fe2Al5"]) == (15, 0, 0, 0)
    assert changes(fiji.back(lines=15).lines["Fe2Al5"]) == (15, 0, 0, 0)
    with pytest.raises(InputError, match="was written with --lines 15, found --lines 10"):
        fiji.back(lines=10)


def test_all_lines_of_a_layer_deleted(fiji):
    fiji.rois = {name: roi for name, roi in fiji.rois.items() if not name.startswith("FeAl 0")}
    del fiji.rois["FeAl 10 missing"]
    correction = fiji.back().lines["FeAl"]
    assert changes(correction) == (0, 0, 0, 10) and correction.corrected.mean is None


def test_lines_of_a_person_alone(fiji):
    fiji.rois = {"1": line_roi("1", np.array([[30, 45], [30, 92]]), GREY, {})}
    corrected = fiji.back()
    assert not corrected.identified
    assert corrected.lines["Fe2Al5"].corrected.mean == pytest.approx(47)


def point():
    roi = ImagejRoi.frompoints(np.array([[3.0, 4.0]]), name="Fe2Al5 12")
    roi.roitype = ROI_TYPE.POINT
    return roi


def segmented():
    roi = ImagejRoi.frompoints(np.array([[3.0, 4.0], [5.0, 9.0], [6.0, 20.0]]), name="Fe2Al5 13")
    roi.roitype = ROI_TYPE.POLYLINE
    return roi


@pytest.mark.parametrize(("roi", "message"), [
    (point(), "'Fe2Al5 12' is a point, expected straight lines and outlined areas"),
    (segmented(), "'Fe2Al5 13' is a segmented line"),
    (area_roi("Fe2Al5 14", rectangle(5, 5, 9, 9), GREY, {}), "'Fe2Al5 14' is an area, expected a straight line"),
    (line_roi("steel 1", np.array([[9, 120], [9, 150]]), GREY, {}), "line 'steel 1': steel is no layer"),
    (line_roi("0140-0009", np.array([[9, 130], [9, 150]]), GREY, {}), "'0140-0009' says no layer and does not lie"),
    (line_roi("Fe2Al5 11", np.array([[999, 50], [999, 90]]), GREY, {}), "outside the image of 256 × 200 pixels"),
    (area_roi("lake", rectangle(5, 5, 9, 9), GREY, {}), "area 'lake' says no class; rename it"),
])  # fmt: skip
def test_what_cannot_be_taken_back_is_named(fiji, roi, message):
    fiji.rois["new"] = roi
    with pytest.raises(InputError, match=message) as error:
        fiji.back()
    assert "a.zip" in str(error.value) and "\n" not in str(error.value)


def test_selections_of_another_label_map_are_refused(fiji):
    fiji.labels = fiji.labels.copy()
    fiji.labels[0, 0] = PORE
    with pytest.raises(InputError, match="'Fe2Al5 01' was laid on another label map"):
        fiji.back()


# outlines


def test_outlines_are_the_envelopes(fiji):
    for layer, mask in fiji.section.envelopes.items():
        drawn = inside(polygons_of(fiji.rois[f"{layer} outline 1"]), fiji.labels.shape)
        assert np.array_equal(drawn, mask)


@pytest.mark.parametrize("turns", range(4))
def test_untouched_outlines_give_the_same_labels(tmp_path, coating, turns):
    turned = np.ascontiguousarray(np.rot90(coating, turns))
    assert np.array_equal(Fiji(tmp_path, turned).labels_back(), turned)


@st.composite
def wavy_coatings(draw):
    """Layers of any waviness with pores and cracks, as models see them at their best: no strays."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    wave = lambda: ndimage.gaussian_filter1d(rng.normal(size=80), draw(st.floats(1, 8)), mode="nearest")
    top, bottom = 20 + 3 * wave(), 50 + 3 * wave()
    labels = section((90, 80), top, bottom, bottom + draw(st.floats(4, 15)))
    for _ in range(draw(st.integers(0, 6))):
        put_disc(labels, rng.uniform(25, 45), rng.uniform(0, 80), rng.uniform(1, 4), PORE, only=FE2AL5)
    if draw(st.booleans()):
        labels[22:47, 40:42] = CRACK
    return labels


@settings(max_examples=30, deadline=None)
@given(wavy_coatings())
def test_labels_to_outlines_to_labels(tmp_path_factory, labels):
    assert np.array_equal(Fiji(tmp_path_factory.mktemp("fiji"), labels).labels_back(), labels)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 3))
def test_any_map_changes_only_outside_its_outlines_and_in_their_holes(tmp_path_factory, seed, coarse):
    noise = np.random.default_rng(seed).normal(size=(4, 60, 60))
    labels = ndimage.gaussian_filter(noise, (0, coarse, coarse)).argmax(axis=0).astype(np.uint8)
    labels[:20][labels[:20] == STEEL] = RESIN
    fiji = Fiji(tmp_path_factory.mktemp("fiji"), labels)
    envelopes = {CLASSES.id_of(n): np.rot90(m, -fiji.section.turns) for n, m in fiji.section.envelopes.items()}
    if not any(mask.any() for mask in envelopes.values()):
        return
    back = fiji.labels_back()
    anywhere = np.any(list(envelopes.values()), axis=0)
    for label in (FE2AL5, FEAL):
        assert np.array_equal(back[labels == label] == label, envelopes[label][labels == label])  # strays go
    beside = ~anywhere & np.isin(labels, (RESIN, STEEL))
    assert np.array_equal(back[beside], labels[beside])
    assert not beside.any() or np.isin(back[~anywhere], (RESIN, STEEL)).all()
    assert np.isin(back[anywhere], (FE2AL5, FEAL)).all()  # holes are filled


def outline(name, *polygons):
    return Outline(name, name, list(polygons))


def relabelled(coating, **outlines):
    """Labels after the outlines of layers have been replaced by rectangles (left, top, right, bottom)."""
    prepared = prepare(coating, CLASSES)
    new = {"Fe2Al5": (0, 50, 256, 90), "FeAl": (0, 90, END, 100)} | outlines
    found = [outline(name, rectangle(*r)) for name, r in new.items() if r is not None]
    return corrected_labels(coating, prepared, found)


def test_an_outline_that_grows_takes_what_it_newly_encloses(coating):
    back = relabelled(coating, Fe2Al5=(0, 45, 256, 95))
    expected = coating.copy()
    expected[45:50] = FE2AL5  # from the resin
    expected[90:95][expected[90:95] != CRACK] = FE2AL5  # from FeAl and, at the right, from the steel
    assert np.array_equal(back, expected)


def test_an_outline_that_shrinks_leaves_to_what_is_beside(coating):
    back = relabelled(coating, Fe2Al5=(0, 60, 256, 85))
    expected = coating.copy()
    top, bottom = expected[50:60], expected[85:90]
    top[np.isin(top, (FE2AL5, PORE))] = RESIN
    bottom[:, :END][bottom[:, :END] == FE2AL5] = FEAL
    bottom[:, END:] = STEEL
    differs = back != expected
    assert differs[:, :170].sum() + differs[:, 190:].sum() == 0  # at the end of FeAl the nearest may be either
    assert set(np.unique(back[differs])) <= {FEAL, STEEL}


def test_pores_stay_where_their_host_is_and_cracks_everywhere(coating):
    back = relabelled(coating, FeAl=(0, 60, END, 100))
    assert not (back[66:75, :END] == PORE).any()  # no class of pores in FeAl
    assert (back[66:75, :END] == FEAL).any()
    assert np.array_equal(back == CRACK, coating == CRACK)


def test_a_deleted_layer_goes_to_what_is_beside(coating):
    back = relabelled(coating, FeAl=None)
    assert not (back == FEAL).any()
    assert (back[90:95, :170][back[90:95, :170] != CRACK] == FE2AL5).all()
    assert (back[96:100, :170][back[96:100, :170] != CRACK] == STEEL).all()


def test_areas_of_other_classes_can_be_drawn(coating):
    found = [outline("Fe2Al5", rectangle(0, 50, 256, 90)), outline("FeAl", rectangle(0, 90, END, 100)),
             outline("pore", rectangle(200, 60, 220, 65)), outline("steel", rectangle(0, 95, 50, 110))]  # fmt: skip
    back = corrected_labels(coating, prepare(coating, CLASSES), found)
    expected = coating.copy()
    expected[60:65, 200:220] = PORE
    expected[95:110, 0:50] = STEEL
    assert np.array_equal(back, expected)


def test_a_hole_in_an_outline_is_not_the_layer(coating):
    ring = outline("Fe2Al5", rectangle(0, 50, 256, 90), rectangle(200, 60, 230, 80))
    back = corrected_labels(coating, prepare(coating, CLASSES), [ring, outline("FeAl", rectangle(0, 90, END, 100))])
    assert not np.isin(back[60:80, 200:230], (FE2AL5, PORE)).any()
    assert (back[55:60, 200:230] == FE2AL5).all()


def test_two_outlines_that_both_grow_overlap_in_favour_of_the_later_class(coating):
    back = relabelled(coating, Fe2Al5=(0, 50, 256, 104), FeAl=(0, 90, END, 104))
    assert (back[100:104, :170] == FEAL).all() and (back[100:104, 200:] == FE2AL5).all()


def test_there_must_be_outlines(fiji):
    fiji.rois = {name: roi for name, roi in fiji.rois.items() if is_line(roi)}
    with pytest.raises(InputError, match="no outlined area"):
        fiji.labels_back()


def test_what_is_taken_away_must_be_something_else():
    labels = np.full((40, 40), FE2AL5, dtype=np.uint8)
    prepared = prepare(labels, CLASSES)
    with pytest.raises(InputError, match="Fe2Al5 was taken away"):
        corrected_labels(labels, prepared, [outline("Fe2Al5", rectangle(0, 0, 40, 20))])
