"""What checkpoints are good for: going on after a kill, and predicting without anything else."""

import shutil

import numpy as np
import pytest
import torch
from fake_data import CLASSES, coating, config, write_shard
from interruptions import fit_until_killed
from PIL import Image

from sem_train.classes import ClassMap
from sem_train.inference import load_run, predict_files
from sem_train.micrographs import read_label_map
from sem_train.run_folder import read_history
from sem_train.training import fit

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def samples(tmp_path):
    return {"synthetic": [{"path": write_shard(tmp_path / "s.h5"), "held_out": 1}]}


@pytest.mark.parametrize(
    ("settings", "batch"),
    [
        ({}, 5),
        ({"workers": 1, "schedule": "cosine", "warmup_steps": 5}, 4),
        ({"accumulate": 2, "ema_decay": 0.5, "patience": 9}, 9),  # in the middle of a step
    ],
)
def test_a_run_killed_between_checkpoints_ends_with_the_weights_of_an_undisturbed_one(
    tmp_path, samples, settings, batch
):
    settings = {"steps": 7, "val_every": 3, **settings}
    fit(config(tmp_path / "whole", samples, **settings))
    killed = config(tmp_path / "killed", samples, **settings)
    fit_until_killed(killed, batch)
    assert fit(killed).resumed_at == 3
    for file in ("last.ckpt", "best.ckpt"):
        whole, found = (torch.load(tmp_path / run / file, weights_only=True) for run in ("whole", "killed"))
        assert whole["global_step"] == found["global_step"]
        for name, tensor in whole["state_dict"].items():
            assert torch.equal(tensor, found["state_dict"][name]), (file, name)
    histories = [read_history(tmp_path / run) for run in ("whole", "killed")]
    for history in histories:
        del history["seconds"]
    assert histories[0] == histories[1]
    assert not list((tmp_path / "killed").glob(".*"))


@pytest.mark.parametrize("file", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_checkpoint_alone_is_enough_to_predict(tmp_path, samples, file, finished):
    data = {**samples, "normalisation": "standard", "scale": 0.5}
    run = config(tmp_path / "run", data, steps=5, ema_decay=0.5)
    if finished:
        fit(run)
    else:
        fit_until_killed(run, 3)
    image = coating(5)[0]
    expected = load_run(run.out / file).predict(image).labels
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(run.out / file, tmp_path / "elsewhere" / "model.ckpt")
    shutil.rmtree(run.out)
    (tmp_path / "s.h5").unlink()
    Image.fromarray(image).save(tmp_path / "a.png")
    (done,) = predict_files(tmp_path / "elsewhere" / "model.ckpt", [tmp_path / "a.png"], tmp_path / "out")
    label_map = read_label_map(done.label_map)
    assert label_map.classes == ClassMap.model_validate({"classes": CLASSES})
    np.testing.assert_array_equal(label_map.labels, expected)
    model = load_run(tmp_path / "elsewhere" / "model.ckpt")
    assert (model.config.data.normalisation, model.config.data.scale) == ("standard", 0.5)
