import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml
from fake_data import CLASSES, coating, write_shard
from PIL import Image

from sem_train.__main__ import main
from sem_train.config import ExperimentConfig, ModelSettings, TrainConfig
from sem_train.models import MODELS, build_model
from semforge.errors import InputError
from semforge.settings import load_settings, parse_settings

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = """
name: x
out: runs/x
data: {synthetic: [{path: s.h5}]}
classes: [{name: a, phases: [resin]}, {name: b, role: layer, phases: [coat]}]
"""


def load(text=MINIMAL, *overrides):
    return parse_settings(text, TrainConfig, "x.yaml", overrides)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("train/*.yaml")), ids=lambda p: p.stem)
def test_shipped_training_settings_load(path):
    load_settings(path, TrainConfig)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("experiments/*.yaml")), ids=lambda p: p.stem)
def test_shipped_experiments_load(path):
    load_settings(path, ExperimentConfig)


def test_settings_survive_being_stored():
    config = load(MINIMAL, "model.start_from=runs/first", "training.ema_decay=0.99")
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [("training.stepz=3", r"training\.stepz: unknown key; did you mean 'steps'"),
     ("training.steps=0", "training.steps: input should be greater than 0"),
     ("data.crop_px=100", "data.crop_px: input should be a multiple of 32"),
     ("data.scale=5", "data.scale: input should be less than or equal to 4"),
     ("data.real_fraction=0.5", "'real_fraction' is above 0 but there is no 'real' data"),
     ("data.synthetic=[]", "neither 'synthetic' nor 'real' data"),
     ("loss.class_weights=[1]", "has 1 values, expected 2"),
     ("loss.class_weights=[0, 0]", "x.yaml: 'loss.class_weights' has 2 values, expected 2, one a class, not all 0"),
     ("loss.class_weights=often", r"x.yaml: loss\.class_weights: input should be 'none'"),
     ("model={name: fno, encoder: resnet18}", r"another network is set as a whole, e\.g\. model='\{name: fno\}'"),
     ("training.momentum=0.5", "training.momentum: adamw has no 'momentum', expected it with optimizer sgd"),
     ("training.accumulate=0", "training.accumulate: input should be greater than 0"),
     ("training.ema_decay=1", "training.ema_decay: input should be less than 1"),
     ("training.patience=0", "training.patience: input should be greater than 0"),
     ("training.precision=16", "training.precision: input should be 'auto', 'bf16', 'fp16' or '32'"),
     ("training.warmup_steps=5", "'warmup_steps' is not for schedule one_cycle, which rises by itself"),
     ("training={schedule: poly, steps: 9, warmup_steps: 9}", "'warmup_steps' is 9, expected fewer than the 9 steps"),
     ("training.optimizer=adam", "training.optimizer: input should be 'adamw' or 'sgd'"),
     ("model.name=vnet", "model.name: input should be 'unet'"),
     ("classes.1.role=inclusion", "needs 'host'")],
)  # fmt: skip
def test_wrong_settings_are_refused_in_one_line(override, message):
    with pytest.raises(InputError, match=message) as error:
        load(MINIMAL, override)
    assert "\n" not in str(error.value)


def test_model_that_pools_to_one_pixel_refuses_batches_of_one():
    one = ("training.batch_size=1", "model.name=deeplabv3plus")
    with pytest.raises(InputError, match=r"'training\.batch_size' is 1, expected at least 2: deeplabv3plus"):
        load(MINIMAL, *one)
    load(MINIMAL, one[0])


def test_momentum_is_filled_in_for_sgd_and_survives_being_stored():
    assert load().training.momentum is None
    config = load(MINIMAL, "training.optimizer=sgd")
    assert config.training.momentum == 0.9
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config


def test_models_are_those_that_settings_name():
    assert set(MODELS) == set(get_args(ModelSettings.model_fields["name"].annotation))


