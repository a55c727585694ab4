import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lightning as L
import pytest
import torch
import yaml
from fake_data import config, write_shard
from torch import nn

from sem_train import distributed
from sem_train.config import UNLABELLED, LossSettings, TrainingSettings
from sem_train.data import MixedBatches
from sem_train.distributed import processes_here, refuse_bad_shape
from sem_train.losses import LossSum
from sem_train.run_folder import RunFolder, read_history
from sem_train.training import fit
from semforge.errors import InputError

LIMIT_S = 120


@pytest.fixture
def samples(tmp_path):
    return {"synthetic": [{"path": write_shard(tmp_path / "s.h5", count=6), "held_out": 1}]}


@pytest.fixture
def alone(monkeypatch):
    for name in list(os.environ):
        if name.startswith("SLURM_") or name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            monkeypatch.delenv(name)
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):  # what was found out about the processes is kept there, too
        del os.environ[name]


def start(settings, **environment):
    """`sem-train fit` in a process group of its own."""
    path = settings.out.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    return subprocess.Popen(
        [sys.executable, "-m", "sem_train", "fit", str(path)], env=os.environ | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition, what):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.05)


def test_two_processes_train_as_one(tmp_path, samples):
    # Adam divides by its own estimate of the gradient, so rounding grows with the rate: a low one
    settings = {"steps": 6, "batch_size": 4, "val_every": 2, "learning_rate": 1e-4, "schedule": "constant"}
    one = fit(config(tmp_path / "one", samples, **settings))
    two = fit(config(tmp_path / "two", samples, devices=2, **settings))
    assert (one.steps, two.steps) == (6, 6)
    of_one, of_two = read_history(tmp_path / "one"), read_history(tmp_path / "two")
    assert of_one["step"] == of_two["step"] == [2, 4, 6]
    assert of_two["train_loss"] == pytest.approx(of_one["train_loss"], rel=1e-4)
    assert of_two["val_loss"] == pytest.approx(of_one["val_loss"], rel=2e-3)
    weights = [torch.load(tmp_path / run / "last.ckpt", weights_only=True)["state_dict"] for run in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()


def _one_step(network, rank=0, count=1):
    """Loss of a share of a batch, after its backward pass."""
    generator = torch.Generator().manual_seed(3)
    images = 5 + torch.randn(4, 1, 12, 12, generator=generator)
    labels = torch.randint(0, 3, (4, 10, 10), generator=generator, dtype=torch.uint8)
    labels[0, :5] = UNLABELLED  # unequal numbers of labelled pixels
    settings = LossSettings(focal=1, tversky=1, lovasz=1, boundary=0.1)
    loss = LossSum(settings, torch.tensor([1.0, 2.0, 5.0]))
    value = loss(network(images[rank::count]), labels[rank::count], distributed.total)
    value.backward()
    return float(value.detach())


def _network():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1))


def _one_step_of_two(rank, port, path):
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    network = _network()
    distributed.share_batch_norm(network)
    value = _one_step(nn.parallel.DistributedDataParallel(network), rank, 2)
    if rank == 1:
        torch.save((value, [p.grad for p in network.parameters()], network.state_dict()), path)
    torch.distributed.destroy_process_group()


def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    # Adam hides a wrong scale of the gradient, so it is looked at itself
    network = _network()
    expected = _one_step(network)
    torch.multiprocessing.spawn(_one_step_of_two, (distributed._free_port(), tmp_path / "two.pt"), nprocs=2)
    value, gradients, state = torch.load(tmp_path / "two.pt", weights_only=True)
    assert value == pytest.approx(expected, rel=1e-6)
    for ours, theirs in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs.grad, rtol=1e-4, atol=1e-6)
    for name, theirs in network.state_dict().items():
        torch.testing.assert_close(state[name], theirs, rtol=1e-5, atol=1e-6)


def test_processes_share_each_batch_without_repeats_or_gaps():
    whole = MixedBatches(5, 3, 0.5, 6, seed=4)
    parts = [iter(MixedBatches(5, 3, 0.5, 6, seed=4, rank=rank, ranks=3)) for rank in range(3)]
    for step in range(4):
        batches = [next(part) for part in parts]
        assert [len(batch) for batch in batches] == [2, 2, 2]
        assert sorted(draw for batch in batches for draw in batch) == sorted(whole.batch(step))


@pytest.mark.parametrize(("number", "devices"), [(signal.SIGTERM, 1), (signal.SIGUSR2, 2)])
def test_a_signal_saves_all_processes_at_one_step_and_one_process_can_go_on(tmp_path, samples, number, devices):
    settings = {"steps": 40, "batch_size": 2, "val_every": 4}
    stopped = config(tmp_path / "run", samples, devices=devices, **settings)
    folder = RunFolder(stopped.out)
    run = start(stopped)
    wait_until(lambda: folder.last.exists() or run.poll() is not None, "a checkpoint")
    run.send_signal(number)
    said = run.communicate(timeout=LIMIT_S)[1]
    assert run.returncode == 130, said
    told = [line for line in said.splitlines() if not line.startswith("step ")]  # validations, before it and after
    kept = "sem-train: interrupted; what is on disk is kept"
    assert told == [f"{number.name}: saving after this step, then stopping", kept], said
    step = torch.load(folder.last, weights_only=True)["global_step"]
    assert 4 <= step < 40
    resumed = fit(config(tmp_path / "run", samples, **settings))
    assert (resumed.resumed_at, resumed.steps) == (step, 40)
    assert torch.load(folder.last, weights_only=True)["global_step"] == 40
    assert read_history(folder.path)["step"] == list(range(4, 41, 4))


