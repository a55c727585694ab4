import math
from urllib.error import URLError

import numpy as np
import pytest
import torch
from fake_data import CLASS_OF_PHASE, coating, config, write_shard
from pydantic import ValidationError
from torch import nn

from sem_train.config import MODEL_OPTIONS, LossSettings, ModelSettings, TrainConfig, TrainingSettings
from sem_train.inference import load_run
from sem_train.losses import LossSum
from sem_train.metrics import confusion, dice
from sem_train.models import MODELS, build_model
from sem_train.models.fno import SpectralConv
from sem_train.optimisation import optimizer_of, schedule_of
from sem_train.training import fit
from semforge.errors import InputError
from semforge.settings import parse_settings

SMALL = {
    "unet": {"decoder_channels": (32, 16, 16, 8, 8)},
    "unetplusplus": {"encoder": "mobilenet_v2", "decoder_channels": (32, 16, 16, 8, 8)},
    "deeplabv3plus": {"encoder": "mobilenet_v2", "width": 64, "dropout": 0},
    "segformer": {"width": 32},
    "swin_unetr": {"width": 12},
    "fno": {"width": 16, "blocks": 4},
}


def small(name, n_classes=4):
    return build_model(ModelSettings(name=name, **SMALL[name]), n_classes, seed=0)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", MODELS)
def test_model_overfits_two_images(name):
    pictures = [coating(index) for index in (1, 2)]
    images = torch.stack([torch.from_numpy(grey / 128 - 1)[None].float() for grey, _ in pictures])
    labels = torch.stack([torch.from_numpy(CLASS_OF_PHASE[phase]) for _, phase in pictures])
    model, loss = small(name).train(), LossSum(LossSettings())
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3 if name == "segformer" else 5e-3)
    best = 0.0
    for _ in range(80):
        optimizer.zero_grad()
        logits = model(images)
        best = dice(confusion(logits.argmax(1).numpy(), labels.numpy(), 4)).min()
        if best > 0.9:  # of the worst class, which is a few small pores
            break
        loss(logits, labels).backward()
        optimizer.step()
    assert best > 0.9


@pytest.mark.parametrize("name", MODELS)
def test_model_takes_any_size_and_all_its_weights_learn(name):
    model = small(name)
    model(torch.randn(2, 1, 45, 70)).sum().backward()
    assert [key for key, weight in model.named_parameters() if weight.grad is None] == []
    model.eval()
    with torch.inference_mode():
        assert model(torch.randn(1, 1, 1, 33)).shape == (1, 4, 1, 33)


@pytest.mark.parametrize("name", MODELS)
def test_padding_repeats_the_border_and_is_cut_off(name):
    model = small(name).eval()
    image = torch.randn(1, 1, 64, 64)
    image[..., 49:, :] = image[..., 48:49, :]
    image[..., 59:] = image[..., 58:59]
    height, width = (50, 60) if name == "fno" else (64, 64)  # what it pads to
    with torch.inference_mode():
        whole, part = model(image[..., :height, :width]), model(image[..., :49, :59])
    torch.testing.assert_close(part, whole[..., :49, :59])


@pytest.mark.parametrize("name", MODELS)
def test_run_of_every_model_is_trained_stored_and_read_again(name, tmp_path):
    data = {"synthetic": [{"path": write_shard(tmp_path / "s.h5"), "held_out": 1}]}
    settings = config(tmp_path / "run", data, steps=2, optimizer="sgd", schedule="poly")
    fit(settings.model_copy(update={"model": ModelSettings(name=name, **SMALL[name])}))
    prediction = load_run(tmp_path / "run").predict(coating(9, size=50)[0][:, :41])
    assert prediction.labels.shape == (50, 41)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=0), 1, atol=1e-5)


def _rates(network, **settings):
    """Learning rate and momentum of each step of a training."""
    settings = TrainingSettings(**settings)
    optimizer = optimizer_of(network, settings)
    schedule, found = schedule_of(optimizer, settings), []
    for _ in range(settings.steps):
        found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0].get("momentum")))
        optimizer.step(), schedule.step()
    return found


