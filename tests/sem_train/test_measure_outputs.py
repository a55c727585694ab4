"""`sem-train measure` on many files: summary, JSON, objects, Fiji's selections, bad files, refused options."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from coatings import CLASSES, PORE, RESIN, put_disc, section
from fake_data import CLASSES as TRAINING
from fake_data import write_folder
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sem_train.classes import ClassMap
from sem_train.config import RealData
from sem_train.data.pictures import real_pictures
from sem_train.fiji.files import FijiOptions, plain_name
from sem_train.fiji.rois import read_zip, write_zip
from sem_train.measure import measure_label_map
from sem_train.measure.outputs import Circumstances, Outputs, measure_to
from sem_train.measure.tables.rows import Row
from sem_train.measure.tables.structure import plain
from sem_train.measure.tables.wide import column, wide_rows
from sem_train.micrographs import read_label_map, write_label_map
from semforge.errors import InputError

QUIET = Console(file=io.StringIO())


@pytest.fixture
def labels():
    labels = section((200, 256), 50, 130, 140)
    put_disc(labels, 90, 100, 10, PORE)
    return labels


@pytest.fixture
def maps(tmp_path, labels):
    """Three label maps, Fe2Al5 80, 80 and 78 px thick, at 0.5 µm."""
    paths = [tmp_path / f"{name}_labels.png" for name in "abc"]
    other = labels.copy()
    other[50:52] = RESIN
    for path, pixels in zip(paths, (labels, labels, other), strict=True):
        write_label_map(path, pixels, CLASSES, 0.5)
    return paths


def run(maps, outputs=None, known=None, **fiji):
    return measure_to(maps, outputs or Outputs(), FijiOptions(**fiji), known or Circumstances(), QUIET)


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "sem_train", *map(str, arguments)], capture_output=True, text=True)


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# wide summary


def test_a_row_an_image_with_units_in_the_header(tmp_path, maps):
    run(maps, Outputs(summary=tmp_path / "s.csv"))
    rows = table(tmp_path / "s.csv")
    assert [r["image"] for r in rows] == [str(p) for p in maps]
    assert [float(r["Fe2Al5_thickness_mean_um"]) for r in rows] == pytest.approx([40, 40, 39])
    assert [r["pore_count"] for r in rows] == ["1"] * 3
    area = 100 * np.pi * 10**2 / (80 * 256)
    assert float(rows[0]["pore_area_percent"]) == pytest.approx(area, rel=0.02)
    assert "Fe2Al5_thickness_mean_low_95_um" in rows[0] and "pore_number_density_per_um2" in rows[0]
    low, high = (float(rows[0][f"Fe2Al5_thickness_mean_{end}_95_um"]) for end in ("low", "high"))
    assert low < 40 < high


def test_images_with_and_without_a_scale_have_columns_of_their_own(tmp_path, maps, labels):
    write_label_map(tmp_path / "d.png", labels, CLASSES)
    run([*maps, tmp_path / "d.png"], Outputs(summary=tmp_path / "s.csv"))
    first, *_, last = table(tmp_path / "s.csv")
    assert (first["Fe2Al5_thickness_mean_um"], first["Fe2Al5_thickness_mean_px"]) == ("40", "")
    assert (last["Fe2Al5_thickness_mean_um"], last["Fe2Al5_thickness_mean_px"]) == ("", "80")


@pytest.mark.parametrize(("kind", "quantity", "unit", "name"), [
    ("layer", "thickness_mean", "um", "x_thickness_mean_um"),
    ("inclusion", "area_percent", "%", "x_area_percent"),
    ("inclusion", "number_density", "1/um^2", "x_number_density_per_um2"),
    ("inclusion", "area", "px^2", "x_area_px2"),
    ("line", "present", "", "x_line_present"),
    ("crack", "length_density", "um/um^2", "x_length_density_um_per_um2"),
    ("layer", "coverage", "%", "x_coverage_percent"),
])  # fmt: skip
def test_names_of_columns(kind, quantity, unit, name):
    assert column(Row("a", kind, "x", "", quantity, 1, unit, "")) == name


def test_what_was_not_measured_is_an_empty_cell():
    rows = [Row("a", "layer", "x", "", "thickness_mean", None, "um", ""), Row("b", "layer", "x", "", "n", 3, "", "")]
    header, cells = wide_rows(rows)
    assert header == ["image", "x_thickness_mean_um", "x_n"]
    assert cells == [{"image": "a", "x_thickness_mean_um": ""}, {"image": "b", "x_n": "3"}]


# JSON


def test_json_holds_what_was_measured(tmp_path, maps, labels):
    run(maps[:1], Outputs(json=tmp_path / "a.json"), lines=10)
    found = json.loads((tmp_path / "a.json").read_text())
    (image,) = found["images"]
    assert found["format"] == "semforge measurement" and found["failed"] == []
    assert (image["image"], image["unit"], image["pixel_size_um"]) == (str(maps[0]), "um", 0.5)
    field = measure_label_map(labels, CLASSES, 0.5)
    assert image["layers"]["Fe2Al5"]["mean"] == field.layers["Fe2Al5"].mean
    assert image["inclusions"]["pore"]["area_percent"] == field.inclusions["pore"].area_percent
    row = next(r for r in image["rows"] if (r["name"], r["quantity"]) == ("Fe2Al5", "thickness_mean"))
    assert row["unit"] == "um" and row["value"] == pytest.approx(40) and row["standard_uncertainty"] > 0
    lines = image["measuring_lines"]["Fe2Al5"]
    assert len(lines) == 10 and np.array(lines[0]["ends"])[:, 1] == pytest.approx([49.5, 129.5], abs=0.05)


def test_json_on_standard_output_is_alone_there(maps):
    done = command("measure", maps[0], "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"][0]["unit"] == "um"
    assert "Fe2Al5" in done.stderr  # the tables for people


numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.recursive(numbers, lambda x: st.lists(x) | st.dictionaries(st.text(), x) | st.tuples(x, x), max_leaves=20))
def test_anything_becomes_json_and_numbers_stay_exact(value):
    text = json.dumps(plain(value), allow_nan=False)
    if isinstance(value, float):
        assert json.loads(text) == (value if np.isfinite(value) else None)
    assert json.loads(text) == plain(value)


def test_arrays_and_numpy_numbers_become_json():
    value = {5: np.array([1.5, np.nan]), "b": np.float32(0.5), "c": (np.int64(3), np.bool_(True))}
    assert plain(value) == {"5": [1.5, None], "b": 0.5, "c": [3, True]}


# objects


def test_objects_of_all_images_in_one_table(tmp_path, maps):
    run(maps, Outputs(objects=tmp_path / "o.csv"))
    rows = table(tmp_path / "o.csv")
    assert [(r["image"], r["class"]) for r in rows] == [(str(p), "pore") for p in maps]
    assert float(rows[0]["ecd_um"]) == pytest.approx(10, rel=0.01)
    assert (float(rows[0]["x_px"]), float(rows[0]["y_px"])) == pytest.approx((100.17, 90.31), abs=0.2)


def test_objects_in_two_units_go_into_no_table(tmp_path, maps, labels):
    write_label_map(tmp_path / "d.png", labels, CLASSES)
    outputs = Outputs(table=tmp_path / "t.csv", objects=tmp_path / "o.csv")
    with pytest.raises(InputError, match="give --pixel-size-um"):
        run([*maps, tmp_path / "d.png"], outputs)
    assert not (tmp_path / "t.csv").exists() and not (tmp_path / "o.csv").exists()
    run([*maps, tmp_path / "d.png"], outputs, Circumstances(pixel_size_um=0.5))
    assert len(table(tmp_path / "o.csv")) == 4


# bad files


def test_bad_files_among_many_are_named_at_the_end_and_the_others_measured(tmp_path, maps):
    (tmp_path / "bad.png").write_text("no image")
    done = command("measure", tmp_path / "bad.png", *maps, tmp_path / "gone.png", "--out", tmp_path / "t.csv",
                   "--json", tmp_path / "t.json", "--rois", tmp_path / "rois")  # fmt: skip
    assert done.returncode == 1
    assert {r["image"] for r in table(tmp_path / "t.csv")} == {str(p) for p in maps}
    said = done.stderr.strip().splitlines()
    assert said[-1] == "sem-train: 2 of 5 label maps could not be measured"
    assert "bad.png: cannot be read as an image" in said[-3] and "gone.png: no such file" in said[-2]
    failed = json.loads((tmp_path / "t.json").read_text())["failed"]
    assert [Path(f["image"]).name for f in failed] == ["bad.png", "gone.png"]
    assert sorted(p.name for p in (tmp_path / "rois").iterdir()) == ["a.zip", "b.zip", "c.zip"]


def test_if_nothing_can_be_measured_nothing_is_written(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_text("no image")
    before = set(tmp_path.iterdir())
    outputs = Outputs(tmp_path / "t.csv", tmp_path / "s.csv", tmp_path / "t.json", tmp_path / "o.csv")
    with pytest.raises(InputError, match=r"no label map can be measured; the first: .*a\.png: cannot be read"):
        run([tmp_path / "a.png", tmp_path / "b.png"], outputs, rois=tmp_path / "rois")
    assert set(tmp_path.iterdir()) == before


# refused options


@pytest.mark.parametrize(("many", "options", "message"), [
    (False, {"rois": "a.zip", "from_rois": "b.zip"}, "--rois and --from-rois: give one of them"),
    (False, {"to_labels": "a.tif"}, "--to-labels makes labels of corrected outlines, give --from-rois too"),
    (True, {"rois": "a.zip"}, "is one file for 3 label maps; give a folder"),
    (True, {"from_rois": "a.zip"}, "is one file for 3 label maps"),
    (False, {"rois": "a.txt"}, "expected a .zip file, or a folder"),
    (False, {"from_rois": "gone.zip"}, "gone.zip: no such file"),
    (True, {"from_rois": "empty"}, "has selections of none of the label maps, expected e.g. a.zip"),
    (False, {"from_rois": "z.zip", "to_labels": "a.jpg"}, "expected a .tif or .tiff or .png file"),
    (False, {"from_rois": "z.zip", "to_labels": "a_labels.png"}, "would replace the label map"),
    (False, {"rois": "z.zip/rois"}, "is a file"),
])  # fmt: skip
def test_selections_that_exclude_each_other(tmp_path, maps, many, options, message):
    write_zip(tmp_path / "z.zip", [])
    before = set(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        run(maps if many else maps[:1], **{key: tmp_path / value for key, value in options.items()})
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("outputs", "message"), [
    ({"table": "t.csv", "summary": "t.csv"}, "--out and --summary: both name"),
    ({"summary": "t.txt"}, "expected the name of a .csv file"),
    ({"json": "t.csv"}, "expected the name of a .json file"),
    ({"objects": "t.json"}, "expected the name of a .csv file"),
])  # fmt: skip
def test_tables_that_cannot_be_written(tmp_path, maps, outputs, message):
    with pytest.raises(InputError, match=message):
        run(maps, Outputs(**{key: tmp_path / value for key, value in outputs.items()}))


@pytest.mark.parametrize("fiji", [{"lines": 10}, {"rois": Path("a.zip")}])
def test_instance_maps_have_no_lines(maps, fiji):
    with pytest.raises(InputError, match="--instances: instance maps have no layers"):
        run(maps[:1], known=Circumstances(instances=True), **fiji)


def test_two_maps_of_one_name_have_no_folder_in_common(tmp_path, maps, labels):
    (tmp_path / "other").mkdir()
    write_label_map(tmp_path / "other" / "a.png", labels, CLASSES)
    with pytest.raises(InputError, match="two label maps are called 'a'"):
        run([maps[0], tmp_path / "other" / "a.png"], rois=tmp_path / "rois")
    with pytest.raises(InputError, match="is given twice"):
        run([maps[0], maps[0]])


@pytest.mark.parametrize(("name", "plain_one"), [("a_labels.png", "a"), ("a.tif", "a"), ("_labels.png", "_labels")])
def test_files_are_called_as_their_micrograph(name, plain_one):
    assert plain_name(Path(name)) == plain_one


# Fiji


def test_lines_out_and_back_in_the_table(tmp_path, maps):
    done = command("measure", maps[0], "--lines", 12, "--rois", tmp_path / "a.zip", "--out", tmp_path / "t.csv")
    assert done.returncode == 0, done.stderr
    by_lines = {r["quantity"]: r for r in table(tmp_path / "t.csv") if r["name"] == "Fe2Al5"}
    assert float(by_lines["thickness_by_lines_mean"]["value"]) == pytest.approx(40)
    assert by_lines["thickness_by_lines_n"]["value"] == "12"
    rois = read_zip(tmp_path / "a.zip")
    rois[0].y2 += 24
    write_zip(tmp_path / "edited.zip", rois[:11] + rois[12:])
    done = command("measure", maps[0], "--from-rois", tmp_path / "edited.zip", "--summary", tmp_path / "s.csv")
    assert done.returncode == 0, done.stderr
    said = "10 unchanged, 1 moved, 0 added, 1 deleted (moved: an end by more than 0.5 px)"
    assert f"Fe2Al5: 40.00 ± 0.00 (n 12) by lines, 41.09 ± 3.62 (n 11) µm corrected; {said}" in done.stdout
    (row,) = table(tmp_path / "s.csv")
    assert float(row["Fe2Al5_thickness_by_corrected_lines_mean_um"]) == pytest.approx(40 + 12 / 11)
    assert (row["Fe2Al5_lines_moved"], row["Fe2Al5_lines_deleted"]) == ("1", "1")
    assert float(row["FeAl_thickness_by_corrected_lines_mean_um"]) == pytest.approx(5)


def test_lines_are_in_the_same_section_as_the_normals(tmp_path, maps):
    """Both are shortened by the cosine of the section's tilt; the selections are as they lie in the picture."""
    run(maps[:1], Outputs(table=tmp_path / "t.csv"), Circumstances(section_tilt_deg=30), rois=tmp_path / "a.zip")
    rows = {r["quantity"]: float(r["value"] or 0) for r in table(tmp_path / "t.csv") if r["name"] == "Fe2Al5"}
    true = 40 * np.cos(np.radians(30))
    assert rows["thickness_mean"] == pytest.approx(true) and rows["thickness_by_lines_mean"] == pytest.approx(true)
    line = read_zip(tmp_path / "a.zip")[0]
    assert line.y2 - line.y1 == pytest.approx(80, abs=0.01)


