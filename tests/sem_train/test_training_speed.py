import io
import json
import os
import time
from dataclasses import replace
from math import isclose
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import yaml
from fake_data import config as fit_config
from rich.console import Console
from torch import nn
from typer.testing import CliRunner

from sem_train.__main__ import app
from sem_train.bench import BenchSettings, jobs_of, scaling
from sem_train.bench.arithmetic import matmul_rate, multiply_adds, parameters, step_multiply_adds
from sem_train.bench.measurement import Result
from sem_train.bench.pictures import layered_batches, layered_picture
from sem_train.bench.rounds import Row
from sem_train.bench.scaling import Scale, counts_up_to
from sem_train.bench.summary import as_dict, table
from sem_train.bench.variants import VARIANTS, chosen_variants
from sem_train.bench.worker import Trainer, Turn, Worker
from sem_train.config import MODEL_OPTIONS
from sem_train.models import build_model
from sem_train.run_folder import RunFolder
from semforge.errors import InputError, SemforgeError

CPU = torch.device("cpu")


@pytest.fixture
def small(tmp_path):
    """Settings file of a very small U-Net on batches of 2 crops of 32 pixels."""
    made = fit_config(tmp_path / "run", {"real": [{"root": "nowhere"}]})
    path = tmp_path / "fit.yaml"
    path.write_text(yaml.safe_dump(made.model_dump(mode="json")))
    return path


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def row(walls, losses=(1.0,), **changes):
    turns = tuple(Turn(wall, wall / 2, loss) for wall, loss in zip(walls, losses * len(walls), strict=False))
    kept = {"model": "unet", "setting": "all", "about": "", "batch": 4, "parameters": 1, "multiply_adds": 5,
            "step_multiply_adds": 100, "number_format": "32", "threads": 1, "on_gpu": False, "matmul": 400.0,
            "memory_mib": 512.0, "repeats": (turns,)}  # fmt: skip
    return Row(**kept | changes)


def test_pictures_are_layers_with_pores_and_the_same_for_the_same_seed():
    image, labels = layered_picture(np.random.default_rng(3), 96, 4)
    assert image.shape == labels.shape == (96, 96)
    means = [image[labels == k].mean() for k in range(4)]
    assert means[0] < means[1] < means[2] and means[3] < means[1]  # layers brighten downwards, pores are dark
    depth = [np.nonzero(labels == k)[0].mean() for k in range(3)]
    assert depth == sorted(depth)
    first, second = (layered_batches(2, 3, 32, 4, seed=5) for _ in range(2))
    assert all(torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True))
    assert not torch.equal(first[0][0], first[1][0])
    assert first[0][0].shape == (3, 1, 32, 32) and first[0][1].shape == (3, 32, 32)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_pictures_have_as_many_classes_as_asked_for(n_classes):
    rng = np.random.default_rng(0)
    seen = {int(k) for _ in range(8) for k in np.unique(layered_picture(rng, 64, n_classes)[1])}
    assert seen == set(range(n_classes))


def test_multiply_adds_of_a_convolution():
    def convolution():
        return nn.Conv2d(1, 4, 3, padding=1)

    assert parameters(convolution()) == 4 * 9 + 4
    assert multiply_adds(convolution(), 16) == 4 * 9 * 16 * 16
    # backward: the gradient of the weights; nobody asks for that of the picture
    assert step_multiply_adds(convolution(), 3, 16) == 2 * 3 * 4 * 9 * 16 * 16
    two = nn.Sequential(convolution(), nn.Conv2d(4, 1, 3, padding=1))
    assert step_multiply_adds(two, 1, 16) == (2 + 3) * 4 * 9 * 16 * 16  # and of what the first gives the second


def test_a_matrix_product_takes_its_time():
    assert 1e8 < matmul_rate(torch.float32, CPU) < 1e14


def test_figures_of_a_row():
    fast = row([0.1, 0.2, 0.4])
    assert fast.step_seconds == 0.2 and fast.cpu_seconds == 0.1
    assert isclose(fast.images_per_second, 20)
    assert isclose(fast.share_of_peak, 100 / 0.1 / 400)  # a core computes for half of the time
    assert isclose(row([0.1, 0.2, 0.4], on_gpu=True).share_of_peak, 100 / 0.2 / 400)
    assert isclose(fast.times(row([0.2, 0.6, 1.6])), 3)  # 2, 3 and 4 times, round by round
    assert fast.loss == 1 and fast.loss_sd is None