def test_learning_rate_of_sgd_falls_by_a_power_and_momentum_is_as_told():
    network = nn.Linear(1, 1)
    found = _rates(network, optimizer="sgd", momentum=0.8, learning_rate=0.1, steps=4, schedule="poly")
    assert found == [(pytest.approx(0.1 * (1 - k / 4) ** 0.9), 0.8) for k in range(4)]
    one_cycle = _rates(network, optimizer="sgd", momentum=0.8, learning_rate=0.1, steps=6, schedule="one_cycle")
    assert {momentum for _, momentum in one_cycle} == {0.8}


def test_sgd_adds_momentum_and_weight_decay():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    optimizer = optimizer_of(network, TrainingSettings(optimizer="sgd", learning_rate=0.1, weight_decay=0.5))
    for gradient in (1.0, 0.0):
        network.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
    # velocity 1 + 0.5 × 2 = 2, weight 1.8; velocity 0.9 × 2 + 0.5 × 1.8 = 2.7, weight 1.53
    assert network.weight.item() == pytest.approx(1.53)


@pytest.mark.parametrize(
    ("settings", "message"),
    [("{name: swin_unetr, encoder: resnet18}", "model: 'encoder' is not a setting of swin_unetr, which has width"),
     ("{name: fno, weights: imagenet}", "model: 'weights' is not a setting of fno, which has width, blocks, "),
     ("{width: 64}", "model: 'width' is not a setting of unet, which has encoder, weights, decoder_channels"),
     ("{name: swin_unetr, width: 20}", "'width' of swin_unetr is 20, expected a multiple of 12"),
     ("{name: segformer, encodr: mit_b1}", r"model\.encodr: unknown key; did you mean 'encoder'"),
     ("{name: vnet}", r"model\.name: input should be 'unet', 'unetplusplus', .* \(found 'vnet'\)")],
)  # fmt: skip
def test_settings_that_a_model_does_not_have_are_refused(settings, message):
    text = "{name: x, out: o, data: {synthetic: [{path: s.h5}]}, classes: %s, model: %s}"
    with pytest.raises(InputError, match=message) as error:
        parse_settings(text % ("[{name: a, phases: [x]}, {name: b, phases: ['*']}]", settings), TrainConfig, "x.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", MODELS)
def test_settings_are_filled_in_once_and_survive_being_stored(name):
    settings = ModelSettings(name=name)
    assert {key: getattr(settings, key) for key in MODEL_OPTIONS[name]} == MODEL_OPTIONS[name]
    assert ModelSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_settings_stored_before_there_were_other_models_are_those_of_the_same_unet():
    stored = {"name": "unet", "encoder": "resnet18", "decoder_channels": [128, 64, 48, 32, 16], "weights": "none"}
    assert ModelSettings.model_validate(stored) == ModelSettings()
    keys = build_model(ModelSettings(), 2, 0).state_dict().keys()
    assert {"encoder.conv1.weight", "decoder.blocks.0.conv1.0.weight", "segmentation_head.0.weight"} <= keys
    with pytest.raises(ValidationError):
        ModelSettings(decoder_channels=(1, 2))


@pytest.mark.parametrize(
    ("name", "encoder"),
    [("unetplusplus", "mit_b0"), ("deeplabv3plus", "vgg11"), ("unet", "tu-vit_tiny_patch16_224")],
)
def test_encoder_that_cannot_serve_a_model_is_refused(name, encoder):
    with pytest.raises(InputError, match=rf"model\.encoder '{encoder}' cannot serve a {name}: "):
        build_model(ModelSettings(name=name, encoder=encoder), 2, 0)


def _wave(size, waves, axis):
    shape = [1, 1, 1, 1]
    shape[axis] = size
    return torch.cos(2 * math.pi * waves * torch.arange(size) / size).reshape(shape).expand(1, 1, size, size)


def test_spectral_convolution_lets_long_waves_pass_and_turns_them():
    layer = SpectralConv(1, wavelength_px=8)
    nn.init.ones_(layer.real), nn.init.zeros_(layer.imaginary)
    for axis in (2, 3):
        torch.testing.assert_close(layer(_wave(32, 4, axis)), _wave(32, 4, axis))  # 8 px
        torch.testing.assert_close(layer(_wave(32, 5, axis)), torch.zeros(1, 1, 32, 32), atol=1e-6, rtol=0)
    torch.testing.assert_close(layer(torch.full((1, 1, 9, 7), 3.0)), torch.full((1, 1, 9, 7), 3.0))
    nn.init.zeros_(layer.real), nn.init.ones_(layer.imaginary)  # a quarter of a wave along rows: cos becomes -sin
    sine = torch.sin(2 * math.pi * 3 * torch.arange(32) / 32).expand(1, 1, 32, 32)
    torch.testing.assert_close(layer(_wave(32, 3, 3)), -sine, atol=1e-6, rtol=1e-6)


