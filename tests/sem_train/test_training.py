import json

import pytest
import torch
import yaml
from fake_data import CLASS_OF_PHASE, CLASSES, config, write_folder, write_shard
from interruptions import interrupt_at
from PIL import Image

from blender_gen.sample import SampleFile
from sem_train.config import ModelSettings
from sem_train.inference import load_run
from sem_train.metrics import confusion, dice
from sem_train.run_folder import RunFolder, read_history
from sem_train.training import fit
from semforge.errors import InputError
from semforge.files import write_text

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def samples(tmp_path):
    return {"synthetic": [{"path": write_shard(tmp_path / "s.h5"), "held_out": 1}]}


def weights(out):
    return torch.load(out / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("held_out", [0, 1])
@pytest.mark.parametrize("stop", [2, 3])
def test_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, samples, monkeypatch, stop, held_out):
    samples["synthetic"][0]["held_out"] = held_out
    settings = {"steps": 5, "val_every": 2}
    whole = fit(config(tmp_path / "whole", samples, **settings))
    with monkeypatch.context() as patch:
        interrupt_at(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            fit(config(tmp_path / "broken", samples, **settings))
    assert not RunFolder(tmp_path / "broken").report.exists()
    resumed = fit(config(tmp_path / "broken", samples, **settings))
    assert (whole.resumed_at, resumed.resumed_at) == (0, stop + 1)
    broken = weights(tmp_path / "broken")
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, broken[name]), name
    histories = [read_history(tmp_path / run) for run in ("whole", "broken")]
    for history in histories:
        del history["seconds"]
    assert histories[0] == histories[1]
    assert histories[0]["step"] == [2, 4, 5]


def test_dropout_is_drawn_alike_after_an_interruption(tmp_path, samples, monkeypatch):
    model = ModelSettings(name="deeplabv3plus", encoder="mobilenet_v2", width=16)

    def run(name):
        return config(tmp_path / name, samples, steps=4).model_copy(update={"model": model})

    fit(run("whole"))
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            fit(run("broken"))
    torch.manual_seed(123)
    assert fit(run("broken")).resumed_at == 2
    broken = weights(tmp_path / "broken")
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, broken[name]), name


def test_finished_run_says_so_and_needs_no_data(tmp_path, samples):
    fit(config(tmp_path / "run", samples))
    (tmp_path / "s.h5").unlink()
    assert "was finished before: 4 steps" in fit(config(tmp_path / "run", samples)).summary()


def test_folder_of_another_run_is_refused_and_left_alone(tmp_path, samples):
    fit(config(tmp_path / "run", samples))
    before = weights(tmp_path / "run")
    with pytest.raises(InputError, match=r"other settings \(training.steps was 4, now 6\)"):
        fit(config(tmp_path / "run", samples, steps=6))
    assert all(torch.equal(before[k], v) for k, v in weights(tmp_path / "run").items())


def test_a_run_from_before_a_setting_was_there_is_known_by_its_other_settings(tmp_path, samples):
    run = config(tmp_path / "run", samples)
    fit(run)
    stored = yaml.safe_load(RunFolder(run.out).config.read_text())
    for key in ("accumulate", "warmup_steps", "ema_decay", "patience", "deterministic", "tensorboard"):
        del stored["training"][key]
    del stored["model"]["start_from"]
    RunFolder(run.out).config.write_text(yaml.safe_dump(stored))
    report = RunFolder(run.out).report
    report.write_text(json.dumps({k: v for k, v in json.loads(report.read_text()).items() if k != "stopped"}))
    assert "was finished before: 4 steps" in fit(run).summary()
    assert fit(config(run.out, samples, tensorboard=False)).steps == 4
    with pytest.raises(InputError, match=r"other settings \(training.ema_decay was None, now 0.9\)"):
        fit(config(run.out, samples, ema_decay=0.9))


def test_what_a_killed_process_was_writing_is_removed(tmp_path, samples):
    left = tmp_path / "run" / ".last.0123abcd.tmp.ckpt"
    run = config(tmp_path / "run", samples, steps=1)
    write_text(RunFolder(run.out).config, "")
    left.write_text("half")
    fit(run)
    assert not left.exists()


def test_folder_with_other_files_is_refused(tmp_path, samples):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files but no run"):
        fit(config(tmp_path / "run", samples))


def test_bad_data_leaves_no_run_behind(tmp_path):
    with pytest.raises(InputError, match=r"no\.h5: no such file"):
        fit(config(tmp_path / "run", {"synthetic": [{"path": tmp_path / "no.h5"}]}))
    assert not (tmp_path / "run").exists()


def test_real_and_synthetic_pictures_are_trained_on_together(tmp_path, samples):
    real = {"root": write_folder(tmp_path / "real", ["a", "b"]), "index": "index.csv", "held_out": ["b"]}
    fit(config(tmp_path / "run", {**samples, "real": [real], "real_fraction": 0.5}))
    seen = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["semforge"]["trained_on"]
    assert (len(seen["samples"]), len(seen["images"]), seen["specimens"]) == (3, 1, ["a"])


def test_history_has_losses_and_scores_of_each_validation(tmp_path, samples):
    fit(config(tmp_path / "run", samples))
    history = read_history(tmp_path / "run")
    assert history["step"] == [2, 4]
    scores = [f"{score}_{c['name']}" for score in ("dice", "iou") for c in CLASSES]
    assert set(history) >= {"seconds", "train_loss", "val_loss", *scores}
    assert all(0 <= x <= 1 for score in scores for x in history[score])


def test_two_pictures_can_be_learnt_by_heart(tmp_path):
    data = {"synthetic": [{"path": write_shard(tmp_path / "s.h5", count=3), "held_out": 1}]}
    fit(config(tmp_path / "run", data, steps=60, batch_size=4, val_every=60, learning_rate=5e-3))
    model, file = load_run(tmp_path / "run"), SampleFile(tmp_path / "s.h5")
    predicted = model.predict(file.image(0)).labels
    assert dice(confusion(predicted, CLASS_OF_PHASE[file.phase(0)], 4)).min() > 0.8
    assert model.has_seen_sample(file.stored_digest(0)) and not model.has_seen_sample(file.stored_digest(2))


def test_damaged_image_among_real_ones_stops_before_the_first_step(tmp_path):
    root = write_folder(tmp_path / "real", ["a", "b"])
    Image.new("L", (8, 8)).save(root / "labels" / "i1.png")
    with pytest.raises(InputError, match=r"labels/i1\.png"):
        fit(config(tmp_path / "run", {"real": [{"root": root}]}))
    assert not (tmp_path / "run").exists()
