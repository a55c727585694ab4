"""`sem-train map`: what it writes, and what it says of bad input."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from spectra_data import AXIS, PHASES, expected, labelled_counts, write_image, write_point

from sem_train.commands.map import _numbers
from sem_train.micrographs.label_maps import read_label_map
from sem_train.spectra.evaluating import evaluate, is_points
from sem_train.spectra.points import name_spectrum
from sem_train.spectra.predicting import SomeFailed, is_point, predict_images, predict_points
from sem_train.spectra.references import point_files
from semforge.errors import InputError
from semforge.spectra import EnergyAxis, Spectrum

COUNTS, LABELS = labelled_counts(dose=500)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def bright(name: str) -> np.ndarray:
    return np.random.default_rng(0).poisson(20_000 * expected(name) / expected(name).sum())


def test_point_spectra_are_named_with_reasons(tiny_run, tmp_path):
    files = [write_point(tmp_path / f"{name}.msa", bright(name)) for name in PHASES]
    said = list(predict_points(tiny_run, files, tmp_path / "out"))
    table = rows_of(tmp_path / "out" / "names.csv")
    assert [row["name"] for row in table] == list(PHASES)
    assert all(float(row["probability"]) > 0.5 for row in table)
    assert len(said) == len(files) + 1
    assert "calcite (calcite" in said[1]
    assert "Ca Kα" in table[1]["decided_by"]
    assert (tmp_path / "out" / "map.html").read_text(encoding="utf-8").count("calcite") > 1


def test_the_lines_that_decide_are_those_that_differ(tiny_model):
    named = name_spectrum(tiny_model, Path("hematite.msa"), Spectrum(bright("hematite"), AXIS, beam_kev=15.0))
    strongest = named.deciders[0]
    assert strongest.low_kev < PHASES["hematite"][1] < strongest.high_kev
    assert not strongest.missing
    assert strongest.weight == pytest.approx(1)


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (np.zeros(128), "it is empty"),
        (np.eye(128)[:3].sum(0) * 9000, "it is empty"),
        (np.eye(128)[40] * 4, "it has 4 counts, expected 10 at least"),
    ],
)
def test_a_spectrum_that_says_nothing_has_no_name_and_a_reason(tiny_run, tmp_path, counts, why):
    said = list(predict_points(tiny_run, [write_point(tmp_path / "none.msa", counts)]))
    assert f"unclassified, {why}" in said[0]


def test_a_spectrum_on_a_coarser_axis_is_refused_with_both(tiny_run, tmp_path):
    path = write_point(tmp_path / "coarse.msa", np.ones(64), EnergyAxis(64, 80.0))
    with pytest.raises(InputError, match="64 channels of 80 eV from 0, 128 channels of 40 eV from 0 are asked for"):
        list(predict_points(tiny_run, [path]))


@pytest.mark.parametrize("method", ["network", "nnls"])
def test_a_spectrum_image_becomes_a_map_with_its_companions(tiny_run, tmp_path, method):
    counts = COUNTS.copy()
    counts[0] = 0
    image = write_image(tmp_path / "scan.hspy", counts)
    Image.fromarray(np.full((48, 40), 90, np.uint8)).save(tmp_path / "scan.png")
    list(predict_images(tiny_run, [image], tmp_path / "out", method, micrograph=tmp_path / "scan.png"))
    found = read_label_map(tmp_path / "out" / "scan_labels.tif")
    assert found.classes.names == ("unclassified", *PHASES)
    assert (found.labels[0] == 0).all()
    assert (found.labels[1:] == LABELS[1:] + 1).mean() > 0.95
    with tifffile.TiffFile(tmp_path / "out" / "scan_labels.tif") as file:
        assert file.pages[0].tags["XResolution"].value == (2, 1)  # pixels per µm
    confidence = tifffile.imread(tmp_path / "out" / "scan_confidence.tif")
    assert confidence.shape == LABELS.shape
    assert 0.5 < confidence[1:].mean() <= 1
    with Image.open(tmp_path / "out" / "scan_phases.png") as picture:
        assert picture.width > 300
    shares = {row["phase"]: float(row["share"]) for row in rows_of(tmp_path / "out" / "scan_shares.csv")}
    assert shares["unclassified"] == pytest.approx(1 / 24, abs=1e-6)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    page = (tmp_path / "out" / "map.html").read_text(encoding="utf-8")
    assert "scan.hspy" in page and "Spectrum of quartz" in page and "Ca Kα" in page
    with tifffile.TiffFile(tmp_path / "out" / "scan_shares.tif") as file:
        assert [one.tags[285].value for one in file.pages] == list(PHASES)
        shares = np.stack([one.asarray() for one in file.pages])
    assert shares.shape == (4, *LABELS.shape) and not shares[:, 0].any()
    assert (shares[:, 1:].argmax(0) == LABELS[1:]).mean() > 0.95
    assert shares[:, 1:].sum(0, dtype=int) == pytest.approx(255, abs=3)


def test_squares_are_mapped_at_the_size_of_the_image(tiny_run, tmp_path):
    image = write_image(tmp_path / "scan.h5", COUNTS)
    list(predict_images(tiny_run, [image], tmp_path / "out", binning=4))
    labels = read_label_map(tmp_path / "out" / "scan_labels.tif").labels
    assert labels.shape == LABELS.shape
    assert (labels[:4, :4] == labels[0, 0]).all()


def test_a_bad_file_costs_only_itself(tiny_run, tmp_path):
    coarse = write_point(tmp_path / "coarse.msa", np.ones(64), EnergyAxis(64, 80.0))
    good = write_point(tmp_path / "good.msa", bright("calcite"))
    said = predict_points(tiny_run, [coarse, good], tmp_path / "points")
    assert "good.msa: calcite" in next(said)
    with pytest.raises(SomeFailed, match=r"coarse\.msa: the spectrum has 64 channels"):
        list(said)
    assert [row["file"] for row in rows_of(tmp_path / "points" / "names.csv")] == ["good.msa"]
    assert "coarse.msa: the spectrum has" in (tmp_path / "points" / "map.html").read_text(encoding="utf-8")
    wide = write_image(tmp_path / "wide.h5", COUNTS[..., :64], EnergyAxis(64, 80.0))
    with pytest.raises(SomeFailed, match=r"wide\.h5: the spectrum has 64 channels"):
        list(predict_images(tiny_run, [wide, write_image(tmp_path / "scan.h5", COUNTS)], tmp_path / "out"))
    assert (tmp_path / "out" / "scan_labels.tif").is_file()


def test_images_that_are_called_alike_are_refused(tiny_run, tmp_path):
    with pytest.raises(InputError, match="two images are named 'scan', so one map would replace the other"):
        list(predict_images(tiny_run, [tmp_path / "a" / "scan.h5", tmp_path / "b" / "scan.hspy"], tmp_path / "out"))


def test_spectra_that_are_called_txt_are_read(tmp_path):
    files = [write_point(tmp_path / name / "a.msa", bright(name)) for name in ("quartz", "calcite")]
    for file in files:
        file.rename(file.with_suffix(".txt"))
        file.with_name("notes.txt").write_text("polished on Monday\n")
    assert is_point(files[0].with_suffix(".txt"))
    assert [(p.name, name) for p, name in point_files(tmp_path)] == [("a.txt", "calcite"), ("a.txt", "quartz")]
    assert is_points(tmp_path)


def test_counts_are_given_once_or_often():
    assert _numbers(["20,200", " 2000"]) == (20, 200, 2000)
    for wrong in ("many", "-3", "0", "1e3x"):
        with pytest.raises(InputError, match="is no number of counts, expected e"):
            _numbers([wrong])


def test_kinds_of_files_are_told_apart(tmp_path):
    assert is_point(write_point(tmp_path / "one.msa", bright("quartz")))
    assert not is_point(write_image(tmp_path / "scan.hspy", COUNTS))
    assert not is_point(write_image(tmp_path / "scan.h5", COUNTS))


def test_one_micrograph_is_of_one_image(tiny_run, tmp_path):
    images = [write_image(tmp_path / f"{name}.h5", COUNTS) for name in ("one", "two")]
    with pytest.raises(InputError, match="expected one spectrum image with it, found 2"):
        list(predict_images(tiny_run, images, tmp_path / "out", micrograph=tmp_path / "scan.png"))


def test_methods_are_scored_in_one_table(tiny_run, tmp_path):
    evaluate(tiny_run, tmp_path / "draws", [], ["network", "sam", "nnls"], [100, 10_000])
    found = {(row["method"], row["counts"]): float(row["accuracy"]) for row in rows_of(tmp_path / "draws/scores.csv")}
    assert set(found) == {(m, c) for m in ("network", "sam", "nnls") for c in ("100", "10000")}
    assert all(found[m, "10000"] > 0.9 for m in ("network", "sam", "nnls"))
    assert found["network", "100"] > 0.6
    confusion = rows_of(tmp_path / "draws/confusion.csv")
    assert len(confusion) == 6 * 4
    total = sum(int(row[name]) for row in confusion[:4] for name in (*PHASES, "unclassified"))
    assert total == 2000
    assert "<svg" in (tmp_path / "draws/scores.svg").read_text(encoding="utf-8")
    assert "nnls" in (tmp_path / "draws/scores.html").read_text(encoding="utf-8")


def test_point_spectra_by_class_are_scored(tiny_run, tmp_path):
    for name in PHASES:
        write_point(tmp_path / "points" / name / "a.msa", bright(name))
    rows = evaluate(tiny_run, tmp_path / "out", [tmp_path / "points"], ["network", "bff"])
    assert [row.scores.accuracy for row in rows] == [1.0, 1.0]
    assert rows[0].top3 == 1.0
    assert len(rows_of(tmp_path / "out" / "names.csv")) == 4


def test_spectra_of_a_class_that_is_not_known_are_refused(tiny_run, tmp_path):
    write_point(tmp_path / "points" / "gold" / "a.msa", bright("quartz"))
    with pytest.raises(InputError, match="has spectra of 'gold', the network knows quartz, calcite"):
        evaluate(tiny_run, tmp_path / "out", [tmp_path / "points"], ["network"])


def test_a_method_that_is_not_known_is_refused(tiny_run, tmp_path):
    with pytest.raises(InputError, match="method 'magic' is not known, expected one of network, sam, bff, nnls"):
        evaluate(tiny_run, tmp_path / "out", [], ["magic"])
