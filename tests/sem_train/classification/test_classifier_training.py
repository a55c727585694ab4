"""Classifiers learn, go on where they stopped, begin where another ended, and do without what is missing."""

import numpy as np
import pytest
import torch
from fake_particles import CHANNELS, config, write_folder, write_shard
from interruptions import interrupt_at

from sem_train.classification.checkpoint import KEY, load_classifier, read_classifier
from sem_train.classification.config import ImageBranchSettings
from sem_train.classification.drawing import Draws, batches
from sem_train.classification.gathering import gather_particles, read_sources, reading_of
from sem_train.classification.image_branch import build_maps
from sem_train.classification.network import build_classifier
from sem_train.classification.particles import Crops
from sem_train.classification.sources import SyntheticParticles, synthetic_sources
from sem_train.classification.training import fit_classifier
from sem_train.inference import load_run
from semforge.errors import InputError
from semforge.settings import load_settings
from semforge.spectra.axis import EnergyAxis

pytestmark = pytest.mark.usefixtures("one_thread")
LEARNT = {"steps": 80, "val_every": 80, "learning_rate": 5e-3}


def particles_of(path, plan):
    reading = reading_of(plan)
    return read_sources(synthetic_sources(SyntheticParticles(path=path), reading), reading)


def accuracy(run, particles, crops=True, spectra=True):
    named = load_classifier(run).name(particles.crops if crops else None, particles.spectra if spectra else None)
    assert named.known.all()
    return (named.classes == particles.labels).mean()


@pytest.mark.parametrize("name", ["image", "spectrum", "late_fusion", "cross_attention"])
def test_each_network_learns_what_it_can_see(tmp_path, name):
    """Also of particles of other samples, and of a particle that lacks a picture or a spectrum."""
    settings = config(tmp_path / "run", {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 8)}]},
                      {"name": name, "drop_image": 0.25, "drop_spectrum": 0.25}, **LEARNT)  # fmt: skip
    fit_classifier(settings)
    others = particles_of(write_shard(tmp_path / "b.h5", 4, first=50), settings)
    if name != "spectrum":
        assert accuracy(tmp_path / "run", others, spectra=False) >= 0.95
    if name != "image":
        assert accuracy(tmp_path / "run", others, crops=False) >= 0.95
    assert accuracy(tmp_path / "run", others) >= 0.95


def test_of_two_inputs_that_each_leave_something_open_fusion_makes_one_answer(tmp_path):
    """Pictures tell discs from the rest, spectra tell bars from the rest."""
    grey = {"disc": 200, "square": 90, "bar": 90}
    path = write_shard(tmp_path / "a.h5", 8, grey=grey, counts=500)
    settings = config(tmp_path / "run", {"synthetic": [{"path": path}]}, **LEARNT)
    fit_classifier(settings)
    others = particles_of(write_shard(tmp_path / "b.h5", 4, first=50, grey=grey), settings)
    assert accuracy(tmp_path / "run", others) >= 0.95


def test_nothing_is_named_by_an_empty_spectrum(tmp_path):
    settings = config(tmp_path / "run", {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 4)}]},
                      {"name": "spectrum"})  # fmt: skip
    fit_classifier(settings)
    classifier = load_classifier(tmp_path / "run")
    counts = np.zeros((4, CHANNELS), np.uint32)
    counts[1, 20], counts[2, 20] = 9, 10  # ten are what the settings ask for
    counts[3, 0] = 50_000  # the zero peak
    named = classifier.name(None, counts)
    assert named.known.tolist() == [False, False, True, False]
    np.testing.assert_allclose(named.probabilities[[0, 1, 3]], 1 / 3)
    with pytest.raises(InputError, match="expected a spectrum"):
        classifier.name(Crops.empty(32, 3))


