"""Segmentation error from observations whose error is known, and what becomes of it in a budget."""

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from coatings import CLASSES, PORE, put_disc, section

from blender_gen.sample import Header, Sample, write_samples
from sem_train import evaluation
from sem_train.config import DataSettings, Plan, SyntheticData
from sem_train.evaluation import evaluate
from sem_train.inference import Prediction, TrainedOn
from sem_train.measure import measure_section, prepare
from sem_train.measure.tables.rows import rows_of
from sem_train.measure.uncertainty import (
    FieldRows,
    Measured,
    Observation,
    Sources,
    combine_fields,
    fit_segmentation_error,
    read_segmentation_error,
    uncertainties,
    write_segmentation_error,
)
from semforge.errors import InputError

THICKNESS = ("layer", "Fe2Al5", "thickness_mean")
PORES = ("inclusion", "pore", "area_percent")
DENSITY = ("inclusion", "pore", "number_density")


def observations(errors, pixel=0.5, true=lambda i: 40.0 + i):
    """Thickness with these errors in pixels, one an image."""
    return [
        Observation(
            str(i), pixel, {THICKNESS: Measured(true(i) + e * pixel, "um")}, {THICKNESS: Measured(true(i), "um")}
        )
        for i, e in enumerate(errors)
    ]


def thickness_error(errors, **more):
    return fit_segmentation_error(observations(errors, **more), "0" * 64, {"path": "x"}).of(THICKNESS)


def test_bias_and_spread_of_single_images():
    errors = np.random.default_rng(0).normal(0.4, 0.2, 15)
    found = thickness_error(errors)
    assert (found.scale, found.images, found.slope) == ("px", 15, 0.0)
    assert (found.bias, found.sd) == (pytest.approx(errors.mean()), pytest.approx(errors.std(ddof=1)))
    bias, spread = found.at(50.0, 0.25)  # another magnification: the error is one of pixels
    assert bias == pytest.approx(errors.mean() * 0.25)
    assert spread.standard == pytest.approx(errors.std(ddof=1) * math.sqrt(1 + 1 / 15) * 0.25)
    assert spread.dof == 14


def test_a_bias_that_grows_with_thickness():
    rng = np.random.default_rng(1)
    true = lambda i: 20.0 + 2 * i
    found = thickness_error([0.02 * true(i) / 0.5 + rng.normal(0, 0.05) for i in range(40)], true=true)
    assert found.slope == pytest.approx(0.02 / 1.02, rel=0.1)  # over what is measured
    assert found.at(60.0, 0.5)[0] == pytest.approx(60 - 60 / 1.02, rel=0.05)
    far, end = found.at(500.0, 0.5), found.at(20.0 + 2 * 39, 0.5)
    assert far[0] == pytest.approx(end[0], rel=0.05)  # nobody knows beyond
    assert not found.covers(500.0, 0.5) and found.covers(60.0, 0.5)


def test_one_odd_image_makes_no_slope():
    found = thickness_error([0.0] * 39 + [10.0], true=lambda i: 40.0)
    assert found.slope == 0.0


def test_scatter_makes_no_slope():
    slopes = [thickness_error(np.random.default_rng(seed).normal(size=40)).slope for seed in range(40)]
    assert np.count_nonzero(slopes) <= 3


def test_errors_of_shares_and_densities():
    made = [
        Observation(str(i), 0.5, {PORES: Measured(5.5 + 0.1 * i, "%"), DENSITY: Measured(0.9 * (i + 1), "1/um^2")},
                    {PORES: Measured(5.0 + 0.1 * i, "%"), DENSITY: Measured(1.0 * (i + 1), "1/um^2")})
        for i in range(12)
    ]  # fmt: skip
    error = fit_segmentation_error(made, "", {})
    assert error.of(PORES).at(6.0, 0.1)[0] == pytest.approx(0.5)
    # a tenth is missed whatever their number: 0.9 measured are 1 in truth
    assert error.of(DENSITY).at(0.9, 0.1)[0] == pytest.approx(-0.1)


def test_missed_and_invented_are_counted():
    made = observations(np.zeros(14))
    made[0] = Observation("0", 0.5, {}, made[0].true)
    made[1] = Observation("1", 0.5, made[1].measured, {})
    found = fit_segmentation_error(made, "", {}).of(THICKNESS)
    assert (found.images, found.missed, found.invented) == (12, 1, 1)


def test_few_images_are_refused():
    with pytest.raises(InputError, match="at least 10 images"):
        fit_segmentation_error(observations(np.zeros(9)), "", {})


def test_it_is_of_one_model_only(tmp_path, caplog):
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.ckpt").write_bytes(b"weights")
    assert read_segmentation_error(run) is None
    error = fit_segmentation_error(observations(np.zeros(12)), _sha(run / "last.ckpt"), {"path": "x"})
    path = write_segmentation_error(run, error)
    assert read_segmentation_error(run) == error
    (run / "last.ckpt").write_bytes(b"other weights")
    assert read_segmentation_error(run) is None
    assert "other weights" in caplog.text
    path.write_text("{}")
    with pytest.raises(InputError, match="calibrate it again"):
        read_segmentation_error(run)


def _sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def coating():
    labels = section((220, 300), 50, 150 + 4 * np.sin(np.arange(300) / 9))
    ready = prepare(labels, CLASSES)
    return ready, measure_section(ready, 0.5)


