"""Number formats and deterministic algorithms."""

import pytest
import torch
from fake_data import config, write_shard
from interruptions import with_callback
from lightning.pytorch.callbacks import Callback

from sem_train.config import TrainingSettings
from sem_train.hardware import autocasts, deterministic_algorithms, number_format
from sem_train.training import fit
from semforge.errors import InputError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def samples(tmp_path):
    return {"synthetic": [{"path": write_shard(tmp_path / "s.h5"), "held_out": 1}]}


class Watch(Callback):
    """Notes how a training step computes."""

    def on_train_start(self, trainer, pl_module):
        self.deterministic = torch.are_deterministic_algorithms_enabled()
        pl_module.network.register_forward_hook(self.look)

    def look(self, module, images, logits):
        self.format = logits.dtype


@pytest.fixture
def watch(monkeypatch):
    callback = Watch()
    with_callback(monkeypatch, callback)
    return callback


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("32", torch.float32)])
def test_training_computes_in_the_format_that_is_told(tmp_path, samples, watch, precision, dtype):
    fit(config(tmp_path / "run", samples, steps=1, precision=precision, accelerator="cpu"))
    assert watch.format == dtype
    weights = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    assert weights["network.encoder.conv1.weight"].dtype == torch.float32


def test_half_precision_is_refused_on_a_cpu(tmp_path, samples):
    with pytest.raises(InputError, match="fp16, which takes a GPU") as error:
        fit(config(tmp_path / "run", samples, precision="fp16", accelerator="cpu"))
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_auto_is_what_the_hardware_multiplies_in(monkeypatch):
    for fast in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda fast=fast: fast)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, fast=fast: fast)
        for device in (CPU, GPU):
            assert number_format("auto", device) == ("bf16" if fast else "32")
            assert [number_format(told, device) for told in ("bf16", "fp16", "32")] == ["bf16", "fp16", "32"]


def test_a_model_trained_in_half_precision_predicts_on_a_cpu():
    with autocasts("fp16", CPU):
        assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(3, 2)).dtype in (torch.bfloat16, torch.float32)


def test_a_number_may_stand_for_its_format():
    assert TrainingSettings(precision=32).precision == "32"


@pytest.mark.parametrize("wanted", [True, False])
def test_deterministic_algorithms_are_on_for_the_training_alone(tmp_path, samples, watch, wanted):
    fit(config(tmp_path / "run", samples, steps=1, deterministic=wanted))
    assert watch.deterministic is wanted
    assert not torch.are_deterministic_algorithms_enabled()


def test_two_deterministic_runs_have_equal_weights(tmp_path, samples):
    for name in ("one", "two"):
        fit(config(tmp_path / name, samples, deterministic=True, precision="auto"))
    one, two = (torch.load(tmp_path / n / "last.ckpt", weights_only=True)["state_dict"] for n in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one) and one.keys() == two.keys()


def test_an_operation_that_has_no_deterministic_form_is_named():
    with pytest.raises(InputError, match="PyTorch has no deterministic put_") as error, deterministic_algorithms(True):
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
    assert "\n" not in str(error.value)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="another"), deterministic_algorithms(True):
        raise RuntimeError("another")