def test_the_death_of_one_process_ends_the_others(tmp_path, samples):
    settings = config(tmp_path / "run", samples, devices=2, steps=100_000, batch_size=2, val_every=5)
    run = start(settings)
    wait_until(lambda: RunFolder(settings.out).last.exists() or run.poll() is not None, "a checkpoint")
    pids = children(run.pid)
    os.kill(pids[1], signal.SIGKILL)
    said = run.communicate(timeout=LIMIT_S)[1]
    assert run.returncode == 1
    assert said.splitlines()[-1] == "sem-train: a process of the training was killed by SIGKILL"
    assert "Traceback" not in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_no_process_outlives_the_one_that_started_it(tmp_path, samples):
    settings = config(tmp_path / "run", samples, devices=2, steps=100_000, batch_size=2, val_every=5)
    run = start(settings)
    wait_until(lambda: run.poll() is not None or len(children(run.pid)) == 2, "two processes")
    pids = children(run.pid)
    run.kill()
    run.communicate(timeout=LIMIT_S)
    wait_until(lambda: not any(_lives(pid) for pid in pids), "their end")


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_bad_input_of_one_process_is_one_line_with_its_rank(tmp_path, samples):
    broken = config(tmp_path / "run", {"synthetic": [{"path": tmp_path / "no.h5"}]})
    run = start(broken, RANK="1", LOCAL_RANK="1", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="1")
    said = run.communicate(timeout=LIMIT_S)[1]
    assert run.returncode == 2
    assert said.startswith("sem-train: process 1 of 2 on ") and "no.h5: no such file" in said
    assert said.count("\n") == 1
    assert not broken.out.exists()  # only the first process writes


def test_bad_input_of_all_processes_is_said_once(tmp_path, capfd):
    with pytest.raises(SystemExit) as ended:
        fit(config(tmp_path / "run", {"synthetic": [{"path": tmp_path / "no.h5"}]}, devices=2))
    assert ended.value.code == 2
    assert capfd.readouterr().err.count("no.h5: no such file") == 1
    assert not (tmp_path / "run").exists()


def test_checkpoints_come_by_the_clock_too(tmp_path, samples, monkeypatch):
    saved = []
    save = L.Trainer.save_checkpoint

    def note(trainer, path, *args, **kwargs):
        saved.append((trainer.global_step, Path(path).name))
        save(trainer, path, *args, **kwargs)

    monkeypatch.setattr(L.Trainer, "save_checkpoint", note)
    fit(config(tmp_path / "run", samples, steps=4, val_every=4, checkpoint_minutes=1e-9))
    assert [step for step, name in saved if name == "last.ckpt"][:3] == [1, 2, 3]


def test_processes_of_a_slurm_step(alone, monkeypatch):
    job = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    assert processes_here() is None  # the batch script itself, without srun
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    here = processes_here()
    assert (here.rank, here.count, here.local_rank, here.nodes, here.per_node) == (3, 4, 1, 2, 2)
    assert (here.environment.global_rank(), here.environment.world_size()) == (3, 4)
    assert not here.environment.auto_requeue
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "3")
    with pytest.raises(InputError, match="4 processes on 3 nodes"):
        processes_here()


def test_torchrun_comes_before_slurm(alone, monkeypatch):
    for name, value in {"RANK": 5, "LOCAL_RANK": 1, "WORLD_SIZE": 6, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    here = processes_here()
    assert (here.rank, here.count, here.local_rank, here.nodes) == (5, 6, 1, 3)


@pytest.mark.parametrize(
    ("settings", "ranks", "message"),
    [
        ({"num_nodes": 2}, None, "num_nodes is 2, but this process is alone"),
        ({"devices": 3, "batch_size": 4}, None, "batch_size is 4, expected a multiple of the 3 processes"),
        ({"batch_size": 3}, (4, 2), "batch_size is 3, expected a multiple of the 4 processes"),
        ({"devices": 4}, (4, 2), "devices is 4, but 2 were started"),
        ({"num_nodes": 4}, (4, 2), "num_nodes is 4, but 2 were started"),
    ],
)
def test_other_processes_than_asked_for_are_refused(settings, ranks, message):
    here = ranks and distributed.Processes(0, ranks[0], 0, ranks[1], None)
    with pytest.raises(InputError, match=message):
        refuse_bad_shape(TrainingSettings(**settings), here)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(tmp_path, samples):
    with pytest.raises(InputError, match="finds 0 GPUs, expected 1"):
        fit(config(tmp_path / "run", samples, accelerator="gpu"))
    assert not (tmp_path / "run").exists()