def test_the_budget_shows_both_numbers(coating):
    errors = np.r_[np.full(6, 0.9), np.full(6, 1.1)]  # measured a pixel too thick
    error = fit_segmentation_error(observations(errors), "", {})
    found = uncertainties(*coating, Sources(segmentation=error))
    measured, corrected = found[THICKNESS], found["layer", "Fe2Al5", "thickness_mean_corrected"]
    assert measured.value == coating[1].layers["Fe2Al5"].mean
    assert corrected.value == pytest.approx(measured.value - 0.5)
    assert measured.parts["segmentation"] == pytest.approx(errors.std(ddof=1) * math.sqrt(13 / 12) * 0.5)
    assert "edge" not in measured.parts  # boundaries off their place are what was calibrated
    assert measured.low == pytest.approx(corrected.low) and measured.high == pytest.approx(corrected.high + 0.5)
    assert "as measured" in corrected.note and "measured minus true +0.5 um" in measured.note
    rows = {r.quantity: r for r in rows_of("a", coating[1], found) if r.name == "Fe2Al5"}
    assert rows["thickness_mean_corrected"].value == corrected.value
    assert rows["thickness_mean_corrected"].method == rows["thickness_mean"].method


def test_an_edge_that_is_stated_counts_beside_the_calibrated_error(coating):
    error = fit_segmentation_error(observations(np.arange(12) / 10), "", {})
    assert "edge" in uncertainties(*coating, Sources(segmentation=error, edge_px=0.3))[THICKNESS].parts


def test_another_pixel_size_is_warned_of(coating):
    ready, _ = coating
    sources = Sources(segmentation=fit_segmentation_error(observations(np.arange(12) / 10), "", {}))
    found = lambda pixel: uncertainties(ready, measure_section(ready, pixel), sources)
    note = lambda pixel: found(pixel)[THICKNESS].note
    assert "µm a pixel" not in note(0.55)
    assert "calibrated at 0.5 to 0.5 µm a pixel, this image has 0.7" in note(0.7)
    assert "this image has no scale" in note(None)
    assert "not calibrated for this quantity" in found(0.5)["layer", "Fe2Al5", "coverage"].note


def test_more_fields_do_not_make_the_model_better(coating):
    errors = np.r_[np.full(6, 0.9), np.full(6, 1.1)]
    sources = Sources(segmentation=fit_segmentation_error(observations(errors), "", {}), calibration_percent=0)
    rows = rows_of("a", coating[1])
    combined = {
        c.row.quantity: c for c in combine_fields("S", [FieldRows(str(i), rows, 0.5) for i in range(30)], sources)
    }
    measured, corrected = combined["thickness_mean"].estimate, combined["thickness_mean_corrected"].estimate
    assert measured.parts["sampling"] == pytest.approx(0, abs=1e-9)
    assert measured.parts["segmentation"] == pytest.approx(errors.std(ddof=1) * math.sqrt(13 / 12) * 0.5)
    assert corrected.value == pytest.approx(measured.value - 0.5)
    assert corrected.low < corrected.value < corrected.high
    assert corrected.high - corrected.value == pytest.approx(corrected.value - corrected.low)


@dataclass(frozen=True)
class Thickening:
    """A model that draws the layer two rows too thick."""

    classes = CLASSES
    config = Plan(data=DataSettings(synthetic=(SyntheticData(path=Path("x.h5")),)), classes=CLASSES)
    trained_on: TrainedOn = field(default_factory=TrainedOn)

    def predict(self, image):
        labels = (image // 30).astype(np.uint8)
        labels[38:40] = 1
        return Prediction(labels, np.zeros((len(CLASSES), *labels.shape), np.float32))


def coating_sample(index):
    """Fe2Al5 of 40 + index µm with four pores."""
    thickness = 40.0 + index
    labels = section((200, 128), 40, 40 + 2 * int(thickness))
    for column in range(16, 128, 32):
        put_disc(labels, 80, column, 8, PORE)
    truth = {"family": "coating", "layers": {"Fe2Al5": {"present": True, "mean_um": thickness,
                                                          "area_um2": 64 * thickness}},
             "inclusions": {"pore": {"host": "Fe2Al5", "area_um2": np.count_nonzero(labels == PORE) / 4}},
             "pore_lines": {}, "cracks": {}}  # fmt: skip
    return Sample(index=index, image=(labels * 30)[None], phase=labels, instance=np.zeros(labels.shape, np.uint32),
                  pixel_size_um=0.5, truth=truth, imaging=[{}])  # fmt: skip


def test_calibrated_by_an_evaluation(tmp_path, monkeypatch):
    phases = ("epoxy", "Fe2Al5", "FeAl", "steel", "pore", "precipitate", "crack")
    samples = [coating_sample(i) for i in range(13)]
    write_samples(
        tmp_path / "dataset.h5", samples, Header("family: coating", "0" * 64, 0, phases, {"bpy": "4.5"}, "CPU")
    )
    (tmp_path / "last.ckpt").write_bytes(b"weights")
    model = Thickening(TrainedOn(samples=frozenset([samples[0].digest])))
    monkeypatch.setattr(evaluation, "load_run", lambda run: model)
    error = evaluate(tmp_path, tmp_path, calibrate=True).calibration
    assert error.images == 12  # never with what was trained on
    assert error.of(THICKNESS).bias == pytest.approx(2.0, abs=0.05)
    assert error.pixel_size_um == (0.5, 0.5)
    assert error.model_sha256 == _sha(tmp_path / "last.ckpt")
    assert error.data["recipe hash"] == "0" * 64
    assert evaluate(tmp_path, tmp_path).calibration is None
    with pytest.raises(InputError, match="say nothing of others"):
        evaluate(tmp_path, tmp_path, include_trained=True, calibrate=True)
