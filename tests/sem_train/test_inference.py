import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_databars import with_databar
from fake_data import CLASSES, coating, config, write_folder, write_shard
from PIL import Image
from torch import nn

from sem_train.classes import ClassMap
from sem_train.inference import load_run, predict_files, window_probabilities
from sem_train.micrographs import read_label_map, read_pixel_size_um
from sem_train.training import fit
from semforge.errors import InputError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run whose data and encoder weights are gone."""
    folder = tmp_path_factory.mktemp("run")
    root = write_folder(folder / "real", ["a", "b"])
    real = {"root": root, "index": "index.csv", "held_out": ["b"]}
    data = {"synthetic": [{"path": write_shard(folder / "s.h5")}], "real": [real], "scale": 0.5}
    fit(config(folder / "run", data))
    shutil.copy(root / "images" / "i0.png", folder / "seen.png")
    shutil.copy(root / "images" / "i1.png", folder / "unseen.png")
    shutil.rmtree(root)
    (folder / "s.h5").unlink()
    return folder / "run"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(coating(5)[0]).save(path)
    return path


@pytest.mark.parametrize("shape", [(64, 64), (65, 97), (33, 31), (200, 70), (2, 2), (1, 300)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_image_of_any_size_and_depth_is_labelled_pixel_by_pixel(run, shape, dtype):
    image = np.random.default_rng(0).random(shape)
    full_scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    prediction = load_run(run).predict((image * full_scale).astype(dtype))
    assert prediction.labels.shape == shape and prediction.labels.dtype == np.uint8
    assert prediction.probabilities.shape == (4, *shape) and prediction.probabilities.dtype == np.float32
    np.testing.assert_allclose(prediction.probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(prediction.labels, prediction.probabilities.argmax(axis=0))


def test_depth_and_gain_of_the_image_do_not_matter(run):
    model, image = load_run(run), coating(5)[0]
    expected = model.predict(image).labels
    np.testing.assert_array_equal(model.predict(image.astype(np.uint16) * 257).labels, expected)
    np.testing.assert_array_equal(model.predict(image.astype(np.float32) / 510).labels, expected)


@pytest.mark.parametrize("scale", [0.5, 2])
def test_the_network_sees_the_image_at_its_scale(run, scale):
    seen = []
    model = load_run(run)
    data = model.config.data.model_copy(update={"scale": scale})
    model = replace(model, config=model.config.model_copy(update={"data": data}))
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))
    assert model.predict(np.zeros((64, 64), dtype=np.uint8)).labels.shape == (64, 64)
    assert seen == [(64 * scale, 64 * scale)]


def test_model_needs_nothing_but_its_checkpoint(run):
    model = load_run(run)
    assert model.classes == ClassMap.model_validate({"classes": CLASSES})
    assert model.config.data.scale == 0.5
    assert model.has_seen_image(run.parent / "seen.png") and not model.has_seen_image(run.parent / "unseen.png")
    assert model.has_seen_specimen("a") and not model.has_seen_specimen("b")


class Local(nn.Module):
    """Sees one pixel at a time, so windows cannot change what it says."""

    def forward(self, x):
        return torch.cat([x, -x, 0.5 * x], dim=1)


@pytest.mark.parametrize("shape", [(150, 83), (32, 64), (7, 200)])
def test_sliding_window_equals_direct_prediction(shape):
    image = torch.randn(1, 1, *shape)
    direct = Local()(image).softmax(dim=1)
    torch.testing.assert_close(window_probabilities(Local(), image, 64), direct, atol=1e-5, rtol=1e-5)


def test_windows_agree_where_the_image_repeats(run):
    network = load_run(run).network
    flat = torch.full((1, 1, 256, 256), 0.3, device=next(network.parameters()).device)
    with torch.inference_mode():
        small = window_probabilities(network, flat[..., :64, :64], 64)[..., 28:36, 28:36].mean(dim=(2, 3))
        large = window_probabilities(network, flat, 64)[..., 124:132, 124:132].mean(dim=(2, 3))
    torch.testing.assert_close(small, large, atol=0.05, rtol=0)


def test_predicted_files_carry_their_classes(run, image, tmp_path):
    (done,) = predict_files(run, [image], tmp_path / "out")
    label_map = read_label_map(done.label_map)
    assert done.label_map.name == "a_labels.png" and done.overlay.name == "a_overlay.png"
    assert label_map.classes == load_run(run).classes
    np.testing.assert_array_equal(label_map.labels, load_run(run).predict(coating(5)[0]).labels)
    assert np.asarray(Image.open(done.overlay)).shape == (64, 64, 3)


def test_label_maps_as_tiff(run, image, tmp_path):
    (png,) = predict_files(run, [image], tmp_path / "out", pixel_size_um=0.25)
    (tif,) = predict_files(run, [image], tmp_path / "out", pixel_size_um=0.25, label_format="tif")
    assert tif.label_map.name == "a_labels.tif"
    first, second = read_label_map(png.label_map), read_label_map(tif.label_map)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.classes == second.classes
    assert read_pixel_size_um(tif.label_map) == 0.25


def test_a_databar_is_no_part_of_a_prediction_and_the_scale_is_carried(run, tmp_path):
    barred = with_databar(coating(5, 128)[0], 20, size=10, fields=("HV 20 kV", "WD 9 mm"))
    Image.fromarray(barred).save(tmp_path / "b.png")
    (done,) = predict_files(run, [tmp_path / "b.png"], tmp_path / "out", pixel_size_um=0.2)
    assert (done.databar, done.scale.source) == (slice(128, 148), "given")
    expected = load_run(run).predict(barred[:128]).labels
    np.testing.assert_array_equal(read_label_map(done.label_map).labels, expected)
    assert read_pixel_size_um(done.label_map) == 0.2
    assert np.asarray(Image.open(done.overlay)).shape == (128, 128, 3)


def test_one_bad_image_is_named_before_anything_is_written(run, image, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    with pytest.raises(InputError, match=r"bad\.png: cannot be read"):
        predict_files(run, [image, bad], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_images_of_one_name_are_refused(run, image, tmp_path):
    with pytest.raises(InputError, match="'a' is the name of two"):
        predict_files(run, [image, image.with_suffix(".tif")], tmp_path / "out")


def test_missing_and_broken_runs_are_bad_input(run, image, tmp_path):
    with pytest.raises(InputError, match="no such folder, expected a training run"):
        load_run(tmp_path / "none")
    with pytest.raises(InputError, match="no such file, expected the checkpoint"):
        load_run(tmp_path)
    (tmp_path / "last.ckpt").write_bytes((run / "last.ckpt").read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        load_run(tmp_path)
