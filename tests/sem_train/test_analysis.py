"""Micrographs in, results out: everything of an analysis but the numbers themselves, which other tests hold."""

import csv
import json
import shutil

import numpy as np
import pytest
from fake_data import coating, config, write_shard
from PIL import Image

from sem_train import blocks
from sem_train.analysis.inputs import jobs_of
from sem_train.analysis.options import AnalysisOptions
from sem_train.analysis.outputs import write_folder
from sem_train.analysis.record import Failure, ImageRecord, read_folder_record, read_image_record
from sem_train.analysis.runner import analyse_images
from sem_train.inference import load_run
from sem_train.micrographs import read_label_map, read_micrograph
from sem_train.training import fit
from semforge.errors import InputError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysis")
    fit(config(folder / "run", {"synthetic": [{"path": write_shard(folder / "s.h5")}]}))
    return folder / "run"


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(coating(20 + i, 96)[0]).save(folder / f"field{i}.png")
    return folder


OPTIONS = AnalysisOptions(pixel_size_um=0.25)


def test_every_image_leaves_its_files_and_the_folder_its_tables(run, images, tmp_path):
    out = tmp_path / "out"
    outcomes = analyse_images(jobs_of([images], specimen="plate"), run, out, OPTIONS)
    folder = write_folder(out, outcomes, OPTIONS, None, "sem-train analyse")
    assert folder == read_folder_record(out)
    assert folder.images == ("field0", "field1", "field2") and not folder.failures
    assert [s.name for s in folder.specimens] == ["plate"]
    model = load_run(run)
    for name in folder.images:
        record = read_image_record(out / f"{name}.json")
        image = read_micrograph(images / f"{name}.png").image
        stored = read_label_map(out / f"{name}_labels.tif")
        np.testing.assert_array_equal(stored.labels, model.predict(image).labels)
        assert stored.classes == model.classes
        assert (record.width_px, record.height_px, record.pixel_size_um, record.unit) == (96, 96, 0.25, "um")
        assert record.scale_source == "given" and record.specimen == "plate"
        for picture in (f"{name}.jpg", f"{name}_overlay.png"):
            with Image.open(out / picture) as opened:
                assert opened.size == (96, 96)
        assert (out / f"{name}_rois.zip").exists() and (out / f"{name}_objects.csv").exists()
        assert {row.image for row in record.rows} == {name}
    named = lambda file: [row["image"] for row in csv.DictReader((out / file).read_text().splitlines())]
    assert set(named("quantities.csv")) == set(folder.images)
    assert named("summary.csv") == list(folder.images)
    assert set(named("specimens.csv")) == {"plate"}


def test_an_image_is_not_analysed_twice_unless_something_changed(run, images, tmp_path):
    out = tmp_path / "out"
    again = lambda options=OPTIONS: [o.was_there for o in analyse_images(jobs_of([images]), run, out, options)]
    assert again() == [False, False, False]
    assert again() == [True, True, True]
    (out / "field1_labels.tif").unlink()
    assert again() == [True, False, True]
    Image.fromarray(coating(77, 96)[0]).save(images / "field2.png")
    assert again() == [True, True, False]
    (out / "field0.json").write_text("half of")
    assert again() == [False, True, True]
    assert again(AnalysisOptions(pixel_size_um=0.5)) == [False, False, False]


