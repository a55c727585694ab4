"""Selections as ImageJ's RoiDecoder reads them: bytes, half pixels, names, colours, types."""

import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from sem_train.fiji.rois import area_roi, ends_of, is_area, is_line, kind_of, line_roi, polygons_of, read_zip, write_zip
from semforge.errors import InputError

ORANGE = (230, 159, 0)
SUB_PIXEL = 128
coordinates = st.floats(-100, 30_000, width=32)


@given(st.tuples(*[coordinates] * 4))
def test_lines_come_back_as_they_were(ends):
    ends = np.reshape(ends, (2, 2))
    roi = ImagejRoi.frombytes(line_roi("a 01", ends, ORANGE, {}).tobytes())
    assert is_line(roi) and not is_area(roi)
    assert np.array_equal(ends_of(roi), ends)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=40))
def test_areas_come_back_as_they_were(points):
    roi = ImagejRoi.frombytes(area_roi("a outline 1", np.array(points), ORANGE, {}).tobytes())
    assert is_area(roi) and not is_line(roi)
    (back,) = polygons_of(roi)
    assert back == pytest.approx(np.array(points), abs=2e-3)  # 32-bit floats, half a pixel added and taken away


def header(roi):
    """Fields at the offsets of ImageJ's RoiDecoder.java."""
    data = roi.tobytes()
    at = lambda form, offset: struct.unpack_from(">" + form, data, offset)
    return {
        "magic": data[:4], "version": at("h", 4)[0], "type": data[6], "ends": at("4f", 18), "stroke": data[40:44],
        "subtype": at("h", 48)[0], "options": at("h", 50)[0], "position": at("i", 56)[0],
    }  # fmt: skip


def test_ends_of_lines_count_from_the_centre_of_the_first_pixel():
    """ImageJ draws the line 1,2 to 4,6 from the centre of pixel (1, 2): Roi.useLineSubpixelConvention()."""
    roi = line_roi("Fe2Al5 03", np.array([[1.0, 2.0], [4.0, 6.0]]), ORANGE, {})
    found = header(roi)
    assert found["magic"] == b"Iout" and found["version"] >= 222  # from which the flag for fractions counts
    assert (found["type"], found["subtype"]) == (3, 0)
    assert found["options"] & SUB_PIXEL
    assert found["ends"] == (1, 2, 4, 6)
    assert found["stroke"] == bytes((255, 230, 159, 0))
    assert found["position"] == 0  # on every slice


def test_corners_of_areas_count_from_the_corner_of_the_first_pixel():
    """Pixel (0, 0) is the square from 0,0 to 1,1 in ImageJ, and from -0.5,-0.5 to 0.5,0.5 here."""
    pixel = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    roi = area_roi("a outline 1", pixel, ORANGE, {})
    assert header(roi)["type"] == 0 and header(roi)["options"] & SUB_PIXEL
    assert roi.subpixel_coordinates.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    n = 4
    floats = struct.unpack_from(f">{2 * n}f", roi.tobytes(), 64 + 4 * n)  # all x, then all y, behind the integers
    assert floats == (0, 1, 1, 0, 0, 0, 1, 1)


def test_whole_number_coordinates_are_corners_too():
    """What ImageJ itself writes of a traced area: integers from the upper left of its bounds."""
    roi = ImagejRoi.frompoints(np.array([[10, 20], [13, 20], [13, 22], [10, 22]]))
    roi.roitype = ROI_TYPE.TRACED
    (polygon,) = polygons_of(ImagejRoi.frombytes(roi.tobytes()))
    assert polygon.tolist() == [[9.5, 19.5], [12.5, 19.5], [12.5, 21.5], [9.5, 21.5]]


def test_a_rectangle_is_an_area():
    roi = ImagejRoi(roitype=ROI_TYPE.RECT, left=2, top=3, right=5, bottom=9)
    assert is_area(roi)
    assert polygons_of(roi)[0].tolist() == [[1.5, 2.5], [4.5, 2.5], [4.5, 8.5], [1.5, 8.5]]


def composite(*squares):
    """A path of ImageJ's ShapeRoi: 0 moves, 1 draws, 4 closes."""
    path = []
    for left, top, side in squares:
        path += [0, left, top, 1, left + side, top, 1, left + side, top + side, 1, left, top + side, 4]
    multi = np.array(path, dtype=np.float32)
    return ImagejRoi(roitype=ROI_TYPE.RECT, shape_roi_size=len(multi), multi_coordinates=multi, name="a outline 1")