def test_only_some_images_of_a_folder_were_corrected(tmp_path, maps):
    run(maps, rois=tmp_path / "rois")
    (tmp_path / "rois" / "b.zip").unlink()
    done = run(maps, Outputs(table=tmp_path / "t.csv"), from_rois=tmp_path / "rois", to_labels=tmp_path / "labels")
    assert not done.failed
    corrected = {r["image"] for r in table(tmp_path / "t.csv") if r["quantity"] == "lines_moved"}
    assert corrected == {str(maps[0]), str(maps[2])}
    assert sorted(p.name for p in (tmp_path / "labels").iterdir()) == ["a.tif", "c.tif"]
    assert any("b_labels.png: no corrected lines" in str(part) for part in done.to_show)


def test_a_broken_zip_among_many_is_named(tmp_path, maps):
    run(maps, rois=tmp_path / "rois")
    (tmp_path / "rois" / "b.zip").write_text("no zip")
    done = run(maps, from_rois=tmp_path / "rois")
    assert list(done.failed) == [str(maps[1])] and "b.zip: cannot be read" in done.failed[str(maps[1])]


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_corrected_labels_are_label_maps_again(tmp_path, maps, labels, suffix):
    run(maps[:1], rois=tmp_path / "a.zip")
    target = tmp_path / f"new.{suffix}"
    run(maps[:1], from_rois=tmp_path / "a.zip", to_labels=target)
    back = read_label_map(target)
    assert np.array_equal(back.labels, labels) and back.classes == CLASSES
    run([target], Outputs(summary=tmp_path / "s.csv"))
    assert float(table(tmp_path / "s.csv")[0]["Fe2Al5_thickness_mean_um"]) == pytest.approx(40)