def test_loss_is_that_of_the_last_steps_and_its_spread_that_of_trainings():
    trainings = tuple(tuple(Turn(1, 1, loss) for loss in (9.0, *last)) for last in ((1, 2, 3, 2), (3, 4, 5, 4)))
    assert row([1.0], repeats=trainings).last_losses == (2, 4)
    assert row([1.0], repeats=trainings).loss == 3
    assert isclose(row([1.0], repeats=trainings).loss_sd, 2**0.5)


def test_library_is_the_network_that_the_library_builds():
    job = jobs_of(["unet"], None, None, None)[0]
    stock = smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=4)
    ours = build_model(job.library_model, 4, seed=0)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in stock.state_dict().items()}


@pytest.mark.parametrize("name", MODEL_OPTIONS)
def test_library_stands_for_itself_only_where_it_differs(name):
    job = jobs_of([name], None, None, None)[0]
    chosen = chosen_variants(["library", "default"], job, CPU)
    assert ("library" in chosen) == name.startswith("unet")


def test_default_settings_are_those_of_pytorch():
    chosen = chosen_variants(list(VARIANTS.keys() - {"fp16"}), jobs_of([], None, None, None)[0], CPU)
    plain = chosen["default"]
    assert not (plain.library or plain.sleeping_threads or plain.channels_last or plain.flush)
    assert plain.number_format(CPU) == "32"
    every = chosen["all"]
    assert every.sleeping_threads and every.channels_last and every.flush and every.precision == "auto"
    assert list(chosen) == [name for name in VARIANTS if name != "fp16"]


def test_all_is_as_the_settings_of_the_training_say(small):
    job = jobs_of([], small, None, None)[0]
    assert chosen_variants(["all"], job, CPU)["all"].number_format(CPU) == "32"
    assert job.crop_px == 32 and job.training.batch_size == 2
    assert jobs_of([], small, 3, 64)[0].training.batch_size == 3 and jobs_of([], small, 3, 64)[0].crop_px == 64


@pytest.mark.parametrize(("name", "spins"), [("default", None), ("threads", b"1000")])
def test_threads_of_a_setting_wait_as_it_says(small, monkeypatch, name, spins):
    monkeypatch.setenv("GOMP_SPINCOUNT", "77")
    with Worker(jobs_of([], small, None, None)[0], VARIANTS[name], CPU, threads=2) as worker:
        told, end = {}, time.monotonic() + 30
        while b"OMP_NUM_THREADS" not in told and time.monotonic() < end:  # until it has become another program
            entries = Path(f"/proc/{worker.process.pid}/environ").read_bytes().split(b"\0")
            told = dict(entry.split(b"=", 1) for entry in entries if entry)
    assert told.get(b"GOMP_SPINCOUNT") == spins and told[b"OMP_NUM_THREADS"] == b"2"
    assert os.environ["GOMP_SPINCOUNT"] == "77" and os.environ["OMP_NUM_THREADS"] == "1"


def test_settings_train_alike(small):
    """The same weights and batches: the loss is the same to rounding, and falls."""
    job = jobs_of([], small, 4, 32)[0].of_steps(13)
    losses = {}
    for name in ("default", "channels_last", "bf16"):
        trainer = Trainer(job, VARIANTS[name], CPU)
        trainer.begin(seed=1)
        losses[name] = [trainer.step().loss for _ in range(13)]
    assert np.allclose(losses["default"][:4], losses["channels_last"][:4], rtol=1e-3)
    assert np.allclose(losses["default"][:2], losses["bf16"][:2], rtol=0.05)
    assert losses["default"][0] != losses["bf16"][0]
    assert all(np.mean(values[-4:]) < 0.9 * values[0] for values in losses.values())


def test_a_process_that_dies_is_told_of(small):
    with Worker(jobs_of([], small, None, None)[0], VARIANTS["default"], CPU) as worker:
        worker.process.kill()
        with pytest.raises(SemforgeError, match="ended with -9"):
            worker.ask("threads")