def test_spectra_of_another_axis_are_brought_to_that_of_the_network_or_refused(tmp_path):
    settings = config(tmp_path / "run", {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 4)}]},
                      {"name": "spectrum"})  # fmt: skip
    fit_classifier(settings)
    classifier = load_classifier(tmp_path / "run")
    counts = np.random.default_rng(0).poisson(5, (2, CHANNELS)).astype(np.uint32)
    finer = EnergyAxis(2 * CHANNELS, 25.0, -12.5)
    doubled = np.stack([counts // 2, counts - counts // 2], axis=-1).reshape(2, -1)
    np.testing.assert_allclose(classifier.probabilities(None, doubled, finer), classifier.probabilities(None, counts))
    with pytest.raises(InputError, match="48 channels of 100 eV"):
        classifier.name(None, counts[:, :48], EnergyAxis(48, 100.0))
    with pytest.raises(InputError, match="95 channels"):
        classifier.name(None, counts[:, :95])


def weights_of(run):
    return torch.load(run / "last.ckpt", weights_only=True)["state_dict"]


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, monkeypatch):
    path = write_shard(tmp_path / "a.h5", 6)
    data = {"synthetic": [{"path": path, "held_out": 2}], "spectra": {"channels": CHANNELS, "width_ev": 50.0,
                                                                      "thinned_to": 0.3}}  # fmt: skip
    settings = lambda name: config(tmp_path / name, data, {"dropout": 0.3}, steps=6, val_every=2)
    fit_classifier(settings("whole"))
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            fit_classifier(settings("stopped"))
    assert torch.load(tmp_path / "stopped" / "last.ckpt", weights_only=True)["global_step"] == 4
    result = fit_classifier(settings("stopped"))
    assert result.resumed_at == 4
    whole, stopped = weights_of(tmp_path / "whole"), weights_of(tmp_path / "stopped")
    assert all(torch.equal(whole[key], stopped[key]) for key in whole)
    first, second = (read_classifier(tmp_path / name).calibration for name in ("whole", "stopped"))
    assert first.mode("both").temperature == second.mode("both").temperature
    assert "was finished before" in fit_classifier(settings("stopped")).summary()


def test_a_folder_belongs_to_one_run(tmp_path):
    data = {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 4)}]}
    fit_classifier(config(tmp_path / "run", data))
    with pytest.raises(InputError, match=r"other settings \(model.name was late_fusion, now image\)"):
        fit_classifier(config(tmp_path / "run", data, {"name": "image"}))
    assert (
        type(load_settings(tmp_path / "run" / "config.yaml", type(config(tmp_path, data)))).__name__ == "ClassifyConfig"
    )


def test_draws_are_balanced_mixed_and_depend_on_their_number_alone(tmp_path):
    path = write_shard(tmp_path / "a.h5", 6, truth={"population": "square"})
    root = write_folder(tmp_path / "real")
    data = {"synthetic": [{"path": path}], "real": [{"root": root}], "real_fraction": 0.25}
    settings = config(tmp_path / "run", data)
    particles = gather_particles(settings).training
    assert (particles.labels[~particles.real] == 0).sum() == 6  # and 18 squares
    draws = Draws(particles, settings)
    numbers = [(i % draws.kinds[0], i) for i in range(60)]
    inputs, labels = draws.__getitems__(numbers)
    assert np.bincount(labels.numpy()).tolist() == [20, 20, 20]
    again, _ = draws.__getitems__(numbers[7:9])
    for a, b in zip(inputs, again, strict=True):
        assert torch.equal(a[7:9], b)
    real = draws.kinds[0]
    inputs, labels = draws.__getitems__([(real, 5), (real + 1, 6)])
    assert labels.tolist() == [0, 1] and not inputs.has_spectrum.any()


def test_inputs_are_dropped_as_often_as_told_and_never_both(tmp_path):
    settings = config(tmp_path / "run", {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 4)}]},
                      {"drop_image": 0.3, "drop_spectrum": 0.2})  # fmt: skip
    draws = Draws(gather_particles(settings).training, settings)
    inputs, _ = draws.__getitems__([(i % 3, i) for i in range(600)])
    image, spectrum = inputs.has_image.numpy(), inputs.has_spectrum.numpy()
    assert (image | spectrum).all()
    assert abs((~image).mean() - 0.3) < 0.06 and abs((~spectrum).mean() - 0.2) < 0.06


def test_thinned_spectra_have_fewer_counts_of_the_same_shape(tmp_path):
    spectra = {"channels": CHANNELS, "width_ev": 50.0, "thinned_to": 0.1}
    settings = config(tmp_path / "run", {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 4)}],
                                         "spectra": spectra})  # fmt: skip
    draws = Draws(gather_particles(settings).training, settings)
    inputs, labels = draws.__getitems__([(i % 3, i) for i in range(300)])
    counts = 10 ** (6 * inputs.spectra[:, -1].numpy()) - 1
    assert counts.min() > 50 and counts.max() < 1000
    # log-uniform from 0.1 to 1 is 0.9 / ln 10 on average
    assert abs(counts.mean() / 800 - 0.9 / np.log(10)) < 0.04
    at = torch.tensor([20, 40, 60])[labels]
    assert ((inputs.spectra[:, :-1].argmax(dim=1) - at).abs() <= 2).float().mean() > 0.97


def test_a_run_begins_with_the_weights_of_another(tmp_path):
    data = {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 4)}]}
    fit_classifier(config(tmp_path / "first", data, {"name": "image"}, steps=3))
    fit_classifier(config(tmp_path / "all", data, {"name": "image", "start_from": str(tmp_path / "first")}, steps=1,
                          learning_rate=1e-12, seed=3))  # fmt: skip
    fit_classifier(config(tmp_path / "branch", data, {"image": {"width": 8, "weights": str(tmp_path / "first"),
                                                                "frozen": True}}, steps=2, seed=3))  # fmt: skip
    first, everything, branch = (weights_of(tmp_path / name) for name in ("first", "all", "branch"))
    trained = [key for key in first if not key.endswith(("num_batches_tracked", "running_mean", "running_var"))]
    for key in trained:
        torch.testing.assert_close(first[key], everything[key])
    maps = [key for key in first if key.startswith("network.image.maps.")]
    assert len(maps) > 20 and all(torch.equal(first[key], branch[key]) for key in maps)
    assert not torch.equal(first["network.head.weight"], branch["network.head.weight"])