def test_holes_of_composites():
    roi = ImagejRoi.frombytes(composite((0, 0, 9), (3, 3, 3)).tobytes())
    assert is_area(roi)
    outer, hole = polygons_of(roi)
    assert outer.min() == -0.5 and outer.max() == 8.5 and hole.min() == 2.5 and hole.max() == 5.5


def test_a_zip_keeps_order_names_colours_and_properties(tmp_path):
    rois = [
        line_roi(name, np.zeros((2, 2)), ORANGE, {"semforge_number": i}) for i, name in enumerate(("β 02", "a/c 01"))
    ]
    write_zip(tmp_path / "a.zip", rois)
    back = read_zip(tmp_path / "a.zip")
    assert [r.name for r in back] == ["β 02", "a/c 01"]
    assert [r.properties["semforge_number"] for r in back] == [0, 1]
    assert {r.hexcolor(r.stroke_color) for r in back} == {"#e69f00"}
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["β 02.roi", "a_c 01.roi"]


def test_equal_names_are_kept_apart(tmp_path):
    write_zip(tmp_path / "a.zip", [line_roi(n, np.eye(2), ORANGE, {}) for n in ("a/b", "a_b", "a_b-1")])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["a_b.roi", "a_b-1.roi", "a_b-1-1.roi"]
    assert [r.name for r in read_zip(tmp_path / "a.zip")] == ["a/b", "a_b", "a_b-1"]


def test_the_same_selections_make_the_same_file(tmp_path):
    for name in "ab":
        write_zip(tmp_path / f"{name}.zip", [line_roi("a 01", np.ones((2, 2)), ORANGE, {})])
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_single_roi_file_and_one_without_a_name(tmp_path):
    (tmp_path / "Fe2Al5 07.roi").write_bytes(line_roi("", np.ones((2, 2)), ORANGE, {}).tobytes())
    assert [r.name for r in read_zip(tmp_path / "Fe2Al5 07.roi")] == ["Fe2Al5 07"]


def cut(path):
    write_zip(path, [line_roi("a 01", np.ones((2, 2)), ORANGE, {})] * 1)
    path.write_bytes(path.read_bytes()[:60])


def broken_member(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a 01.roi", b"Iout" + bytes(30))


def curved(path):
    roi = composite((0, 0, 9))
    roi.multi_coordinates = np.array([0, 1, 1, 2, 2, 2, 3, 3, 4], dtype=np.float32)
    roi.shape_roi_size = 9
    write_zip(path, [roi])


def no_member(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", b"nothing")


@pytest.mark.parametrize(("make", "message"), [
    (lambda p: p.write_text("no zip"), "expected a ZIP that ImageJ's ROI Manager wrote"),
    (lambda p: p.write_bytes(b""), "expected a ZIP"),
    (cut, "expected a ZIP"),
    (no_member, "has no .roi file"),
    (broken_member, "'a 01' cannot be read as a selection"),
    (curved, "'a outline 1' cannot be read"),
    (lambda p: p.mkdir(), "is a folder"),
    (lambda p: None, "no such file"),
])  # fmt: skip
def test_broken_files_are_named(tmp_path, make, message):
    make(tmp_path / "a.zip")
    with pytest.raises(InputError, match=message) as error:
        read_zip(tmp_path / "a.zip")
    assert "a.zip" in str(error.value)


@pytest.mark.parametrize(("roi", "kind"), [
    (ImagejRoi(roitype=ROI_TYPE.POINT), "a point"),
    (ImagejRoi(roitype=ROI_TYPE.FREELINE), "a freehand line"),
    (ImagejRoi(roitype=ROI_TYPE.POLYLINE), "a segmented line"),
    (ImagejRoi(roitype=ROI_TYPE.ANGLE), "an angle"),
    (ImagejRoi(roitype=ROI_TYPE.OVAL), "an oval"),
    (ImagejRoi(roitype=ROI_TYPE.RECT, subtype=ROI_SUBTYPE.TEXT), "a text"),
])  # fmt: skip
def test_what_is_neither_line_nor_area(roi, kind):
    assert not is_line(roi) and not is_area(roi)
    assert kind_of(roi) == kind


def test_a_freehand_area_with_fractions():
    roi = ImagejRoi.frompoints(np.array([[0.25, 0.5], [4.75, 0.5], [3.0, 4.125]]))
    assert roi.roitype == ROI_TYPE.FREEHAND and roi.options & ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    assert polygons_of(roi)[0].tolist() == [[-0.25, 0.0], [4.25, 0.0], [2.5, 3.625]]
