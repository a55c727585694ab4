import json
import os

import pytest
from fake_data import CLASSES, write_folder, write_shard
from rich.console import Console

from sem_train.config import ExperimentConfig
from sem_train.experiments.runner import Experiment
from sem_train.inference import load_run
from semforge.errors import InputError

SPECIMENS = ["a", "b", "a", "c", "d", "d"]
ARMS = {
    "real_only": 1, "mixed": 0.5, "synthetic_only": 0,
    "pretrained": {"pretrain": 0.5, "real_fraction": 1}, "pretrained_mixed": {"pretrain": 0.5, "real_fraction": 0.5},
    "otsu": {"baseline": "otsu", "real_images": ["all"]},
}  # fmt: skip


def settings(tmp_path, **changes):
    real = {"root": str(tmp_path / "real"), "index": "index.csv"}
    synthetic = {"path": str(tmp_path / "s.h5"), "made_by": "render-farm run x"}
    plan = {
        "data": {"real": [real], "synthetic": [synthetic], "crop_px": 32}, "classes": CLASSES,
        "model": {"decoder_channels": [16, 16, 8, 8, 8]},
        "training": {"steps": 4, "batch_size": 2, "val_every": 2, "precision": "32"},
    }  # fmt: skip
    plan |= changes.pop("plan", {})
    return {"name": "tiny", "out": str(tmp_path / "out"), "arms": ARMS, "reference": "real_only",
            "real_images": [1, "all"], "folds": {"count": 3}, "plan": plan} | changes  # fmt: skip


def experiment(tmp_path, **changes):
    if not (tmp_path / "real").exists():
        write_folder(tmp_path / "real", SPECIMENS)
    return Experiment.of(ExperimentConfig.model_validate(settings(tmp_path, **changes)))


def trained_specimens(found, cell):
    specimen = {p.name: p.specimen for p in found.pictures}
    return {specimen[name] for name in cell.train}


def test_arms_of_a_fold_differ_in_what_they_say_alone(tmp_path):
    found = experiment(tmp_path, seeds=[0, 1])
    by_split = {}
    for cell in found.cells:
        if cell.fold is not None and cell.trainings:
            by_split.setdefault((cell.asked, cell.fold, cell.seed), []).append(cell)
    assert len(by_split) == 2 * 3 * 2
    for cells in by_split.values():
        assert {cell.arm for cell in cells} == set(ARMS) - {"otsu", "synthetic_only"} - (
            {"otsu"} if cells[0].asked == "1" else set()
        )
        assert len({(cell.train, cell.test) for cell in cells}) == 1
        assert {cell.steps for cell in cells} == {4}
        for cell in cells:
            last = cell.trainings[-1]
            assert last.data.real[0].only == cell.train
            assert last.training.seed == cell.seed
            assert (last.augment, last.loss, last.classes) == (found.config.plan.augment, found.config.plan.loss,
                                                               found.config.plan.classes)  # fmt: skip


def test_no_cell_learns_from_specimens_it_is_tested_on(tmp_path):
    found = experiment(tmp_path, seeds=[0, 1], validation={"specimens": 1})
    specimen = {p.name: p.specimen for p in found.pictures}
    for cell in found.cells:
        tested = {specimen[name] for name in cell.test}
        assert tested and not tested & trained_specimens(found, cell)
        for training in cell.trainings:
            for real in training.data.real:
                assert tested <= set(real.excluded)
                assert not set(real.held_out) & (tested | trained_specimens(found, cell))
    for arm in ("real_only", "pretrained_mixed"):
        tests = [cell.test for cell in found.cells if (cell.arm, cell.asked, cell.seed) == (arm, "1", 1)]
        assert sorted(name for test in tests for name in test) == sorted(specimen)  # each image once


def test_fewer_real_images_are_a_part_of_more(tmp_path):
    found = experiment(tmp_path, real_images=[1, 2, "all"])
    trained = {cell.asked: set(cell.train) for cell in found.cells if (cell.arm, cell.fold) == ("real_only", 0)}
    assert trained["1"] < trained["2"] < trained["all"]
    assert [len(trained[n]) for n in ("1", "2")] == [1, 2]


def test_what_sees_no_real_image_is_trained_once_a_seed_and_tested_on_all(tmp_path):
    found = experiment(tmp_path, seeds=[0, 1])
    cells = [cell for cell in found.cells if cell.arm == "synthetic_only"]
    assert [(cell.seed, cell.fold, cell.asked) for cell in cells] == [(0, None, "none"), (1, None, "none")]
    assert all(len(cell.test) == len(SPECIMENS) and cell.train == () for cell in cells)


def test_with_validation_it_is_trained_a_fold(tmp_path):
    found = experiment(tmp_path, validation={"specimens": 1})
    cells = [cell for cell in found.cells if cell.arm == "synthetic_only"]
    assert [cell.fold for cell in cells] == [0, 1, 2]
    assert all(cell.trainings[0].data.real[0].held_out for cell in cells)


def test_a_pretraining_is_shared_by_all_that_begin_with_it(tmp_path):
    found = experiment(tmp_path, seeds=[0, 1])
    pretrainings = [job for job in found.jobs() if job.cell is None]
    assert len(pretrainings) == 2  # one a seed, for two arms, two numbers of images and three folds
    for job in found.jobs():
        if job.cell and job.cell.arm.startswith("pretrained"):
            assert job.needs in {p.name for p in pretrainings}
            first, second = job.cell.trainings
            assert second.model.start_from == first.out
            assert (first.training.steps, second.training.steps) == (2, 2)
            assert second.training.learning_rate == pytest.approx(0.3 * first.training.learning_rate)
            assert not first.data.real
    names = [job.name for job in found.jobs()]
    assert all(names.index(job.needs) < names.index(job.name) for job in found.jobs() if job.needs)