@pytest.mark.parametrize("name", MODELS)
def test_model_gives_a_logit_a_class_and_pixel(name):
    model = build_model(ModelSettings(name=name), 5, seed=0)
    assert model(torch.zeros(2, 1, 64, 96)).shape == (2, 5, 64, 96)


def test_seed_fixes_weights_and_leaves_the_global_state_alone():
    state = torch.get_rng_state()
    one, same, other = (build_model(ModelSettings(), 2, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    key = "encoder.conv1.weight"
    assert torch.equal(one[key], same[key]) and not torch.equal(one[key], other[key])


def test_encoder_weights_come_from_a_file_and_colour_is_summed(tmp_path):
    stored = {k: torch.randn(v.shape) for k, v in build_model(ModelSettings(), 2, 0).encoder.state_dict().items()}
    stored["conv1.weight"] = torch.randn(64, 3, 7, 7)
    torch.save({**stored, "fc.weight": torch.zeros(3)}, tmp_path / "w.pth")
    encoder = build_model(ModelSettings(weights=str(tmp_path / "w.pth")), 2, 0).encoder.state_dict()
    torch.testing.assert_close(encoder["conv1.weight"], stored["conv1.weight"].sum(dim=1, keepdim=True))
    torch.testing.assert_close(encoder["layer3.0.conv1.weight"], stored["layer3.0.conv1.weight"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"encoder": "resnet19"}, "'resnet19' is unknown"), ({"weights": "no.pth"}, r"no\.pth: no such file")],
)
def test_model_that_cannot_be_built_is_bad_input(settings, message):
    with pytest.raises(InputError, match=message):
        build_model(ModelSettings(**settings), 2, 0)


def test_weights_of_another_encoder_are_refused(tmp_path):
    torch.save(build_model(ModelSettings(encoder="resnet34"), 2, 0).encoder.state_dict(), tmp_path / "34.pth")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "part.pth")
    with pytest.raises(InputError, match=r"part\.pth: has no '.*' that fits a resnet18"):
        build_model(ModelSettings(weights=str(tmp_path / "part.pth")), 2, 0)
    build_model(ModelSettings(weights=str(tmp_path / "34.pth"), encoder="resnet34"), 2, 0)


def test_imagenet_weights_without_network_say_what_to_fetch(monkeypatch, tmp_path):
    def refused(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refused)
    with pytest.raises(InputError, match=r"get https://huggingface\.co/smp-hub/resnet18\.imagenet/\S+ elsewhere"):
        build_model(ModelSettings(weights="imagenet"), 2, 0)


@pytest.fixture
def sem_train(tmp_path, monkeypatch, capfd):
    """The command line in `tmp_path`: arguments in, exit code and last lines of stdout and stderr out."""

    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["sem-train", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capfd.readouterr()
        return stopped.value.code, captured.out, captured.err

    return call


def test_command_line_trains_predicts_and_fails_by_the_rules(tmp_path, sem_train):
    write_shard(tmp_path / "s.h5")
    settings = {"name": "x", "out": "run", "data": {"synthetic": [{"path": "s.h5"}], "crop_px": 32}, "classes": CLASSES}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(settings))
    Image.fromarray(coating(1)[0]).save(tmp_path / "a.png")
    code, out, _ = sem_train("fit", "x.yaml", "training.steps=1", "training.batch_size=2")
    assert (code, out.split(":")[0]) == (0, "run is finished")
    code, out, _ = sem_train("predict", "run", "a.png", "--out", "out")
    scale = "  scale (none): the file says no pixel size; lengths are in pixels\n"
    assert (code, out) == (0, f"a.png → out/a_labels.png\n{scale}")
    bad_predictions = ("predict no a.png --out o", "predict run x.yaml --out o")
    for wrong in ("fit no.yaml", "fit x.yaml training.steps=2", *bad_predictions):
        code, out, err = sem_train(*wrong.split())
        assert (code, out, len(err.splitlines())) == (2, "", 1), err


def test_help_is_given_without_loading_torch(tmp_path):
    code = "import sys, sem_train.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0
