"""Curves for TensorBoard."""

import pytest
from fake_data import config, write_shard
from interruptions import fit_until_killed, with_callback
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sem_train.logs import Curves
from sem_train.run_folder import RunFolder, read_history
from sem_train.training import fit


@pytest.fixture
def samples(tmp_path):
    return {"synthetic": [{"path": write_shard(tmp_path / "s.h5"), "held_out": 1}]}


def curves(out):
    """Step and value of all points of each curve."""
    events = EventAccumulator(str(RunFolder(out).tensorboard), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_curves_are_those_of_the_history(tmp_path, samples, monkeypatch):
    monkeypatch.setattr(Curves, "EVERY", 2)
    fit(config(tmp_path / "run", samples, steps=7, val_every=3))
    found, history = curves(tmp_path / "run"), read_history(tmp_path / "run")
    assert [step for step, _ in found["train/loss"]] == [2, 4, 6]
    assert [step for step, _ in found["validation/mean_dice"]] == [3, 6, 7]
    for name in ("val_loss", "mean_dice", "mean_iou", "dice_coat", "iou_pore"):
        expected = list(zip(history["step"], history[name], strict=True))
        assert found[f"validation/{name}"] == [pytest.approx(point, rel=1e-5) for point in expected], name
    assert found["train/learning_rate"][2] == pytest.approx((6, history["learning_rate"][1]), rel=1e-5)
    assert {path.name.split(".")[0] for path in RunFolder(tmp_path / "run").tensorboard.iterdir()} == {"events"}


class FailAt(Callback):
    """Fails before a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise OSError


def test_a_resumed_run_repeats_no_step(tmp_path, samples, monkeypatch):
    monkeypatch.setattr(Curves, "EVERY", 1)
    settings = {"steps": 7, "val_every": 3}
    fit(config(tmp_path / "whole", samples, **settings))
    with monkeypatch.context() as patch:
        with_callback(patch, FailAt(5))  # its last checkpoint is of step 3, its last point of step 5
        with pytest.raises(OSError):
            fit(config(tmp_path / "broken", samples, **settings))
    assert [step for step, _ in curves(tmp_path / "broken")["train/loss"]] == [1, 2, 3, 4, 5]
    fit(config(tmp_path / "broken", samples, **settings))
    assert len(list(RunFolder(tmp_path / "broken").tensorboard.iterdir())) > 1
    assert curves(tmp_path / "broken") == curves(tmp_path / "whole")


def test_a_killed_run_lacks_no_step(tmp_path, samples):
    killed = config(tmp_path / "killed", samples, steps=22, val_every=7)
    fit_until_killed(killed, 17)
    fit(killed)
    found = curves(tmp_path / "killed")
    assert [step for step, _ in found["train/loss"]] == [10, 20]
    assert [step for step, _ in found["validation/mean_dice"]] == [7, 14, 21, 22]


def test_runs_may_go_without_and_go_on_with_them(tmp_path, samples):
    run = config(tmp_path / "run", samples, steps=1, tensorboard=False)
    fit(run)
    assert (tmp_path / "run" / "last.ckpt").exists() and not RunFolder(run.out).tensorboard.exists()
    assert fit(run.model_copy(update={"training": run.training.model_copy(update={"tensorboard": True})})).steps == 1
