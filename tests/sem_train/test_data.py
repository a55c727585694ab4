import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from fake_data import CLASSES, PHASES, coating, write_folder, write_shard
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from blender_gen.sample import Header, Sample, SampleFile, write_samples
from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED, AugmentSettings, DataSettings, RealData, SyntheticData
from sem_train.data import Crops, MixedBatches, WholePictures, gather, grouped_folds, real_pictures, synthetic_pictures
from sem_train.transforms import Augmentation
from semforge.errors import InputError

MAP = ClassMap.model_validate({"classes": CLASSES})


def folder(root, specimens, **changes):
    return RealData(root=write_folder(root, specimens), index="index.csv", **changes)


def test_last_samples_are_held_out_with_all_their_images(tmp_path):
    path = write_shard(tmp_path / "s.h5", count=5, images=2)
    train, held_out = synthetic_pictures(SyntheticData(path=path, held_out=2), MAP)
    digests = [SampleFile(path).stored_digest(i) for i in range(5)]
    assert [p.identity for p in train] == [d for d in digests[:3] for _ in range(2)]
    assert {p.identity for p in held_out} == set(digests[3:])


def test_phases_and_label_values_become_the_same_classes(tmp_path):
    write_folder(tmp_path / "real", ["a"], first=0)
    (real,) = real_pictures(RealData(root=tmp_path / "real"), MAP)
    (synthetic, *_), _ = synthetic_pictures(SyntheticData(path=write_shard(tmp_path / "s.h5")), MAP)
    for one, other in zip(real.read(), synthetic.read(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_phase_without_class_is_named(tmp_path):
    fewer = ClassMap.model_validate({"classes": CLASSES[:3]})
    with pytest.raises(InputError, match=r"s\.h5: phases pore of the data belong to no class"):
        synthetic_pictures(SyntheticData(path=write_shard(tmp_path / "s.h5")), fewer)


def test_missing_samples_say_how_to_make_them(tmp_path):
    with pytest.raises(InputError, match="make them with: render-farm run x"):
        synthetic_pictures(SyntheticData(path=tmp_path / "no.h5", made_by="render-farm run x"), MAP)


def test_label_value_without_class_is_named_with_its_file(tmp_path):
    data = folder(tmp_path, ["a", "b"])
    labels = np.asarray(Image.open(tmp_path / "labels/i1.png")).copy()
    labels[0, 0] = 77
    Image.fromarray(labels).save(tmp_path / "labels/i1.png")
    with pytest.raises(InputError, match=r"i1\.png: has label value 77"):
        gather(DataSettings(real=[data]), MAP)
    pictures = real_pictures(data.model_copy(update={"unlabelled": (77,)}), MAP)
    assert pictures[1].read()[1][0, 0] == UNLABELLED


@pytest.mark.parametrize("broken", ["images/i1.png", "labels/i1.png"])
def test_gathering_names_the_bad_file(tmp_path, broken):
    data = folder(tmp_path, ["a", "b"])
    (tmp_path / broken).write_bytes((tmp_path / broken).read_bytes()[:40])
    with pytest.raises(InputError, match=broken.replace(".", r"\.")):
        gather(DataSettings(real=[data]), MAP)


def test_sizes_of_image_and_labels_must_agree(tmp_path):
    data = folder(tmp_path, ["a"])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "labels/i0.png")
    with pytest.raises(InputError, match=r"i0\.png: is \(8, 8\) pixels, its image \(64, 64\)"):
        gather(DataSettings(real=[data]), MAP)


def test_real_data_is_found_below_the_data_root(tmp_path, monkeypatch):
    folder(tmp_path / "lab", ["a"])
    monkeypatch.setenv("SEMFORGE_DATA", str(tmp_path))
    assert len(real_pictures(RealData(root="lab", index="index.csv"), MAP)) == 1
    with pytest.raises(InputError, match="elsewhere: no such folder"):
        real_pictures(RealData(root="elsewhere"), MAP)


def test_held_out_specimens_are_not_trained_on(tmp_path):
    data = folder(tmp_path, ["a", "b", "a", "c"], held_out=["a"])
    gathered = gather(DataSettings(real=[data]), MAP)
    assert [p.specimen for p in gathered.real] == ["b", "c"]
    assert [p.specimen for p in gathered.held_out] == ["a", "a"]


def test_one_specimen_on_both_sides_is_refused(tmp_path):
    write_folder(tmp_path / "x", ["a", "b"])
    write_folder(tmp_path / "y", ["a", "d"], first=200)
    sources = [RealData(root=tmp_path / "x", index="index.csv", held_out=["a"]),
               RealData(root=tmp_path / "y", index="index.csv")]  # fmt: skip
    with pytest.raises(InputError, match="specimen 'a' is both trained on and held out"):
        gather(DataSettings(real=sources), MAP)


def test_one_image_under_two_specimens_on_both_sides_is_refused(tmp_path):
    data = folder(tmp_path, ["a", "b"], held_out=["a"])
    (tmp_path / "images/i1.png").write_bytes((tmp_path / "images/i0.png").read_bytes())
    with pytest.raises(InputError, match="same image under specimens 'a' and 'b'"):
        gather(DataSettings(real=[data]), MAP)


def test_class_shares_are_weighted_as_batches_are_mixed(tmp_path):
    _, phase = coating(0)
    synthetic = SyntheticData(path=write_shard(tmp_path / "s.h5", count=1))
    write_folder(tmp_path / "real", ["a"], first=0)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "real/labels/i0.png")
    data = DataSettings(synthetic=[synthetic], real=[RealData(root=tmp_path / "real")], real_fraction=0.25)
    outside = 0.75 * (phase == 0).mean() + 0.25
    assert gather(data, MAP).class_share[0] == pytest.approx(outside)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30), st.integers(2, 5), st.integers(0, 99))
