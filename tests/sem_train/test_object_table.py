"""A row an object: units in the header, empty where not measured, places of the image as given."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from coatings import CLASSES, CRACK, PORE, put_disc, section
from PIL import Image
from rich.console import Console

from sem_train.fiji.files import FijiOptions
from sem_train.measure import measure_instance_map, measure_label_map
from sem_train.measure.outputs import Circumstances, Outputs, measure_to
from sem_train.measure.tables.objects import columns, object_table, write_objects
from sem_train.micrographs import write_label_map
from semforge.errors import InputError


@pytest.fixture
def labels():
    labels = section((400, 512), 100, 300)
    put_disc(labels, 150, 100, 10, PORE)
    put_disc(labels, 250, 300, 5, PORE)
    put_disc(labels, 200, 0, 12, PORE)
    labels[100:300, 400:404] = CRACK
    return labels


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_pores_and_cracks(tmp_path, labels):
    write_objects(tmp_path / "objects.csv", "a.png", measure_label_map(labels, CLASSES, 0.5))
    rows = read(tmp_path / "objects.csv")
    assert [r["class"] for r in rows] == ["pore"] * 3 + ["crack"]
    assert {r["image"] for r in rows} == {"a.png"}
    first, cut, second, crack = rows
    assert float(first["ecd_um"]) == pytest.approx(10, rel=0.02)
    assert float(first["area_um2"]) == pytest.approx(np.pi * 25, rel=0.02)
    assert (float(first["x_px"]), float(first["y_px"])) == (
        pytest.approx(100.2, abs=0.3),
        pytest.approx(150.3, abs=0.3),
    )
    assert float(first["distance_to_outer_interface_um"]) == pytest.approx(0.5 * 50.8, abs=0.1)
    assert float(first["distance_to_inner_interface_um"]) == pytest.approx(0.5 * 149.2, abs=0.1)
    assert float(first["nearest_neighbour_um"]) == pytest.approx(0.5 * np.hypot(50, 96), rel=0.05)
    assert (cut["cut_by_frame"], cut["ecd_um"], cut["circularity_iso_9276_6"]) == ("1", "", "")
    assert float(cut["area_um2"]) > 0
    assert second["circularity_imagej"] == ""  # 79 pixels
    assert float(second["ecd_um"]) == pytest.approx(5, rel=0.03)
    assert float(crack["length_um"]) == pytest.approx(100, rel=0.03)
    assert float(crack["opening_mean_um"]) == pytest.approx(2, rel=0.03)
    assert crack["through"] == "1"
    assert crack["ecd_um"] == ""


def test_places_are_of_the_image_as_given(labels):
    upright = object_table(measure_label_map(labels, CLASSES, None))
    turned = object_table(measure_label_map(np.rot90(labels).copy(), CLASSES, None))
    for a, b in zip(upright, turned, strict=True):
        assert (b["x_px"], b["y_px"]) == (pytest.approx(a["y_px"]), pytest.approx(511 - a["x_px"]))
        assert {k: v for k, v in a.items() if k not in ("x_px", "y_px")} == pytest.approx(
            {k: v for k, v in b.items() if k not in ("x_px", "y_px")}, nan_ok=True
        )


def test_units_and_particles(tmp_path):
    assert "ecd_px" in columns("px")
    assert "area_um2" in columns("um")
    assert "angle_to_normal_deg" in columns("um")
    instances = np.zeros((100, 100), dtype=np.uint8)
    instances[20:40, 30:60] = 7
    write_objects(tmp_path / "objects.csv", "b", measure_instance_map(instances, None))
    (row,) = read(tmp_path / "objects.csv")
    assert (row["kind"], row["host"], row["object"]) == ("particle", "", "1")
    assert float(row["feret_min_px"]) == 20
    assert float(row["weight_iso_13322_1"]) == pytest.approx(99**2 / (79 * 69), rel=1e-5)
    assert list(row) == columns("px")


def test_instance_maps_on_the_command_line(tmp_path):
    instances = np.zeros((100, 120), dtype=np.uint16)
    instances[20:40, 30:60], instances[50:80, 40:60] = 700, 9
    Image.fromarray(instances).save(tmp_path / "a.png")
    write_label_map(tmp_path / "b.png", section((100, 100), 30, 60), CLASSES)
    known = Circumstances(pixel_size_um=0.5, instances=True)
    outputs = Outputs(table=tmp_path / "t.csv", objects=tmp_path / "objects.csv")
    done = measure_to([tmp_path / "a.png", tmp_path / "b.png"], outputs, FijiOptions(), known, Console())
    assert "leave out --instances" in done.failed[str(tmp_path / "b.png")]
    assert [float(r["feret_max_um"]) for r in read(tmp_path / "objects.csv")] == pytest.approx(
        [0.5 * np.hypot(30, 20), 0.5 * np.hypot(20, 30)], rel=1e-5
    )
    quantities = {r["quantity"]: r for r in read(tmp_path / "t.csv")}
    assert (quantities["count"]["kind"], quantities["count"]["value"]) == ("particle", "2")
    assert quantities["ecd_mean"]["unit"] == "um"
    with pytest.raises(InputError, match="instance maps have no classes"):
        measure_to([tmp_path / "a.png"], outputs, FijiOptions(), replace(known, classes=tmp_path / "c.yaml"), Console())


def test_no_objects(tmp_path):
    write_objects(tmp_path / "objects.csv", "c", measure_label_map(section((100, 100), 30, 60), CLASSES, None))
    assert read(tmp_path / "objects.csv") == []
