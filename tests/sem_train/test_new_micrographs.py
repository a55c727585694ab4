"""Training on new micrographs of stored specimens: which one a draw sees, and that it is the same everywhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_data import coating, config, write_shard
from interruptions import interrupt_at
from torch.utils.data import DataLoader

from blender_gen.passes import Passes
from blender_gen.recipe import load_recipe, recipe_hash, recipe_text
from blender_gen.reimaging import packed
from blender_gen.sample import Header, Sample, write_samples
from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED, AugmentSettings, DataSettings, SyntheticData
from sem_train.data import Crops, MixedBatches, WholePictures, gather, synthetic_pictures
from sem_train.training import fit
from sem_train.transforms import Augmentation
from semforge.errors import InputError

SLURRY = Path(__file__).parents[2] / "configs/recipes/slurry_coating.yaml"
CLASSES = [{"name": "outside", "phases": ["resin"]}, {"name": "coat", "phases": ["*"]},
           {"name": "steel", "phases": ["steel"]}]  # fmt: skip
MAP = ClassMap.model_validate({"classes": CLASSES})
NAMES = ("resin", "Fe2Al5", "pore", "steel")  # of the phases of `coating`


def write_kept(path, count=3, size=64, images=1, *overrides):
    """A sample file of `count` coatings that keep flat passes."""
    changes = ("imaging.keep_passes=true", f"imaging.images_per_specimen={images}", *overrides)
    recipe = load_recipe(SLURRY, changes)
    ids = np.array([recipe.phase_names.index(name) for name in NAMES], dtype=np.uint8)
    samples = []
    for index in range(count):
        image, phase = coating(index, size)
        phase = ids[phase]
        void = phase == recipe.phase_names.index("pore")
        up = np.broadcast_to(np.array([0, 0, 1], np.float32), (size, size, 3))
        wall = np.where(void, recipe.phase_names.index("Fe2Al5"), phase).astype(np.uint8)
        bodies = void.astype(np.uint32)
        passes = Passes(phase, bodies, np.zeros((size, size), np.float32), up, wall, {})
        kept = packed(passes, np.ones((size, size)), recipe)
        stack = np.stack([image] * images)
        samples.append(Sample(index, stack, phase, bodies, 0.5, {}, [{}] * images, passes=kept))
    header = Header(recipe_text(recipe), recipe_hash(recipe), 1, recipe.phase_names, {"semforge": "0"}, "cpu")
    write_samples(path, samples, header)
    return path


def crops_of(path, crop_px=32, seed=7, scale=1.0, **settings):
    source = SyntheticData(path=path, imaging="new")
    pictures, _ = synthetic_pictures(source, MAP)
    data = DataSettings(synthetic=[source], crop_px=crop_px, scale=scale, **settings)
    return Crops(WholePictures(pictures, data), Augmentation(AugmentSettings(flip="none")), crop_px, seed)


def test_a_draw_sees_the_micrograph_of_its_epoch(tmp_path):
    # 3 pictures of 64² in crops of 32²: an epoch is 12 draws
    whole = crops_of(write_kept(tmp_path / "s.h5")).pictures
    stored = whole[0][0]
    first = [whole.for_draw(0, draw, 7)[0] for draw in (0, 5, 11)]
    second = whole.for_draw(0, 12, 7)[0]
    assert all(torch.equal(first[0], image) for image in first)
    assert not torch.equal(first[0], second)
    assert not torch.equal(first[0], stored) and not torch.equal(second, stored)
    assert torch.equal(whole.for_draw(0, 3, 7)[0], first[0])
    assert not torch.equal(whole.for_draw(0, 0, 8)[0], first[0])  # another seed
    assert torch.equal(whole[0][0], stored)


def test_labels_stay_and_brightness_follows_them(tmp_path):
    whole = crops_of(write_kept(tmp_path / "s.h5")).pictures
    labels = whole[1][1]
    for draw in (0, 12, 24):
        image, same = whole.for_draw(1, draw, 7)
        assert torch.equal(same, labels)
        assert image[0][labels == 2].mean() > image[0][labels == 1].mean() > image[0][labels == 0].mean()


def test_an_epoch_is_counted_in_pixels_after_scaling(tmp_path):
    whole = crops_of(write_kept(tmp_path / "s.h5"), scale=0.5).pictures  # 32²: a crop each, 3 draws
    images = [whole.for_draw(0, draw, 7)[0] for draw in (0, 2, 3)]
    assert torch.equal(images[0], images[1]) and not torch.equal(images[0], images[2])


def test_the_rows_of_a_new_databar_do_not_count(tmp_path):
    path = write_kept(tmp_path / "s.h5", 1, 96, 1, "imaging.lettering={databar: 1}")
    _, labels = crops_of(path).pictures.for_draw(0, 0, 7)
    bar = (labels == UNLABELLED).all(dim=1)
    assert 10 <= bar.sum() <= 12 and bar[-1] and not bar[:84].any()  # at least 10 rows, at most 9 % + rounding
    assert (crops_of(path).pictures[0][1] != UNLABELLED).all()


def test_crops_are_the_same_in_any_loader_process_and_after_a_resume(tmp_path):
    path = write_kept(tmp_path / "s.h5", images=2)

    def batches(workers, first_step):
        crops = crops_of(path)
        sampler = MixedBatches(len(crops), 0, 0.0, 4, seed=7, first_step=first_step)
        loader = iter(DataLoader(crops, batch_sampler=sampler, num_workers=workers))
        return [next(loader) for _ in range(12 - first_step)]

    here = batches(0, 0)
    for workers, first_step in ((2, 0), (0, 5), (1, 5)):
        for one, other in zip(here[first_step:], batches(workers, first_step), strict=True):
            assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_the_cache_decides_nothing(tmp_path):
    crops = crops_of(write_kept(tmp_path / "s.h5"))
    bare = crops_of(tmp_path / "s.h5")
    bare.pictures.cache_bytes = 0
    for draw in ((0, 0), (1, 1), (0, 2), (0, 40), (0, 3)):
        assert torch.equal(crops[draw][0], bare[draw][0])


def test_held_out_pictures_are_the_stored_ones(tmp_path):
    source = SyntheticData(path=write_kept(tmp_path / "s.h5"), imaging="new", held_out=1)
    data = DataSettings(synthetic=[source], crop_px=32)
    gathered = gather(data, MAP)
    assert len(gathered.synthetic) == 2 and len(gathered.held_out) == 1
    stored = gather(DataSettings(synthetic=[source.model_copy(update={"imaging": "stored"})], crop_px=32), MAP)
    assert [p.identity for p in gathered.training] == [p.identity for p in stored.training]
    image, _ = WholePictures(gathered.held_out, data)[0]
    assert torch.equal(image, WholePictures(stored.held_out, data)[0][0])


def test_samples_that_keep_no_passes_say_how_to_render_them(tmp_path):
    with pytest.raises(InputError, match=r"keeps no passes.*imaging\.keep_passes=true"):
        crops_of(write_shard(tmp_path / "s.h5"))


def test_an_interrupted_run_on_new_micrographs_ends_with_the_same_weights(tmp_path, monkeypatch):
    source = {"path": write_kept(tmp_path / "s.h5", 2), "imaging": "new"}

    def run(name):
        plan = config(tmp_path / name, {"synthetic": [source]}, steps=6)
        return plan.model_copy(update={"classes": MAP})

    fit(run("whole"))
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            fit(run("broken"))
    fit(run("broken"))
    whole, broken = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("whole", "broken")
    )
    assert all(torch.equal(tensor, broken[name]) for name, tensor in whole.items())


def test_a_picture_that_is_new_differs_from_one_that_is_stored_in_that_alone(tmp_path):
    path = write_kept(tmp_path / "s.h5")
    (new, *_), _ = synthetic_pictures(SyntheticData(path=path, imaging="new"), MAP)
    (stored, *_), _ = synthetic_pictures(SyntheticData(path=path), MAP)
    assert stored.new is None and new.new is not None and new.new.shape == (64, 64)
    assert (new.name, new.identity, new.specimen) == (stored.name, stored.identity, stored.specimen)
    assert replace(new, new=None).identity == stored.identity
