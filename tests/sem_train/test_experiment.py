import csv
import json
import math

import numpy as np
import pytest
from fake_data import CLASSES, write_folder, write_shard
from rich.console import Console

from sem_train.comparison import ImageResult, Thickness, bootstrap_interval, compare
from sem_train.config import ExperimentConfig
from sem_train.experiment import plan_trials, run_experiment
from semforge.errors import InputError

SPECIMENS = ["a", "b", "a", "c"]


def experiment(tmp_path, **changes):
    real = {"root": str(tmp_path / "real"), "index": "index.csv"}
    synthetic = {"path": str(tmp_path / "s.h5"), "made_by": "render-farm run x"}
    plan = {
        "data": {"real": [real], "synthetic": [synthetic], "crop_px": 32}, "classes": CLASSES,
        "model": {"decoder_channels": [16, 16, 8, 8, 8]},
        "training": {"steps": 2, "batch_size": 2, "val_every": 2, "precision": "32"},
    }  # fmt: skip
    settings = {"name": "tiny", "out": str(tmp_path / "out"), "arms": {"real_only": 1, "mixed": 0.5},
                "baseline": "real_only", "folds": {"count": 3, "run": [0, 1]}, "plan": plan}  # fmt: skip
    return ExperimentConfig.model_validate(settings | changes)


def result(arm, specimen, overlap, fold=0, error=0.0, seed=0):
    """An image of 100 pixels of class 1, of which the model finds `overlap`."""
    counts = [[900, 0], [100 - overlap, overlap]]
    thickness = {"coat": Thickness(20.0, None if math.isnan(error) else 20.0 + error)}
    return ImageResult(arm, fold, seed, f"{specimen}{fold}", specimen, counts, thickness, 10.0)


def estimates(results):
    return {(e.arm, e.quantity): e for e in compare(results, ("out", "coat"), "real_only")}


def test_arms_of_a_trial_differ_in_mixture_alone(tmp_path):
    trials = plan_trials(experiment(tmp_path, seeds=[0, 1]), SPECIMENS)
    assert len(trials) == 2 * 2 * 2
    for one, other in zip(trials[::2], trials[1::2], strict=True):
        assert (one.arm, other.arm) == ("real_only", "mixed")
        assert (one.fold, one.seed, one.test) == (other.fold, other.seed, other.test)
        assert one.config.training == other.config.training
        assert [t.config.data.real_share for t in (one, other)] == [1, 0.5]
        same = {"name": "", "out": ""}
        first, second = (t.config.model_copy(update={**same, "data": None}) for t in (one, other))
        assert first == second
    assert len({t.config.out for t in trials}) == len(trials)


def test_no_trial_trains_on_specimens_it_is_tested_on(tmp_path):
    for trial in plan_trials(experiment(tmp_path), SPECIMENS):
        assert trial.test and set(trial.config.data.real[0].excluded) == set(trial.test)


def test_scores_pool_pixels_and_spread_over_trials():
    rows = estimates([result("real_only", "a", 100, fold=0), result("real_only", "b", 50, fold=1)])
    dice = rows["real_only", "dice_coat"]
    assert dice.value == pytest.approx(2 * 150 / (200 + 150))
    assert dice.sd == pytest.approx(np.std([1, 2 / 3], ddof=1))
    assert rows["real_only", "iou_coat"].value == pytest.approx(0.75)
    assert math.isnan(dice.difference)


def test_differences_weigh_specimens_alike_however_many_images_they_have():
    baseline = [result("real_only", "a", 50, fold=f) for f in range(3)] + [result("real_only", "b", 50)]
    mixed = [result("mixed", "a", 60, fold=f) for f in range(3)] + [result("mixed", "b", 90)]
    row = estimates(baseline + mixed)["mixed", "iou_coat"]
    assert row.difference == pytest.approx((0.1 + 0.4) / 2)
    assert (row.low, row.high, row.specimens) == (pytest.approx(0.1), pytest.approx(0.4), 2)


def test_thickness_that_cannot_be_measured_is_counted_apart():
    rows = estimates([result("real_only", "a", 50, error=-3), result("real_only", "b", 50, error=math.nan)])
    assert rows["real_only", "thickness_error_px_coat"].value == pytest.approx(3)
    assert rows["real_only", "unmeasured_coat"].value == 1


def test_bootstrap_interval_covers_a_known_mean():
    rng = np.random.default_rng(0)
    hits = [low <= 2 <= high for low, high in (bootstrap_interval(rng.normal(2, 1, 30)) for _ in range(200))]
    assert 0.86 < np.mean(hits) < 0.99  # the percentile bootstrap of 30 values covers a little less than 95 %
    assert all(math.isnan(x) for x in bootstrap_interval([1.0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"baseline": "none"}, "baseline 'none' is not one of the arms"),
     ({"arms": {"real_only": 2}}, "less than or equal to 1"),
     ({"folds": {"count": 3, "run": [3]}}, "'run' names fold 3, expected 0 to 2")],
)  # fmt: skip
def test_experiments_that_make_no_sense_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        experiment(tmp_path, **changes)


def test_experiment_runs_saves_and_continues(tmp_path):
    write_folder(tmp_path / "real", SPECIMENS)
    config, console = experiment(tmp_path), Console(quiet=True)
    with pytest.raises(InputError, match="make them with: render-farm run x"):
        run_experiment(config, console)
    assert not config.out.exists()
    write_shard(tmp_path / "s.h5", count=2)
    results = run_experiment(config, console)
    tested = {(r.arm, r.image, r.specimen) for r in results}
    assert {arm for arm, *_ in tested} == {"real_only", "mixed"}
    assert {row[1:] for row in tested if row[0] == "mixed"} == {row[1:] for row in tested if row[0] == "real_only"}
    images = list(csv.DictReader((config.out / "images.csv").read_text().splitlines()))
    assert len(images) == len(results) and float(images[0]["iou_coat"]) >= 0
    saved = json.loads((config.out / "results.json").read_text())
    assert saved["config"]["folds"]["count"] == 3 and saved["versions"]["torch"]
    assert "| mixed | iou_coat |" in (config.out / "summary.md").read_text()
    assert (config.out / "runs" / "mixed-fold0-seed0" / "overlays" / f"{results[0].image}.png").exists()
    (config.out / "summary.md").unlink()
    assert run_experiment(config, console) == results
    assert (config.out / "summary.md").exists()
