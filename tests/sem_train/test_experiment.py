import json
import os
import shutil
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from fake_data import CLASSES, write_folder, write_shard
from fake_experiment import result
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from sem_train.__main__ import app
from sem_train.config import ExperimentConfig
from sem_train.experiments import cells as cells_module
from sem_train.experiments.cells import is_finished
from sem_train.experiments.made_of import Origins
from sem_train.experiments.runner import Experiment
from sem_train.inference import TrainedOn, load_run
from sem_train.run_folder import RunFolder
from semforge.errors import InputError
from semforge.settings import load_settings

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


def arm_changes(changes):
    return {"arms": {"real_only": 1, "other": {"changes": changes}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"reference": "none"}, "reference 'none' is not one of the arms"),
     ({"arms": {"real_only": 2}}, "arm 'real_only': .*less than or equal to 1"),
     ({"arms": {"real_only": {"changes": {"model.depth": 2}}}}, "changes 'model.depth', which is no setting"),
     ({"arms": {"real_only": {"baseline": "otsu", "pretrain": 0.5}}}, "expected no other settings"),
     ({"arms": {"real_only": {"baseline": "magic"}}}, "Input should be 'otsu'"),
     ({"arms": {"real only": 1}, "reference": "real only"}, "expected a name without blanks"),
     ({"real_images": [2, 2]}, "'real_images' names 2 twice"),
     ({"folds": {"count": 3, "run": [3]}}, "'run' names fold 3, expected 0 to 2"),
     (arm_changes({"training.patience": 3}), "arm 'other' changes 'training.patience', expected it equal in all arms"),
     (arm_changes({"training.steps": 8}), "arm 'other' changes 'training.steps'"),
     (arm_changes({"training": {"batch_size": 4}}), "arm 'other' changes 'training.batch_size'"),
     (arm_changes({"training.accumulate": 2}), "arm 'other' changes 'training.accumulate'"),
     (arm_changes({"training.seed": 2}), "arm 'other' changes 'training.seed'"),
     (arm_changes({"data.real": [{"root": "elsewhere"}]}), "arm 'other' changes 'data.real'"),
     (arm_changes({"classes": CLASSES[:2]}), "arm 'other' changes 'classes'"),
     ({**arm_changes({"training.val_every": 1}), "validation": {"specimens": 1}}, "changes 'training.val_every'")],
)  # fmt: skip
def test_experiments_that_make_no_sense_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        ExperimentConfig.model_validate(settings(tmp_path, **changes))


def test_stopping_early_would_break_equal_steps(tmp_path):
    described = settings(tmp_path)
    described["plan"]["training"]["patience"] = 3
    with pytest.raises(ValueError, match=r"plan.training.patience is 3, expected none: all arms make equal steps"):
        ExperimentConfig.model_validate(described)


@pytest.mark.parametrize(
    ("share", "part"), [(0.75, "5 steps of its fine-tuning"), (0.25, "5 steps of its pretraining")]
)
def test_a_warm_up_fits_into_every_part_of_a_training(tmp_path, share, part):
    arms = {"real_only": 1, "pretrained": {"pretrain": share, "real_fraction": 0.5}}
    described = settings(tmp_path, arms=arms)
    described["plan"]["training"] |= {"steps": 20, "schedule": "cosine", "warmup_steps": 5}
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(described))
    with pytest.raises(InputError) as caught:
        load_settings(tmp_path / "e.yaml", ExperimentConfig)
    said = str(caught.value)
    assert f"arm 'pretrained': 'training.warmup_steps' is 5, expected fewer than the {part}" in said
    assert "\n" not in said
    described["plan"]["training"]["warmup_steps"] = 4
    assert ExperimentConfig.model_validate(described).pretraining_steps("pretrained") == 20 * share


@pytest.mark.parametrize("index", ["x,i0,a\ny,i0,b\nx,i1,c\n", "x,i0,a\ny,i0,b\ny,i0,b\n", "x,i0,a\nx,i0,b\nx,i1,c\n"])
def test_images_of_one_stem_are_told_apart_and_rows_of_one_image_refused(tmp_path, index):
    for k, folder in enumerate("xy"):
        write_folder(tmp_path / "real" / folder, ["s", "t"], first=100 + 50 * k)
    (tmp_path / "real/index.csv").write_text(f"folder,name,specimen\n{index}")
    described = settings(tmp_path, folds={"count": 2}, arms={"real_only": 1, "mixed": 0.5})
    described["plan"]["data"]["real"][0] |= {kind: f"{{folder}}/{kind}/{{name}}.png" for kind in ("images", "labels")}
    config = ExperimentConfig.model_validate(described)
    if "y,i0,b\nx" not in index:
        with pytest.raises(InputError, match=r"index.csv: .*/i0.png stands in rows \d and \d, of spec.* remove one"):
            Experiment.of(config)
        return
    found = Experiment.of(config)
    assert [p.name for p in found.pictures] == ["x/images/i0", "y/images/i0", "i1"]
    for cell in found.cells:
        assert len({*cell.train, *cell.test}) == len(cell.train) + len(cell.test)