def test_spectral_convolution_does_not_depend_on_the_size_of_the_image():
    layer = SpectralConv(3, wavelength_px=6)
    image = torch.randn(1, 3, 24, 30)
    torch.testing.assert_close(layer(image.repeat(1, 1, 2, 3))[..., :24, :30], layer(image), atol=1e-5, rtol=1e-5)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


@pytest.mark.parametrize(
    ("encoder", "weights", "file"),
    [("resnet18", "micronet", "resnet18_pretrained_microscopynet_v1.0.pth.tar"),
     ("resnet50", "micronet", "resnet50_pretrained_microscopynet_v1.1.pth.tar"),
     ("resnext101_32x8d", "micronet", "resnext101_pretrained_microscopynet_v1.0.pth.tar"),
     ("resnet50", "imagenet-micronet", "resnet50_pretrained_imagenet-microscopynet_v1.0.pth.tar")],
)  # fmt: skip
def test_micronet_weights_without_network_say_what_to_fetch_and_where_it_goes(
    encoder, weights, file, cache, monkeypatch
):
    def refused(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    with pytest.raises(InputError, match="cannot be fetched") as error:
        build_model(ModelSettings(encoder=encoder, weights=weights), 2, 0)
    address = f"https://nasa-public-data.s3.amazonaws.com/microscopy_segmentation_models/{file}"
    assert f"get {address} elsewhere and save it as {cache / file}, or set" in str(error.value)


@pytest.mark.parametrize(
    ("encoder", "first", "prefix"),
    [("resnet18", "conv1.weight", ("", "module.")),
     ("mobilenet_v2", "features.0.0.weight", ("features.", "features.module."))],
)  # fmt: skip
def test_micronet_weights_are_read_from_where_they_were_to_be_put(encoder, first, prefix, cache):
    plain = build_model(ModelSettings(encoder=encoder), 2, 0).encoder.state_dict()
    last = [key for key in plain if key.endswith("weight")][-1]
    plain = {key: torch.randn(value.shape) for key, value in plain.items()}
    plain[first] = torch.randn(plain[first].shape[0], 3, *plain[first].shape[2:])  # RGB
    stored = {key.replace(*prefix, 1): value for key, value in plain.items()} | {"module.fc.weight": torch.zeros(3)}
    assert first not in stored
    cache.mkdir(parents=True)
    torch.save({"state_dict": stored}, cache / f"{encoder}_pretrained_microscopynet_v1.0.pth.tar")
    found = build_model(ModelSettings(encoder=encoder, weights="micronet"), 2, 0).encoder.state_dict()
    torch.testing.assert_close(found[last], plain[last])
    torch.testing.assert_close(found[first], plain[first].sum(1, keepdim=True))


def test_networks_of_timm_are_encoders():
    settings = ModelSettings(encoder="tu-regnetx_002", decoder_channels=(64, 48, 32, 24, 16))
    assert build_model(settings, 3, 0)(torch.zeros(1, 1, 70, 64)).shape == (1, 3, 70, 64)
    with pytest.raises(InputError, match=r"'tu-regnet' is unknown, .* or tu-NAME for the network NAME of timm"):
        build_model(ModelSettings(encoder="tu-regnet"), 3, 0)
    with pytest.raises(InputError, match="'imagenet': there are none for 'tu-regnetx_002'; use none or a file"):
        build_model(ModelSettings(encoder="tu-regnetx_002", weights="imagenet"), 3, 0)


def test_encoder_without_micronet_weights_is_told_which_have_them():
    with pytest.raises(InputError, match=r"'micronet': there are none for 'mit_b0'; expected one of densenet121, .*"):
        build_model(ModelSettings(name="segformer", weights="micronet"), 2, 0)