def test_corrupt_images_are_named_and_the_others_measured(run, images, tmp_path):
    (images / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (images / "cut.tif").write_bytes(b"II*\x00\x08")
    shutil.copy(images / "field0.png", images / "whole.png")
    jobs = (*jobs_of([images]), *jobs_of([tmp_path / "missing.tif"]))
    outcomes = analyse_images(jobs, run, tmp_path / "out", OPTIONS)
    folder = write_folder(tmp_path / "out", outcomes, OPTIONS, None)
    assert folder.images == ("field0", "field1", "field2", "whole")
    assert [f.source for f in folder.failures] == [
        str(images / "bad.png"),
        str(images / "cut.tif"),
        str(tmp_path / "missing.tif"),
    ]
    assert all(f.reason for f in folder.failures)
    assert json.loads((tmp_path / "out" / "analysis.json").read_text())["failures"][2]["reason"].startswith(
        "no such file"
    )


def test_an_error_that_nobody_thought_of_costs_one_image(run, images, tmp_path, monkeypatch):
    from sem_train.analysis import runner

    real = runner.analyse_field
    monkeypatch.setattr(
        runner, "analyse_field", lambda found, about: 1 / 0 if found.job.name == "field1" else real(found, about)
    )
    outcomes = analyse_images(jobs_of([images]), run, tmp_path / "out", OPTIONS)
    assert [type(o.result) for o in outcomes] == [ImageRecord, Failure, ImageRecord]
    assert "ZeroDivisionError" in outcomes[1].result.reason


def test_other_processes_measure_the_same(run, images, tmp_path):
    jobs = jobs_of([images])
    one = analyse_images(jobs, run, tmp_path / "one", OPTIONS)
    two = analyse_images(jobs, run, tmp_path / "two", OPTIONS, workers=2)
    assert [o.result for o in one] == [o.result for o in two]


def test_an_interrupted_analysis_goes_on(run, images, tmp_path):
    def stop(outcome):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse_images(jobs_of([images]), run, tmp_path / "out", OPTIONS, told=stop)
    outcomes = analyse_images(jobs_of([images]), run, tmp_path / "out", OPTIONS)
    assert [o.was_there for o in outcomes] == [True, False, False]


@pytest.mark.parametrize(("margin", "agreement"), [(1024, 1.0), (160, 0.95)])
def test_blocks_are_predicted_as_the_whole(run, monkeypatch, margin, agreement):
    """Exactly so where a block sees all; the few steps of this run leave many pixels undecided otherwise."""
    model = load_run(run)
    image = np.concatenate([coating(i, 256)[0] for i in range(3)], axis=1)
    monkeypatch.setattr(blocks, "BLOCK_PX", 128)
    monkeypatch.setattr(blocks, "MARGIN_PX", margin)
    parts, told = Parts(image), []
    labels = blocks.predict_in_blocks(model, parts, told.append)
    whole = model.predict(image).labels
    assert labels.shape == whole.shape and told[-1] == 1 and len(told) == 12
    assert (labels == whole).mean() >= agreement
    assert max(parts.sizes[1:]) <= (128 + 2 * margin) ** 2  # the first is read for its levels


class Parts:
    """An image that notes what is read of it."""

    def __init__(self, image):
        self.image, self.shape, self.sizes = image, image.shape, []

    def read(self, rows, columns):
        self.sizes.append(self.image[rows, columns].size)
        return self.image[rows, columns]


def test_specimens_are_named_by_a_table(images, tmp_path):
    table = tmp_path / "specimens.csv"
    table.write_text("name,specimen\nfield0.png,a\nfield1,a\nfield2.png,b\n")
    assert [job.specimen for job in jobs_of([images], table)] == ["a", "a", "b"]
    assert [job.specimen for job in jobs_of([images])] == ["field0", "field1", "field2"]
    table.write_text("name,specimen\nfield0.png,a\n")
    with pytest.raises(InputError, match=r"names no specimen for field1\.png"):
        jobs_of([images], table)
    table.write_text("image,group\n1,2\n")
    with pytest.raises(InputError, match="columns name and specimen"):
        jobs_of([images], table)
    with pytest.raises(InputError, match="give one of them"):
        jobs_of([images], table, "one")
    with pytest.raises(InputError, match="same name"):
        jobs_of([images, images / "field0.png"])
    with pytest.raises(InputError, match="no images"):
        jobs_of([])


def test_of_a_very_large_image_every_nth_pixel_is_measured_at_its_true_scale(run, images, tmp_path, monkeypatch):
    from sem_train.analysis import segmentation

    whole = analyse_images(jobs_of([images]), run, tmp_path / "whole", OPTIONS)
    monkeypatch.setattr(segmentation, "LARGE_PX", 64 * 64)
    monkeypatch.setattr(segmentation, "MEASURED_PX", 48 * 48)
    large = analyse_images(jobs_of([images]), run, tmp_path / "large", OPTIONS)
    for one, other in zip(whole, large, strict=True):
        assert (other.result.width_px, other.result.height_px, other.result.pixel_size_um) == (48, 48, 0.5)
        assert any("every 2. row" in warning for warning in other.result.warnings)
        area = [next(r.value for r in o.result.rows if r.quantity == "area") for o in (one, other)]
        assert area[1] == pytest.approx(area[0], rel=0.1)
        every = read_label_map(tmp_path / "whole" / f"{one.job.name}_labels.tif").labels[::2, ::2]
        assert (read_label_map(tmp_path / "large" / f"{one.job.name}_labels.tif").labels == every).mean() > 0.95
