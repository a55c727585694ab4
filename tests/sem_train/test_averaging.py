"""A running mean of the weights."""

import pytest
import torch
from fake_data import config, write_shard
from interruptions import interrupt_at, with_callback

from sem_train import training
from sem_train.averaging import decay_after
from sem_train.callbacks import StepCallback
from sem_train.data import WholePictures, gather
from sem_train.inference import load_run
from sem_train.losses import build_loss
from sem_train.run_folder import RunFolder, read_history
from sem_train.training import fit


@pytest.fixture
def samples(tmp_path):
    return {"synthetic": [{"path": write_shard(tmp_path / "s.h5"), "held_out": 1}]}


class Watch(StepCallback):
    """Notes the weights of each step."""

    def __init__(self):
        self.seen = []

    def on_step(self, trainer, pl_module, loss):
        self.seen.append({key: value.clone() for key, value in pl_module.network.state_dict().items()})


@pytest.fixture
def watched(monkeypatch):
    watch = Watch()
    with_callback(monkeypatch, watch)
    return watch.seen


def network(path):
    stored = torch.load(path, weights_only=True)["state_dict"]
    return {key.removeprefix("network."): value for key, value in stored.items()}


def mean_of(steps, decay):
    """By hand: the first weights as they are, then each time the share that `decay_after` gives."""
    mean = {key: value.double() for key, value in steps[0].items()}
    for updates, step in enumerate(steps[1:], start=1):
        rate = decay_after(updates, decay)
        mean = {key: rate * value + (1 - rate) * step[key] for key, value in mean.items()}
    return mean


def assert_equal(found, expected):
    for key, value in expected.items():
        if found[key].is_floating_point():
            torch.testing.assert_close(found[key].double(), value, rtol=1e-5, atol=1e-6)


def test_decay_rises_to_what_is_asked_for():
    assert [decay_after(n, 0.5) for n in (1, 2, 7, 8, 9)] == pytest.approx([2 / 11, 3 / 12, 8 / 17, 0.5, 0.5])
    assert decay_after(889, 0.99) < 0.99 == decay_after(890, 0.99)
    assert decay_after(8989, 0.999) < 0.999 == decay_after(8990, 0.999)


@pytest.mark.parametrize("steps", [6, 7])
def test_last_and_best_weights_are_the_mean_over_the_steps(tmp_path, samples, watched, steps):
    # a high rate, so that the mean is far from the last weights
    fit(config(tmp_path / "run", samples, steps=steps, val_every=3, ema_decay=0.3, learning_rate=0.05))
    folder, scores = RunFolder(tmp_path / "run"), read_history(tmp_path / "run")
    assert len(watched) == steps
    expected = mean_of(watched, 0.3)
    assert_equal(network(folder.last), expected)
    key = "encoder.layer1.0.conv1.weight"
    assert (watched[-1][key] - expected[key]).abs().max() > 1e-3
    best = int(scores["step"][max(range(len(scores["step"])), key=lambda i: scores["mean_dice"][i])])
    assert_equal(network(folder.best), mean_of(watched[:best], 0.3))


def test_statistics_of_batch_normalisation_are_averaged_too(tmp_path, samples, watched):
    fit(config(tmp_path / "run", samples, ema_decay=0.9))
    found, key = network(tmp_path / "run" / "last.ckpt"), "encoder.bn1.running_mean"
    torch.testing.assert_close(found[key].double(), mean_of(watched, 0.9)[key], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found[key], watched[-1][key])
    assert found["encoder.bn1.num_batches_tracked"] == 4


def test_what_is_validated_is_the_mean(tmp_path, samples):
    run = config(tmp_path / "run", samples, steps=6, val_every=6, learning_rate=5e-3, ema_decay=0.9)
    fit(run)
    mean, gathered = load_run(run.out).network.cpu(), gather(run.data, run.classes)
    image, labels = WholePictures(gathered.held_out, run.data)[0]
    with torch.no_grad():
        loss = build_loss(run.loss, gathered.class_share, run.classes)(mean(image[None]), labels[None])
    assert read_history(run.out)["val_loss"] == [pytest.approx(float(loss), rel=1e-4)]


@pytest.mark.parametrize("stop", [1, 3])
def test_an_interrupted_run_has_the_same_mean(tmp_path, samples, monkeypatch, stop):
    settings = {"steps": 5, "val_every": 2, "ema_decay": 0.5}
    fit(config(tmp_path / "whole", samples, **settings))
    with monkeypatch.context() as patch:
        interrupt_at(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            fit(config(tmp_path / "broken", samples, **settings))
    unfinished = torch.load(tmp_path / "broken" / "last.ckpt", weights_only=True)
    means, weights = unfinished["state_dict"], unfinished["current_model_state"]
    key = "network.encoder.conv1.weight"
    assert not torch.equal(means[key], weights[key])
    torch.testing.assert_close(load_run(tmp_path / "broken").network.encoder.conv1.weight.cpu(), means[key])
    fit(config(tmp_path / "broken", samples, **settings))
    for file in ("last.ckpt", "best.ckpt"):
        broken = network(tmp_path / "broken" / file)
        for name, value in network(tmp_path / "whole" / file).items():
            assert torch.equal(broken[name], value), name


def test_a_run_killed_after_its_last_step_ends_with_the_mean(tmp_path, samples, monkeypatch):
    settings = {"steps": 4, "ema_decay": 0.5}
    fit(config(tmp_path / "whole", samples, **settings))

    def killed(*_):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_report", killed)
        with pytest.raises(OSError):
            fit(config(tmp_path / "killed", samples, **settings))
    assert not RunFolder(tmp_path / "killed").report.exists()
    fit(config(tmp_path / "killed", samples, **settings))
    found = network(tmp_path / "killed" / "last.ckpt")
    for name, value in network(tmp_path / "whole" / "last.ckpt").items():
        assert torch.equal(found[name], value), name