def test_weights_of_what_was_trained_on_what_is_held_out_are_refused(tmp_path):
    path = write_shard(tmp_path / "a.h5", 6)
    fit_classifier(config(tmp_path / "first", {"synthetic": [{"path": path}]}))
    with pytest.raises(InputError, match="trained on 2 of the samples or pictures that are held out"):
        fit_classifier(config(tmp_path / "second", {"synthetic": [{"path": path, "held_out": 2}]},
                              {"start_from": str(tmp_path / "first")}))  # fmt: skip
    with pytest.raises(InputError, match=r"has model.name late_fusion, this run image"):
        fit_classifier(config(tmp_path / "third", {"synthetic": [{"path": path}]},
                              {"name": "image", "start_from": str(tmp_path / "first")}))  # fmt: skip


@pytest.mark.parametrize(("frozen", "free"), [(1, "stage1"), (3, "stage3")])
def test_the_first_stages_stay_as_they_were(tmp_path, frozen, free):
    data = {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 4)}]}
    settings = config(tmp_path / "run", data, {"name": "image", "image": {"width": 8, "frozen": frozen}}, steps=2)
    before = build_classifier(settings).state_dict()
    fit_classifier(settings)
    after = {k.removeprefix("network."): v for k, v in weights_of(tmp_path / "run").items()}
    stages = ["stem", "stage1", "stage2", "stage3", "stage4"]
    for stage in stages:
        keys = [k for k in before if k.startswith(f"image.maps.{stage}.")]
        same = all(torch.equal(before[k], after[k]) for k in keys)
        assert same == (stages.index(stage) < stages.index(free))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "efficientnet_b0", "vgg11_bn"])
def test_networks_of_timm_look_at_one_grey_channel(name):
    maps = build_maps(ImageBranchSettings(name=name, frozen=2), load_weights=False).eval()
    x = torch.rand(2, 1, 64, 64)
    assert maps(x).shape[:2] == (2, maps.channels) and maps(x).ndim == 4
    frozen = [name for name, w in maps.named_parameters() if not w.requires_grad]
    assert 0 < len(frozen) < len(list(maps.parameters())) / 2


def test_weights_of_colour_networks_come_from_a_file(tmp_path):
    import timm

    colour = timm.create_model("mobilenetv3_small_050", pretrained=False).state_dict()
    torch.save(colour, tmp_path / "weights.pth")
    settings = ImageBranchSettings(name="mobilenetv3_small_050", weights=str(tmp_path / "weights.pth"))
    maps = build_maps(settings, load_weights=True)
    torch.testing.assert_close(maps.network.conv_stem.weight, colour["conv_stem.weight"].sum(1, keepdim=True))


def test_bad_networks_and_weights_are_refused(tmp_path):
    build = lambda **settings: build_maps(ImageBranchSettings(**settings), load_weights=True)
    with pytest.raises(InputError, match="'resnet19' is unknown, expected small or one of timm"):
        build(name="resnet19")
    with pytest.raises(InputError, match="'vit_tiny_patch16_224'"):
        build(name="vit_tiny_patch16_224")
    with pytest.raises(InputError, match="has weights of an earlier run only"):
        build(name="small", weights=str(tmp_path / "x.pth"))
    with pytest.raises(InputError, match="no such file"):
        build(name="resnet18", weights=str(tmp_path / "x.pth"))
    with pytest.raises(InputError, match="frozen is 9, expected true or at most 5 stages"):
        build(name="small", frozen=9)


def test_weights_that_cannot_be_fetched_are_said_to_be_had_as_a_file(monkeypatch):
    import timm

    build = timm.create_model

    def without_network(name, pretrained=False, **options):
        if pretrained:
            raise OSError("no route to host")
        return build(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", without_network)
    with pytest.raises(
        InputError, match=r"cannot be fetched; get model.safetensors .* set model.image.weights to the file"
    ):
        build_maps(ImageBranchSettings(name="mobilenetv3_small_050", weights="imagenet"), load_weights=True)


def test_a_run_of_another_kind_is_told_apart(tmp_path):
    data = {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 4)}]}
    fit_classifier(config(tmp_path / "run", data))
    assert KEY in torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        load_run(tmp_path / "run")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="holds no classifier of particles"):
        load_classifier(tmp_path / "other.ckpt")


def test_all_particles_are_looked_at_in_their_order(tmp_path):
    settings = config(tmp_path / "run", {"synthetic": [{"path": write_shard(tmp_path / "a.h5", 3)}]})
    particles = gather_particles(settings).training
    seen = list(batches(particles, settings))
    assert torch.cat([labels for _, labels in seen]).tolist() == particles.labels.tolist()
    assert seen[0][0].crops.min() >= -1 and seen[0][0].crops.max() <= 1