def test_no_half_written_table_where_the_disk_refuses(tmp_path, maps):
    (tmp_path / "t.csv").write_text("before")
    with pytest.raises(InputError):
        run([tmp_path / "gone.png"], Outputs(table=tmp_path / "t.csv"))
    assert (tmp_path / "t.csv").read_text() == "before"
    assert not list(tmp_path.glob(".*"))


# as training labels


@pytest.fixture
def corrected(tmp_path):
    """A folder to train on whose label of i0 is a map that came back from Fiji; its ids are no label values."""
    classes = ClassMap.model_validate({"classes": TRAINING})
    root = write_folder(tmp_path / "real", ["s0", "s1"])
    values = read_label_map(root / "labels/i0.png").labels
    ids = (values // 10).astype(np.uint8)
    write_label_map(tmp_path / "i0_labels.png", ids, classes)
    run([tmp_path / "i0_labels.png"], rois=tmp_path / "i0.zip")
    (root / "labels/i0.png").unlink()
    run([tmp_path / "i0_labels.png"], from_rois=tmp_path / "i0.zip", to_labels=root / "labels/i0.tif")
    return root, classes, ids


def test_corrected_labels_are_trained_on_by_the_names_of_their_classes(corrected):
    root, classes, ids = corrected
    first, second = real_pictures(RealData(root=root, labels="labels/{name}.*"), classes)
    assert np.array_equal(first.read()[1], ids)
    assert set(np.unique(second.read()[1])) == {0, 1, 2, 3}  # by grey value, as ever
    other = ClassMap(classes=tuple(reversed(classes.classes)))
    first, _ = real_pictures(RealData(root=root, labels="labels/{name}.*"), other)
    assert np.array_equal(first.read()[1], 3 - ids)


def test_classes_of_other_names_are_read_by_value(corrected):
    root, classes, _ = corrected
    renamed = ClassMap.model_validate({"classes": [c | {"name": c["name"].replace("steel", "iron")} for c in TRAINING]})
    first, _ = real_pictures(RealData(root=root, labels="labels/{name}.*"), renamed)
    with pytest.raises(InputError, match=r"i0\.tif: has label value 1, 2, 3 that no class takes"):
        first.read()
    assert renamed.names != classes.names
