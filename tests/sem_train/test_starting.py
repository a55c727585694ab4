"""Runs that begin with the weights of another run."""

import shutil

import pytest
import torch
from fake_data import CLASSES, config, write_folder, write_shard
from interruptions import interrupt_at

from blender_gen.sample import SampleFile
from sem_train.config import MODEL_OPTIONS, ModelSettings, TrainConfig
from sem_train.inference import load_run
from sem_train.training import fit
from semforge.errors import InputError


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A short run on four synthetic samples."""
    folder = tmp_path_factory.mktemp("first")
    fit(config(folder / "run", {"synthetic": [{"path": write_shard(folder / "s.h5")}]}, steps=2))
    return folder / "run"


@pytest.fixture
def real(tmp_path):
    return {"root": write_folder(tmp_path / "real", ["a", "b"]), "index": "index.csv"}


def started(start_from, out, data, model=None, classes=CLASSES, **training):
    settings = config(out, data, **training).model_dump(mode="json")
    settings["model"] |= {"start_from": str(start_from), **(model or {})}
    return TrainConfig.model_validate({**settings, "classes": classes})


def learned(path):
    stored = torch.load(path, weights_only=True)["state_dict"]
    return {key: value for key, value in stored.items() if "running" not in key and "num_batches" not in key}


@pytest.mark.parametrize("file", ["", "last.ckpt"])
def test_a_run_begins_with_the_weights_of_another(tmp_path, first, real, file):
    fit(started(first / file, tmp_path / "run", {"real": [real]}, steps=1, learning_rate=1e-12))
    new = learned(tmp_path / "run" / "last.ckpt")
    for key, weight in learned(first / "last.ckpt").items():
        torch.testing.assert_close(new[key], weight, rtol=0, atol=1e-9)


def test_what_either_run_was_trained_on_is_known_after_an_interruption_without_the_first(
    tmp_path, first, real, monkeypatch
):
    start = shutil.copytree(first, tmp_path / "first")
    settings = started(start, tmp_path / "run", {"real": [{**real, "held_out": ["b"]}]})
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            fit(settings)
    shutil.rmtree(start)
    assert fit(settings).resumed_at == 2
    model, file = load_run(tmp_path / "run"), SampleFile(first.parent / "s.h5")
    assert model.has_seen_specimen("a") and not model.has_seen_specimen("b")
    assert len(model.trained_on.images) == 1
    assert model.trained_on.samples == {file.stored_digest(i) for i in range(4)}


def test_what_the_first_run_was_trained_on_cannot_be_held_out(tmp_path, first, real):
    data = {"synthetic": [{"path": first.parent / "s.h5", "held_out": 1}]}
    with pytest.raises(InputError, match=r"s\.h5: sample 3, image 0 \(held out\) is of what .*first.*/run/last\.ckpt"):
        fit(started(first, tmp_path / "run", data))
    fit(config(tmp_path / "real-first", {"real": [real]}, steps=1))
    with pytest.raises(InputError, match=r"i1 \(held out\) is of what"):
        fit(started(tmp_path / "real-first", tmp_path / "run", {"real": [{**real, "held_out": ["b"]}]}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"encoder": "resnet34"}}, r"has model.encoder resnet18, this run resnet34, expected the same"),
        ({"classes": [*CLASSES[:3], {**CLASSES[3], "name": "void"}]},
         "has classes outside, coat, steel, pore, this run outside, coat, steel, void"),
    ],
)  # fmt: skip
def test_weights_of_another_network_or_other_classes_are_refused(tmp_path, first, real, changes, message):
    with pytest.raises(InputError, match=message) as error:
        fit(started(first, tmp_path / "run", {"real": [real]}, **changes))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_missing_and_broken_checkpoints_are_one_line(tmp_path, first, real):
    for bad, message in (
        (tmp_path / "none", "no such folder, expected a training run"),
        (tmp_path, "no such file, expected the checkpoint"),
        (first / "config.yaml", "cannot be read as a checkpoint"),
    ):
        with pytest.raises(InputError, match=message):
            fit(started(bad, tmp_path / "run", {"real": [real]}))


@pytest.mark.parametrize("name", MODEL_OPTIONS)
def test_every_model_may_begin_from_a_run(name):
    assert ModelSettings(name=name).start_from is None
    model = ModelSettings(name=name, start_from="runs/first")
    assert ModelSettings.model_validate(model.model_dump(mode="json")) == model