@pytest.mark.parametrize("excluded", [[], ["c"]])
def test_one_image_of_two_specimens_is_refused_before_the_first_cell(tmp_path, excluded):
    root = write_folder(tmp_path / "real", SPECIMENS)
    (root / "images/i3.png").write_bytes((root / "images/i0.png").read_bytes())
    described = settings(tmp_path)
    described["plan"]["data"]["real"][0]["excluded"] = excluded
    with pytest.raises(InputError, match=r"i0.png and .*i3.png are the same image under specimens 'a' and 'c'; give"):
        Experiment.of(ExperimentConfig.model_validate(described))


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--json"], "--json is of --plan"), (["--plan", "--job", "x"], "--job runs a job, --plan runs none"),
     (["--report", "--job", "x"], "--job runs a job, --report runs none"), (["--plan", "--report"], "give one of them"),
     (["--report", "--budget", "1h"], "say sem-train compare OUT/budget.yaml --report")],
)  # fmt: skip
def test_options_that_would_do_nothing_are_refused(tmp_path, words, message):
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(settings(tmp_path)))
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "e.yaml"), *words])
    assert isinstance(result.exception, InputError) and message in str(result.exception)


def test_the_plan_names_every_job_and_its_state(tmp_path):
    found = experiment(tmp_path)
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(settings(tmp_path), sort_keys=False))
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "e.yaml"), "--plan"])
    assert result.exit_code == 0
    shown = [line.split() for line in result.output.splitlines() if line.startswith("new ")]
    assert shown == [["new", job.name] for job in found.jobs()]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"real_images": [5]}, "'real_images' names 5, but fold 0 trains on 4"),
     ({"folds": {"count": 5}}, "5 folds need as many specimens, found 4"),
     ({"validation": {"specimens": 3}}, "'validation.specimens' is 3, but fold 0 trains on")],
)  # fmt: skip
def test_more_than_there_is_cannot_be_asked(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        experiment(tmp_path, **changes)


FINISHED = {
    "folds": {"count": 2},
    "arms": {"real_only": 1, "synthetic_only": 0, "otsu": ARMS["otsu"],
             "pretrained_mixed": {"pretrain": 0.5, "real_fraction": 0.5, "real_images": ["all"]}},
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment")
    write_shard(path / "s.h5", count=2)
    found = experiment(path, **FINISHED)
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


@pytest.fixture
def kept(tmp_path):
    """An experiment all of whose cells look as if they had been run."""
    write_shard(tmp_path / "s.h5", count=2)
    found = experiment(tmp_path, **FINISHED)
    for cell in found.cells:
        for training in cell.trainings:
            folder = RunFolder(training.out)
            folder.claim(training)
            folder.last.touch()
            folder.report.touch()
        Origins(found.config, found.pictures).claim(cell)
        specimen = {p.name: p.specimen for p in found.pictures}
        rows = [result(cell.arm, specimen[name], 0.5, asked=cell.asked, image=name) for name in cell.test]
        cell.results.write_text(json.dumps([asdict(replace(row, real_images=len(cell.train))) for row in rows]))
    return found


def changed(kept, path, value):
    """Its settings with another one, in the same folder."""
    described = settings(kept.config.out.parent, **FINISHED)
    *parents, last = path.split(".")
    inner = described
    for name in parents:
        inner = inner[int(name) if name.isdigit() else name]
    inner[last] = value
    return ExperimentConfig.model_validate(described)


def without_records(kept):
    for cell in kept.cells:
        cell.record.unlink()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [("folds", {"count": 2, "seed": 1}, "folds.seed was 0, now 1"),
     ("plan.data.scale", 0.5, "plan.data.scale was 1.0, now 0.5"),
     ("plan.training.steps", 5, "plan.training.steps was 4, now 5"),
     ("plan.classes", [*CLASSES[:3], {**CLASSES[3], "role": "crack"}], r"plan.classes.classes was .*, now "),
     ("validation", {"specimens": 1}, r"validation was None, now {'specimens': 1, 'select': 'best'}"),
     ("arms", {**FINISHED["arms"], "otsu": {"baseline": "threshold_workflow"}}, "baseline was otsu, now threshold"),
     ("arms", {"real_only": 1, "pretrained_mixed": {"pretrain": 0.25, "real_fraction": 0.5}},
      "pretraining.training.steps was 2, now 1")],
)  # fmt: skip
def test_cells_of_other_settings_are_refused(kept, path, value, message):
    with pytest.raises(InputError, match=message) as caught:
        Experiment.of(changed(kept, path, value))
    said = str(caught.value)
    assert "\n" not in said and "/out/cells/" in said
    assert said.endswith(("change 'out', or remove this folder", "change 'out', or remove these folders"))


def test_a_baseline_is_made_of_settings_of_its_own(kept):
    cells = [cell for cell in kept.cells if cell.arm == "otsu"]
    Origins(changed(kept, "plan.training.steps", 5), kept.pictures).refuse_others(cells)
    with pytest.raises(InputError, match=r"/otsu-all-fold0-seed0 and 1 more cells: .*data.scale was 1.0, now 0.5"):
        Origins(changed(kept, "plan.data.scale", 0.5), kept.pictures).refuse_others(cells)


@pytest.mark.parametrize(
    ("path", "value"),
    [("seeds", [0, 1]), ("real_images", [1, 2, "all"]), ("folds", {"count": 2, "run": [0]}),
     ("arms", {"more": 0.25, **FINISHED["arms"]}), ("validation", {"specimens": 0, "select": "last"}),
     ("plan.training.devices", 2), ("plan.training.workers", 1), ("plan.training.accelerator", "cpu"),
     ("plan.data.synthetic.0.made_by", "render-farm run y"), ("plan.loss", {"dice": 1.0})],
)  # fmt: skip
def test_what_does_not_change_a_cell_finds_it_again(kept, path, value):
    found = Experiment.of(changed(kept, path, value))
    states = {cell.name: is_finished(cell) for cell in found.cells}
    before = [cell.name for cell in kept.cells if cell.name in states]
    assert before and all(states[name] for name in before)


def relabelled(folder):
    path = folder / "real/labels/i2.png"
    Image.fromarray(np.rot90(np.asarray(Image.open(path)))).save(path)


def renamed(folder):
    index = folder / "real/index.csv"
    index.write_text(index.read_text().replace(",b", ",bb"))


@pytest.mark.parametrize(
    ("change", "message"),
    [(relabelled, r"i2 was specimen a, image (\w{12}), labels \w{12}, now specimen a, image \1, labels \w{12}"),
     (renamed, "i1 was specimen b, image .*, now specimen bb, image"),
     (lambda folder: write_shard(folder / "s.h5", count=2, first=7), r"samples.plan was \w{12}, now \w{12}")],
)  # fmt: skip
def test_cells_of_other_data_are_refused(kept, tmp_path, change, message):
    assert len(Experiment.of(kept.config).results()) == len(kept.results())
    change(tmp_path)
    with pytest.raises(InputError, match=message):
        Experiment.of(kept.config)


def test_samples_that_are_gone_tell_nothing(kept, tmp_path):
    (tmp_path / "s.h5").unlink()
    assert Experiment.of(kept.config).results() == kept.results()


def test_cells_of_earlier_versions_are_compared_as_far_as_can_be(kept, tmp_path):
    without_records(kept)
    assert Experiment.of(kept.config).results() == kept.results()
    with pytest.raises(InputError, match=r"plan.data.scale was 1.0, now 0.5"):
        Experiment.of(changed(kept, "plan.data.scale", 0.5))
    with pytest.raises(InputError, match=r"made of other settings or data \(.* was .*, now "):
        Experiment.of(changed(kept, "folds", {"count": 2, "seed": 1}))
    renamed(tmp_path)
    with pytest.raises(InputError, match=r"test.i1 was b, now bb"):
        Experiment.of(kept.config)


def test_results_of_an_experiment_that_was_moved_are_found(kept, tmp_path):
    shutil.move(kept.config.out, tmp_path / "elsewhere")
    found = Experiment.of(kept.config.model_copy(update={"out": tmp_path / "elsewhere"}))
    assert [len(found.results()), all(is_finished(cell) for cell in found.cells)] == [2 * 6 + 6 + 6 + 6, True]


def test_a_cell_that_was_begun_is_refused_too(kept):
    for cell in kept.cells:
        cell.results.unlink()
    with pytest.raises(InputError, match=r"plan.training.steps was 4, now 5"):
        Experiment.of(changed(kept, "plan.training.steps", 5))


@pytest.mark.parametrize(("name", "what"), [("real_only-1-fold0-seed0", "real images"),
                                            ("synthetic_only-none-seed0", "synthetic samples")])  # fmt: skip
def test_a_training_of_images_that_have_changed_is_not_tested(kept, monkeypatch, name, what):
    cell = next(cell for cell in kept.cells if cell.name == name)
    cell.results.unlink()
    other = TrainedOn(samples=frozenset({"x"}) if what == "synthetic samples" else frozenset(),
                      images=frozenset({"x"}) if what == "real images" else frozenset())  # fmt: skip
    monkeypatch.setattr(cells_module, "train", lambda training: 0.0)
    monkeypatch.setattr(cells_module, "load_run", lambda path: SimpleNamespace(trained_on=other))
    with pytest.raises(InputError, match=rf"{name}/run: was trained on {what} that have changed since; remove it"):
        cells_module.run_cell(kept.config, cell, kept.pictures)


def test_an_image_that_is_gone_is_named(kept):
    with pytest.raises(InputError, match=r"i77: a cell was tested on it, but it is no image of the"):
        kept.load(replace(kept.results()[0], image="i77"))


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