def test_arms_may_change_any_setting(tmp_path):
    arms = {"unet": {}, "fno": {"changes": {"model": {"name": "fno"}}},
            "focal": {"changes": {"loss": {"dice": 0, "cross_entropy": 0, "focal": 1}}},
            "big": {"changes": {"data.crop_px": 64}}}  # fmt: skip
    found = experiment(tmp_path, arms=arms, reference="unet", real_images=["all"], folds={"count": 2, "run": [0]})
    models = {cell.arm: cell.trainings[0] for cell in found.cells}
    assert models["fno"].model.name == "fno" and models["unet"].model.name == "unet"
    assert (models["focal"].loss.focal, models["focal"].loss.dice) == (1, 0)
    assert models["big"].data.crop_px == 64 and models["unet"].data.crop_px == 32


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"reference": "none"}, "reference 'none' is not one of the arms"),
     ({"arms": {"real_only": 2}}, "arm 'real_only': .*less than or equal to 1"),
     ({"arms": {"real_only": {"changes": {"model.depth": 2}}}}, "changes 'model.depth', which is no setting"),
     ({"arms": {"real_only": {"baseline": "otsu", "pretrain": 0.5}}}, "expected no other settings"),
     ({"arms": {"real_only": {"baseline": "magic"}}}, "Input should be 'otsu'"),
     ({"arms": {"real only": 1}, "reference": "real only"}, "expected a name without blanks"),
     ({"real_images": [2, 2]}, "'real_images' names 2 twice"),
     ({"folds": {"count": 3, "run": [3]}}, "'run' names fold 3, expected 0 to 2")],
)  # fmt: skip
def test_experiments_that_make_no_sense_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        ExperimentConfig.model_validate(settings(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"real_images": [5]}, "'real_images' names 5, but fold 0 trains on 4"),
     ({"folds": {"count": 5}}, "5 folds need as many specimens, found 4"),
     ({"validation": {"specimens": 3}}, "'validation.specimens' is 3, but fold 0 trains on")],
)  # fmt: skip
def test_more_than_there_is_cannot_be_asked(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        experiment(tmp_path, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment")
    write_shard(path / "s.h5", count=2)
    arms = {name: ARMS[name] for name in ("real_only", "synthetic_only", "pretrained_mixed", "otsu")}
    arms["pretrained_mixed"] = {**arms["pretrained_mixed"], "real_images": ["all"]}
    found = experiment(path, folds={"count": 2}, arms=arms)
    console = Console(quiet=True)
    found.run(None, console)
    found.report(console)
    return found


def test_every_cell_is_tested_on_images_it_never_saw(finished):
    results = finished.results()
    for arm in finished.config.arms:
        tested = [r.image for r in results if r.arm == arm and r.asked in ("all", "none")]
        assert sorted(tested) == sorted(p.name for p in finished.pictures)
    for cell in finished.cells:
        if cell.trainings:
            seen = load_run(cell.trainings[-1].out)
            assert not any(seen.has_seen_specimen(p.specimen) for p in finished.pictures if p.name in cell.test)


def test_what_is_finished_is_not_done_again(finished, monkeypatch):
    before = {path: os.stat(path).st_mtime_ns for path in finished.config.out.rglob("*.ckpt")}
    assert before and all(job.state == "finished" for job in finished.jobs())
    finished.run(None, Console(quiet=True))
    assert {path: os.stat(path).st_mtime_ns for path in finished.config.out.rglob("*.ckpt")} == before


def test_one_job_by_name_and_none_by_a_wrong_one(finished, tmp_path):
    write_shard(tmp_path / "s.h5", count=2)
    found = experiment(tmp_path, folds={"count": 2})
    with pytest.raises(InputError, match="'magic' is no job of tiny"):
        found.run(["magic"], Console(quiet=True))
    with pytest.raises(InputError, match="no cell of 'real_only' is finished"):
        found.report(Console(quiet=True))
    found.run(["real_only-1-fold0-seed0"], Console(quiet=True))
    states = {job.name: job.state for job in found.jobs()}
    assert [name for name, state in states.items() if state == "finished"] == ["real_only-1-fold0-seed0"]
    mine, theirs = (
        [r.score for r in e.results() if (r.arm, r.asked, r.fold) == ("real_only", "1", 0)] for e in (found, finished)
    )
    assert mine == theirs  # the same alone as among all


def test_data_that_is_missing_is_found_before_the_first_training(tmp_path):
    found = experiment(tmp_path)
    with pytest.raises(InputError, match="make them with: render-farm run x"):
        found.run(None, Console(quiet=True))
    assert not list(found.config.out.rglob("*.ckpt"))


def test_outputs_of_a_finished_experiment(finished):
    out = finished.config.out
    for name in ("experiment.html", "summary.md", "summary.csv", "differences.csv", "images.csv", "curves.png"):
        assert (out / name).stat().st_size > 0, name
    saved = json.loads((out / "results.json").read_text())
    assert json.dumps(saved)


def test_plan_is_json_for_machines(finished):
    jobs = [job.as_dict() for job in finished.jobs()]
    assert json.loads(json.dumps(jobs)) == jobs
    assert {job["kind"] for job in jobs} == {"cell", "pretraining"}
