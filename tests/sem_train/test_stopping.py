"""Runs that end before all of their steps."""

import json

import pytest
from fake_data import config, write_shard
from interruptions import interrupt_at

from sem_train import training
from sem_train.config import ModelSettings
from sem_train.run_folder import RunFolder, read_history
from sem_train.training import fit
from semforge.errors import InputError


@pytest.fixture
def samples(tmp_path):
    return {"synthetic": [{"path": write_shard(tmp_path / "s.h5", count=6), "held_out": 1}]}


def stuck(out, samples, **changes):
    """No weight moves and there is no batch normalisation, so no validation is better than the first."""
    settings = {"steps": 20, "val_every": 2, "patience": 3, "learning_rate": 1e-30, **changes}
    model = ModelSettings(name="swin_unetr", width=12)
    return config(out, samples, schedule="constant", **settings).model_copy(update={"model": model})


def why(run):
    return f"3 validations without a better mean Dice than {read_history(run)['mean_dice'][0]:.3f} at step 2"


@pytest.mark.parametrize("devices", [None, 2])
def test_a_run_that_gets_no_better_stops_and_says_why(tmp_path, samples, devices):
    run = stuck(tmp_path / "run", samples, devices=devices)
    done = fit(run)
    assert read_history(run.out)["step"] == [2, 4, 6, 8]
    assert (done.steps, done.resumed_at, done.stopped) == (8, 0, why(run.out))
    assert done.summary().endswith(f"; stopped early: {why(run.out)}")
    assert " is finished: 8 steps, " in done.summary()
    report = json.loads(RunFolder(run.out).report.read_text())
    assert (report["steps"], report["stopped"]) == (8, why(run.out))
    again = fit(run)
    assert " was finished before: 8 steps, " in again.summary()
    assert (again.steps, again.resumed_at, again.stopped) == (8, 8, why(run.out))


def test_validations_are_counted_over_an_interruption(tmp_path, samples, monkeypatch):
    run = stuck(tmp_path / "run", samples)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            fit(run)
    done = fit(run)
    assert (done.resumed_at, done.steps, done.stopped) == (5, 8, why(run.out))


def test_a_run_killed_as_it_stops_takes_no_more_steps(tmp_path, samples, monkeypatch):
    run = stuck(tmp_path / "run", samples)

    def killed(*_):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_report", killed)
        with pytest.raises(OSError):
            fit(run)
    done = fit(run)
    assert (done.resumed_at, done.steps, done.stopped) == (8, 8, why(run.out))
    assert read_history(run.out)["step"] == [2, 4, 6, 8]


def test_a_run_with_all_its_steps_is_not_called_stopped(tmp_path, samples):
    run = stuck(tmp_path / "run", samples, steps=8)
    done = fit(run)
    assert (done.steps, done.stopped) == (8, None) and "early" not in done.summary()
    assert json.loads(RunFolder(run.out).report.read_text())["stopped"] is None


def test_patience_needs_something_to_score(tmp_path, samples):
    samples["synthetic"][0]["held_out"] = 0
    with pytest.raises(InputError, match="patience is 3, but nothing is held out to score"):
        fit(stuck(tmp_path / "run", samples))
    assert not (tmp_path / "run").exists()
