"""Several batches a step."""

import pytest
import torch
from fake_data import config, write_shard

from sem_train.config import TrainConfig
from sem_train.run_folder import RunFolder, read_history
from sem_train.training import fit


@pytest.fixture
def samples(tmp_path):
    return {"synthetic": [{"path": write_shard(tmp_path / "s.h5", count=6), "held_out": 1}]}


def without_ties(out, samples, **training):
    """Neither network nor loss ties the images of a batch together."""
    settings = config(out, samples, **training).model_dump(mode="json")
    settings["model"] = {"name": "swin_unetr", "width": 12}
    settings["loss"] = {"dice": 0, "cross_entropy": 1, "class_weights": "none"}
    settings["augment"] = {"flip": "horizontal"}  # no pixel is left without a label
    return TrainConfig.model_validate(settings)


def weights(run):
    return torch.load(run / "last.ckpt", weights_only=True)["state_dict"]


def test_two_batches_of_two_are_one_of_four(tmp_path, samples):
    settings = {"steps": 4, "optimizer": "sgd", "learning_rate": 0.05, "schedule": "cosine"}
    one = without_ties(tmp_path / "one", samples, batch_size=4, **settings)
    two = without_ties(tmp_path / "two", samples, batch_size=2, accumulate=2, **settings)
    other = without_ties(tmp_path / "other", samples, batch_size=2, **settings)
    assert [fit(run).steps for run in (one, two, other)] == [4, 4, 4]
    for key, weight in weights(one.out).items():
        torch.testing.assert_close(weights(two.out)[key], weight, rtol=1e-4, atol=1e-6)
    key = "network.out.conv.conv.weight"
    assert not torch.allclose(weights(other.out)[key], weights(one.out)[key], rtol=1e-3)
    of_one, of_two = read_history(one.out), read_history(two.out)
    for column in ("step", "learning_rate", "train_loss", "val_loss"):
        assert of_two[column] == pytest.approx(of_one[column], rel=1e-5), column


def test_two_processes_accumulate_and_average_as_one(tmp_path, samples):
    settings = {"steps": 4, "batch_size": 4, "accumulate": 2, "ema_decay": 0.5, "learning_rate": 1e-4}
    fit(config(tmp_path / "one", samples, schedule="constant", **settings))
    fit(config(tmp_path / "two", samples, schedule="constant", devices=2, **settings))
    of_one, of_two = read_history(tmp_path / "one"), read_history(tmp_path / "two")
    assert of_one["step"] == of_two["step"] == [2, 4]
    assert of_two["train_loss"] == pytest.approx(of_one["train_loss"], rel=1e-4)
    assert of_two["val_loss"] == pytest.approx(of_one["val_loss"], rel=2e-3)
    assert len(list(RunFolder(tmp_path / "two").tensorboard.iterdir())) == 1  # of the first process