def test_bench_prints_json_and_leaves_no_process(small):
    done = CliRunner().invoke(
        app, ["bench", "--config", str(small), "--steps", "2", "--warm-up", "0", "--device", "cpu", "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [r["setting"] for r in found["rows"]] == ["library", "default", "all"]
    assert {r["times_default"] for r in found["rows"] if r["setting"] == "default"} == {1}
    for r in found["rows"]:
        assert isclose(r["images_per_second"] * r["step_s"], 2)
        assert r["memory_mib"] > 100 and 0 < r["share_of_peak"] < 1 and len(r["losses"]) == 2
    library, default = found["rows"][:2]
    assert library["multiply_adds"] > default["multiply_adds"] and library["parameters"] > default["parameters"]
    assert found["batch"] == 2 and found["scaling"] == []


def test_table_fits_a_terminal():
    rows = [row([2.0, 2.0], setting="default"), row([1.0, 1.0]), row([1.2345, 1.2345], setting="channels_last")]
    how = BenchSettings(("default", "all"), steps=2, repeats=1)
    scales = (Scale("unet", 1, 0.1, 80.0, 1.0), Scale("unet", 2, 0.1, 160.0, 1.0))
    result = Result(tuple(rows), scales, how, 4, 32, "CPU", (1.0, 2.0))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table(result))
    lines = console.export_text().splitlines()
    every = next(line for line in lines if line.split()[:1] == ["all"])
    assert every.split() == ["all", "1", "0.5", "4", "2.00", "-", "1.000", "0.50", "50%"]
    assert all(len(line.rstrip()) <= 80 and "…" not in line for line in lines)
    assert any(line.startswith("channels_last") and "1.23" in line for line in lines)
    assert any("160" in line and "100%" in line for line in lines)
    assert json.loads(json.dumps(as_dict(result)))["scaling"][1]["efficiency"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "vnet"], "unet, unetplusplus"),
        (["--settings", "default,warp"], "'warp'"),
        (["--settings", "fp16", "--device", "cpu"], "takes a GPU"),
        (["--settings", "library", "--model", "fno", "--device", "cpu"], "add default"),
        (["--crop", "50"], "multiple of 32"),
        (["--model", "deeplabv3plus", "--batch", "1"], "at least 2"),
        (["--device", "tpu"], "auto, cpu or gpu"),
        (["--model", "unet", "--config", "x.yaml"], "one of them"),
        (["--config", "missing.yaml"], "missing.yaml"),
    ],
)
def test_bad_input_is_one_line(arguments, words):
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=False, standalone_mode=False)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("arguments", [["--devices", "2"], ["--device", "gpu"]])
def test_without_a_gpu_one_line_says_so(arguments):
    with pytest.raises(InputError, match=r"PyTorch finds (0 GPUs|no GPU)"):
        CliRunner().invoke(app, ["bench", *arguments], catch_exceptions=False, standalone_mode=False)


def test_counts_of_gpus():
    assert counts_up_to(1) == [1]
    assert counts_up_to(4) == [1, 2, 4]
    assert counts_up_to(6) == [1, 2, 4, 6]


def test_scaling_is_of_what_two_trainings_differ_by(small, monkeypatch):
    """Start and end of 10 s, and steps that take 1 s alone and a quarter more in company."""
    monkeypatch.setattr(scaling, "_seconds", lambda root, job, count, steps, _: 10 + steps * (1.25 if count > 1 else 1))
    one, two, three = scaling.measure_scaling(jobs_of([], small, None, None)[0], 3, steps=4)
    assert [s.devices for s in (one, two, three)] == [1, 2, 3]
    assert isclose(one.step_seconds, 1) and isclose(two.step_seconds, 1.25)
    assert isclose(two.images_per_second, 2 * 2 / 1.25) and isclose(one.efficiency, 1)
    assert isclose(two.efficiency, 0.8) and isclose(three.efficiency, 0.8)


def test_scaling_trains_with_fit_itself(small, tmp_path):
    job = jobs_of([], small, None, None)[0]
    root = tmp_path / "pictures"
    root.mkdir()
    scaling._write_pictures(root, job)
    assert scaling._seconds(root, job, 1, 2, "cpu") > 0
    assert RunFolder(root / "run_1_2").progress() == "finished"


def test_scaling_tells_why_a_training_failed(small):
    job = jobs_of([], small, None, None)[0]
    broken = job.training.model_copy(update={"precision": "fp16"})
    with pytest.raises(SemforgeError, match="precision"):
        scaling.measure_scaling(replace(job, training=broken), 1, steps=2, accelerator="cpu")
