"""`sem-train measure`: label maps in, a long table out, one line for bad input."""

import csv
import subprocess
import sys

import numpy as np
import pytest
import yaml
from coatings import CLASSES, PORE, put_disc, section
from PIL import Image

from sem_train.measure.files import measure_files
from sem_train.measure.tables.rows import refuse_bad_target, rows_of, write_table
from sem_train.micrographs import write_label_map
from semforge.errors import InputError


@pytest.fixture
def labels():
    labels = section((200, 256), 50, 130, 140)
    put_disc(labels, 90, 100, 10, PORE)
    return labels


def values(path):
    with path.open(newline="") as file:
        return {(r["name"], r["quantity"]): r for r in csv.DictReader(file) if r["kind"] != "line"}


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "sem_train", *map(str, arguments)], capture_output=True, text=True)


def test_table_in_long_form(tmp_path, labels):
    write_label_map(tmp_path / "a.png", labels, CLASSES)
    done = command("measure", tmp_path / "a.png", "--pixel-size-um", "0.5", "--out", tmp_path / "t" / "table.csv")
    assert done.returncode == 0, done.stderr
    table = values(tmp_path / "t" / "table.csv")
    assert float(table["Fe2Al5", "thickness_mean"]["value"]) == pytest.approx(40)
    assert table["Fe2Al5", "thickness_mean"]["unit"] == "um"
    assert float(table["FeAl", "thickness_mean"]["value"]) == pytest.approx(5)
    assert table["pore", "count"]["value"] == "1"
    assert table["pore", "area_percent"]["host"] == "Fe2Al5"
    assert table["precipitate", "ecd_mean"]["value"] == ""
    assert "40.00" in done.stdout


def test_section_tilt_and_roughness_cutoff(tmp_path, labels):
    write_label_map(tmp_path / "a.png", labels, CLASSES, 0.5)
    options = "--section-tilt-deg", "60", "--roughness-cutoff", "25"
    done = command("measure", tmp_path / "a.png", *options, "--out", tmp_path / "table.csv")
    assert done.returncode == 0, done.stderr
    table = values(tmp_path / "table.csv")
    assert float(table["Fe2Al5", "thickness_mean"]["value"]) == pytest.approx(20)
    assert "section tilt 60 deg" in table["Fe2Al5", "thickness_mean"]["method"]
    assert float(table["Fe2Al5", "outer_cutoff"]["value"]) == 25
    refused = command("measure", tmp_path / "a.png", "--section-tilt-deg", "80", "--out", tmp_path / "other.csv")
    assert refused.returncode != 0
    assert "section tilt is 80" in refused.stderr


def test_scale_from_the_file_or_pixels(tmp_path, labels):
    write_label_map(tmp_path / "a.png", labels, CLASSES, 0.25)
    write_label_map(tmp_path / "b.png", labels, CLASSES)
    found = measure_files([tmp_path / "a.png", tmp_path / "b.png"])
    assert [f.unit for f in found.values()] == ["um", "px"]
    rows = [row for image, field in found.items() for row in rows_of(image, field)]
    write_table(tmp_path / "t.csv", rows)
    means = [r for r in rows if r.quantity == "thickness_mean" and r.name == "Fe2Al5"]
    assert [(r.value, r.unit) for r in means] == [(pytest.approx(20), "um"), (pytest.approx(80), "px")]


def test_classes_from_a_training_configuration(tmp_path, labels):
    Image.fromarray(labels).save(tmp_path / "a.png")
    (tmp_path / "train.yaml").write_text(
        yaml.safe_dump({"name": "x", "classes": CLASSES.model_dump(mode="json")["classes"]})
    )
    found = measure_files([tmp_path / "a.png"], 1.0, tmp_path / "train.yaml")
    assert found[str(tmp_path / "a.png")].layers["Fe2Al5"].mean == pytest.approx(80)


@pytest.mark.parametrize(("make", "options", "message"), [
    (lambda p, m: Image.fromarray(m).save(p), {}, "give --classes"),
    (lambda p, m: p.write_text("nothing"), {}, "cannot be read as an image"),
    (lambda p, m: Image.fromarray(np.stack([m, m * 0, m], axis=-1)).save(p), {}, "colour image"),
    (lambda p, m: write_label_map(p, m + 100, CLASSES), {}, "has class id 104"),
    (lambda p, m: write_label_map(p, m, CLASSES), {"pixel_size_um": -1.0}, "expected more than zero"),
])  # fmt: skip
def test_what_cannot_be_measured(tmp_path, labels, make, options, message):
    make(tmp_path / "a.png", labels)
    with pytest.raises(InputError, match=message):
        measure_files([tmp_path / "a.png"], **options)


def test_bad_input_is_one_line_and_exit_2(tmp_path, labels):
    write_label_map(tmp_path / "a.png", labels, CLASSES)
    done = command("measure", tmp_path / "a.png", "--pixel-size-um", "-3", "--out", tmp_path / "t.csv")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("out", [".", "table.txt", "a.png/table.csv"])
def test_impossible_output(tmp_path, labels, out):
    write_label_map(tmp_path / "a.png", labels, CLASSES)
    with pytest.raises(InputError, match="expected"):
        refuse_bad_target(tmp_path / out, ".csv")