def test_folds_part_the_specimens(specimens, count, seed):
    if len(set(specimens)) < count:
        with pytest.raises(InputError, match="folds need as many specimens"):
            grouped_folds(specimens, count, seed)
        return
    folds = grouped_folds(specimens, count, seed)
    assert sorted(name for fold in folds for name in fold.test) == sorted(set(specimens))
    assert all(fold.test for fold in folds)
    images = [sum(specimens.count(name) for name in fold.test) for fold in folds]
    assert max(images) - min(images) <= max(Counter(specimens).values())
    assert folds == grouped_folds(specimens, count, seed)


@given(
    st.integers(1, 7), st.integers(1, 7), st.sampled_from([0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1]), st.integers(1, 9),
    st.integers(0, 3), st.integers(0, 20),
)  # fmt: skip
def test_batches_hold_the_share_and_resume_anywhere(n_synthetic, n_real, share, batch_size, seed, first_step):
    batches = MixedBatches(n_synthetic, n_real, share, batch_size, seed)
    steps = list(itertools.islice(batches, 24))
    draws = [draw for batch in steps for draw in batch]
    assert {len(batch) for batch in steps} == {batch_size}
    assert [number for _, number in draws] == list(range(24 * batch_size))
    real = [position for position, _ in draws if position >= n_synthetic]
    assert abs(len(real) - share * len(draws)) < 1
    for kind, n in ((real, n_real), ([p for p, _ in draws if p < n_synthetic], n_synthetic)):
        for lap in range(len(kind) // n):
            assert len(set(kind[lap * n : (lap + 1) * n])) == n
    resumed = MixedBatches(n_synthetic, n_real, share, batch_size, seed, first_step=first_step)
    assert list(itertools.islice(resumed, 4)) == list(itertools.islice(iter(batches), first_step, first_step + 4))


def test_devices_share_out_one_batch():
    whole = MixedBatches(5, 5, 0.5, 8, 0).batch(3)
    parts = [next(iter(MixedBatches(5, 5, 0.5, 8, 0, first_step=3, rank=r, ranks=2))) for r in (0, 1)]
    assert sorted(parts[0] + parts[1]) == sorted(whole)


def crops(tmp_path, crop_px=32, **augment):
    (pictures, _) = synthetic_pictures(SyntheticData(path=write_shard(tmp_path / "s.h5", size=48)), MAP)
    whole = WholePictures(pictures, DataSettings(synthetic=[SyntheticData(path="s.h5")]))
    return Crops(whole, Augmentation(AugmentSettings(**augment)), crop_px, seed=7)


def test_crops_depend_on_the_number_of_their_draw_alone(tmp_path):
    every = {"flip": "both", "rotate_degrees": 20, "zoom": 0.2, "contrast": 0.3, "brightness": 0.2, "blur_px": 1,
             "noise": 0.2}  # fmt: skip
    data = crops(tmp_path, **every)
    image, labels = data[1, 12]
    data[0, 13]
    again = data[1, 12]
    assert torch.equal(image, again[0]) and torch.equal(labels, again[1])
    assert image.shape == (1, 32, 32) and image.dtype == torch.float32 and type(image) is torch.Tensor
    assert labels.shape == (32, 32) and labels.dtype == torch.uint8
    assert not torch.equal(image, data[1, 13][0])


def test_labels_move_with_the_image(tmp_path):
    data = crops(tmp_path, flip="both", rotate_degrees=30)
    for number in range(10):
        image, labels = data[0, number]
        assert set(labels.unique().tolist()) <= {0, 1, 2, 3}
        outside, steel = image[0][labels == 0], image[0][labels == 2]
        if len(outside) and len(steel):
            assert outside.mean() < steel.mean() - 0.5


def test_small_pictures_are_extended_without_labels(tmp_path):
    image, labels = crops(tmp_path, crop_px=64, flip="none")[0, 0]
    assert image.shape == (1, 64, 64)
    assert (labels == UNLABELLED).sum() == 64 * 64 - 48 * 48
    assert torch.isfinite(image).all()


@pytest.mark.parametrize(("scale", "size"), [(0.5, 24), (2, 96)])
def test_scale_resizes_image_and_labels_alike(tmp_path, scale, size):
    pictures, _ = synthetic_pictures(SyntheticData(path=write_shard(tmp_path / "s.h5", size=48)), MAP)
    data = DataSettings(synthetic=[SyntheticData(path="s.h5")], scale=scale)
    image, labels = WholePictures(pictures, data)[0]
    assert image.shape == (1, size, size) and labels.shape == (size, size)
    assert labels[0, 0] == 0 and labels[-1, -1] == 2


def test_every_value_of_an_instance_map_is_a_particle(tmp_path):
    classes = ClassMap.model_validate({"classes": [{"name": "background", "values": [0]},
                                                   {"name": "particle", "values": [1]}]})  # fmt: skip
    instances = np.array([[0, 1, 2], [300, 0, 65535]], dtype=np.uint16)
    for kind, array in (("images", np.full((2, 3), 7, np.uint8)), ("instances", instances)):
        (tmp_path / kind).mkdir()
        Image.fromarray(array).save(tmp_path / kind / "a.png")
    data = RealData(root=tmp_path, labels="instances/{name}.png", labels_are="instances")
    (picture,) = real_pictures(data, classes)
    np.testing.assert_array_equal(picture.read()[1], [[0, 1, 1], [1, 0, 1]])
    (picture,) = real_pictures(data.model_copy(update={"unlabelled": (65535,)}), classes)
    assert picture.read()[1][1, 2] == UNLABELLED


def test_levels_change_monotonically_and_inversion_turns_them_round():
    ramp = torch.linspace(-1, 1, 32 * 32).reshape(1, 32, 32)
    labels = torch.zeros(32, 32, dtype=torch.uint8)
    changed = [Augmentation(AugmentSettings(flip="none", levels=8))(ramp, labels, seed)[0] for seed in range(20)]
    assert all((x.ravel().diff() >= 0).all() for x in changed)
    assert any(not torch.allclose(x, ramp, atol=0.05) for x in changed)
    invert = Augmentation(AugmentSettings(flip="none", invert=0.5))
    signs = [float(torch.sign(invert(ramp, labels, seed)[0][0, -1, -1])) for seed in range(200)]
    # binomial, 200 draws of 0.5: 4 standard deviations are 28
    assert abs(signs.count(-1.0) - 100) < 28
    with pytest.raises(ValueError, match="at least 3"):
        AugmentSettings(levels=2)


def test_patterns_take_the_phases_that_no_class_names():
    classes = ClassMap.model_validate({"classes": [{"name": "rest", "phases": ["*"]},
                                                   {"name": "silt", "phases": ["silt_*", "oxide"]},
                                                   {"name": "pyrite", "phases": ["silt_pyrite"]}]})  # fmt: skip
    table = classes.lookup_phases(("resin", "oxide", "silt_quartz", "silt_pyrite", "silt"))
    np.testing.assert_array_equal(table[:5], [0, 1, 1, 2, 0])


def test_the_rows_of_a_databar_do_not_count(tmp_path):
    image, phase = coating(0, 64)
    records = [{"databar_px": 0}, {"databar_px": 9}]
    sample = Sample(0, np.stack([image, image]), phase, np.zeros(phase.shape, np.uint32), 0.5, {}, records)
    write_samples(tmp_path / "s.h5", [sample], Header("", "hash", 1, PHASES, {}, "cpu"))
    (whole, barred), _ = synthetic_pictures(SyntheticData(path=tmp_path / "s.h5"), MAP)
    assert (whole.read()[1] != UNLABELLED).all()
    assert (barred.read()[1][-9:] == UNLABELLED).all()
    np.testing.assert_array_equal(barred.read()[1][:-9], whole.read()[1][:-9])
