"""`sem-train classify predict` with a trained classifier: pictures, spectra, both, samples, and why."""

import csv
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from fake_particles import AXIS, CHANNELS, CLASSES, config, sample, write_folder, write_shard
from PIL import Image
from typer.testing import CliRunner

from blender_gen.sample import Header, write_samples
from sem_train.__main__ import app
from sem_train.classification.training import fit_classifier
from semforge.errors import InputError
from semforge.spectra import EnergyAxis, Spectrum, write_emsa

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = [c["name"] for c in CLASSES]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of both inputs that names discs, squares and bars."""
    folder = tmp_path_factory.mktemp("runs")
    data = {"synthetic": [{"path": write_shard(folder / "train.h5", 12), "held_out": 3}]}
    fit_classifier(config(folder / "run", data, {"name": "late_fusion"}, steps=60, val_every=60))
    return folder / "run"


def predict(run, *arguments):
    result = CliRunner().invoke(app, ["classify", "predict", str(run), *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_samples_are_named_with_what_decided(run, tmp_path):
    shard = write_shard(tmp_path / "test.h5", 2, first=50)
    out = tmp_path / "out"
    result = predict(run, shard, "--out", out, "--sample", "filter", "--explain", 2)
    assert result.exit_code == 0 and "test_000050: 6 of 6 particles named" in result.output
    rows = rows_of(out / "particles.csv")
    truth = {(f"test_{s.index:06d}", p["instance"]): p["population"] for s in (sample(50), sample(51))
             for p in s.truth["particles"]}  # fmt: skip
    right = [row["class"] == truth[row["image"], int(row["instance"])] for row in rows]
    assert len(rows) == 12 and np.mean(right) > 0.9
    assert {row["decided_by"] for row in rows} == {"both"}
    shares = rows_of(out / "shares.csv")
    assert {row["sample"] for row in shares} == {"filter"}
    assert sum(float(row["share"]) for row in shares if row["by"] == "number") == pytest.approx(1, abs=1e-5)
    record = json.loads((out / "test_000050_particles.json").read_text())
    explained = [p["decision"] for p in record["particles"] if p["decision"]]
    assert len(explained) == 2 and all((out / d["picture"]).exists() for d in explained)
    assert "particle" in (out / "report.html").read_text()
    again = predict(run, shard, "--out", out, "--sample", "filter", "--explain", 2)
    assert again.output.count("from an earlier call") == 2


def test_samples_with_a_spectrum_image_are_summed_over_particles(run, tmp_path):
    made = sample(75)
    image = np.zeros((48, 48, CHANNELS), np.uint16)
    image[..., 30] = 1
    halves = made.instance[::2, ::2]
    image[halves == 2, 40] = 7
    shard = tmp_path / "image.h5"
    write_samples(shard, [replace(made, edx={"spectrum_image": image})],
                  Header("family: particles\n", "hash", 1, ("tape", "p"), {"semforge": "0"}, "cpu"))  # fmt: skip
    predict(run, shard, "--out", tmp_path / "out")
    counts = {int(row["instance"]): float(row["counts"]) for row in rows_of(tmp_path / "out" / "particles.csv")}
    pixels = np.bincount(halves.ravel())
    assert counts[2] == pytest.approx(8 * pixels[2], rel=0.15)  # pixels at its rim are of whom fills half of them
    assert counts[1] == pytest.approx(pixels[1], rel=0.15)


def test_pictures_alone_spectra_alone_and_both(run, tmp_path):
    made = sample(70)
    (tmp_path / "maps").mkdir()
    Image.fromarray(made.image[0]).save(tmp_path / "field.png")
    Image.fromarray(made.instance.astype(np.uint8)).save(tmp_path / "maps" / "field.png")
    axis = EnergyAxis(**AXIS)
    lines = ["image,instance,file"]
    for number, counts in zip(made.edx["particle_instance"][:3], made.edx["particle_spectra"][:3], strict=True):
        write_emsa(tmp_path / f"p{number}.msa", Spectrum(counts, axis, beam_kev=4.0))
        lines.append(f"field,{number},p{number}.msa")
    (tmp_path / "spectra.csv").write_text("\n".join(lines))
    given = [tmp_path / "field.png", "--instances", tmp_path / "maps"]
    predict(run, *given, "--out", tmp_path / "image")
    assert {row["decided_by"] for row in rows_of(tmp_path / "image" / "particles.csv")} == {"image"}
    predict(run, *given, "--out", tmp_path / "some", "--spectra", tmp_path / "spectra.csv")
    found = {int(row["instance"]): row for row in rows_of(tmp_path / "some" / "particles.csv")}
    assert [found[n]["decided_by"] for n in (1, 2, 3, 4)] == ["both", "both", "both", "image"]
    assert int(found[1]["counts"]) == made.edx["particle_spectra"][0].sum()


def test_a_classifier_of_spectra_names_nothing_without_one(tmp_path):
    data = {"synthetic": [{"path": write_shard(tmp_path / "train.h5", 8), "held_out": 2}]}
    fit_classifier(config(tmp_path / "run", data, {"name": "spectrum"}, steps=30, val_every=30))
    shard = write_shard(tmp_path / "test.h5", 1, first=80)
    with h5py.File(shard, "r+") as file:
        file["edx/particle_spectra"][0, 0] = 0
    assert predict(tmp_path / "run", shard, "--out", tmp_path / "out", "--explain", 1).exit_code == 0
    rows = rows_of(tmp_path / "out" / "particles.csv")
    empty = [row for row in rows if not row["class"]]
    assert len(empty) == 1 and empty[0]["instance"] == "1" and "too few counts" in empty[0]["note"]
    assert {row["decided_by"] for row in rows if row["class"]} == {"spectrum"}


def test_whole_pictures_of_one_particle_each(tmp_path):
    root = write_folder(tmp_path / "pictures")
    data = {"real": [{"root": root, "specimen": "specimen", "held_out_share": 0.3}],
            "crops": {"side_px": 32, "size_input": False}}  # fmt: skip
    fit_classifier(config(tmp_path / "run", data, {"name": "image"}))
    result = predict(tmp_path / "run", root, "--whole", "--sample", "sand", "--out", tmp_path / "out", "--no-report")
    rows = rows_of(tmp_path / "out" / "particles.csv")
    assert result.exit_code == 0 and len(rows) == 12 and set(NAMES) >= {row["class"] for row in rows}
    assert {row["by"] for row in rows_of(tmp_path / "out" / "shares.csv")} == {"number"}
    assert not (tmp_path / "out" / "report.html").exists()


def test_corrected_shares_stand_beside_those_seen(run, tmp_path):
    table = tmp_path / "confusion.csv"
    table.write_text("class,disc,square,bar\ndisc,80,20,0\nsquare,0,100,0\nbar,0,0,100\n")
    shard = write_shard(tmp_path / "test.h5", 1, first=90)
    predict(run, shard, "--out", tmp_path / "out", "--confusion", table)
    shares = {r["name"]: r for r in rows_of(tmp_path / "out" / "shares.csv") if r["by"] == "number"}
    assert float(shares["disc"]["corrected"]) > float(shares["disc"]["share"])
    table.write_text("class,disc,other\ndisc,80,20\nother,0,100\n")
    with pytest.raises(InputError, match="is of disc, other, the classifier names disc, square, bar"):
        predict(run, shard, "--out", tmp_path / "out", "--confusion", table)


def test_failures_have_their_line_and_an_exit_code(run, tmp_path):
    made = sample(60)
    (tmp_path / "maps").mkdir()
    for name in "ab":
        Image.fromarray(made.image[0]).save(tmp_path / f"{name}.png")
        Image.fromarray(made.instance.astype(np.uint8)).save(tmp_path / "maps" / f"{name}.png")
    (tmp_path / "a.png").write_bytes(b"")
    given = [tmp_path / "a.png", tmp_path / "b.png", "--instances", tmp_path / "maps", "--out", tmp_path / "out"]
    result = predict(run, *given)
    assert result.exit_code == 1 and "a.png: cannot be read" in result.output and "1 of 2 images" in result.output


def test_samples_on_an_axis_that_says_less_are_refused_naming_both(run, tmp_path):
    shard = write_shard(tmp_path / "wide.h5", 1)
    with h5py.File(shard, "r+") as file:
        truth = json.loads(file["truth"][0])
        truth["edx"]["axis"] = {"channels": CHANNELS, "width_ev": 80.0, "offset_ev": 0.0}
        file["truth"][0] = json.dumps(truth)
    result = predict(run, shard, "--out", tmp_path / "out")
    said = " ".join(result.output.split())
    assert result.exit_code == 1 and "wide.h5: the spectrum has 96 channels of 80 eV" in said
    assert "96 channels of 50 eV" in said
