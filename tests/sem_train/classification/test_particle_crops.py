"""Crops: what part of a micrograph they show, at what scale, and what is painted over."""

import numpy as np
import pytest
from fake_particles import body, config, sample, write_folder, write_shard

from sem_train.classification.config import CropSettings, RealParticles, SyntheticParticles
from sem_train.classification.gathering import gather_particles, read_sources, reading_of
from sem_train.classification.particles import cut_particles, whole_picture
from sem_train.classification.sources import real_sources, synthetic_sources
from semforge.errors import InputError

PLAIN = {"side_px": 32, "normalisation": "none"}


def two_squares():
    """An image (64, 64) of two touching squares of 16 pixels on grey 50, and their instances."""
    image, instances = np.full((64, 64), 50, np.uint8), np.zeros((64, 64), np.uint16)
    image[24:40, 16:32], instances[24:40, 16:32] = 200, 1
    image[24:40, 32:48], instances[24:40, 32:48] = 100, 2
    return image, instances


def test_a_crop_is_the_square_about_its_particle():
    image, instances = two_squares()
    crops = cut_particles(image, instances, [1], CropSettings(context=0.5, **PLAIN))
    assert np.array_equal(crops.grey[0], image[16:48, 8:40])


def test_a_crop_is_resized_and_says_how_much():
    image, instances = two_squares()
    crops = cut_particles(image, instances, [1, 2], CropSettings(context=0, **PLAIN), pixel_size_um=0.5)
    assert (crops.grey[0] == 200).all() and (crops.grey[1] == 100).all()
    np.testing.assert_allclose(crops.sizes, [[np.log10(8), 1, -1]] * 2, rtol=1e-6)
    unknown = cut_particles(image, instances, [1], CropSettings(context=0, **PLAIN))
    np.testing.assert_array_equal(unknown.sizes, [[0, 0, -1]])


def test_neighbours_or_all_else_can_be_painted_over_with_the_substrate():
    image, instances = two_squares()
    cut = lambda around: cut_particles(image, instances, [1], CropSettings(context=0.5, around=around, **PLAIN)).grey[0]
    image[16:20, 8:40] = 55  # of the substrate
    assert 100 in cut("kept") and 55 in cut("kept")
    assert 100 not in cut("neighbours_masked") and 55 in cut("neighbours_masked")
    assert set(np.unique(cut("masked"))) == {50, 200}


def test_beyond_the_frame_the_border_is_repeated():
    image, instances = np.arange(64, dtype=np.uint8).repeat(64).reshape(64, 64), np.zeros((64, 64), np.uint16)
    instances[:16, :16] = 1
    crop = cut_particles(image, instances, [1], CropSettings(context=0.5, **PLAIN)).grey[0]
    assert (crop[:8] == 0).all() and np.array_equal(crop[8:, 0], np.arange(24))


def test_a_whole_picture_is_made_square():
    picture = np.full((20, 32), 7, np.uint8)
    picture[0], picture[-1] = 1, 9
    crop = whole_picture(picture, CropSettings(**PLAIN)).grey[0]
    assert crop.shape == (32, 32) and (crop[:7] == 1).all() and (crop[-6:] == 9).all()


def test_a_body_that_is_not_there_and_a_map_of_another_size_are_refused():
    image, instances = two_squares()
    with pytest.raises(InputError, match="shows no body 3"):
        cut_particles(image, instances, [1, 3], CropSettings())
    with pytest.raises(InputError, match=r"\(32, 64\).*\(64, 64\)"):
        cut_particles(image, instances[:32], [1], CropSettings())


def read(path, plan, **options):
    reading = reading_of(plan)
    return read_sources(synthetic_sources(SyntheticParticles(path=path, **options), reading), reading)


@pytest.fixture
def plan(tmp_path):
    return config(tmp_path / "run", {"synthetic": [{"path": "x"}]})


def test_a_sample_gives_its_particles_with_their_own_spectra(tmp_path, plan):
    particles = read(write_shard(tmp_path / "a.h5", 2), plan)
    assert sorted(particles.labels) == [0] * 4 + [1] * 4 + [2] * 4
    assert len(set(particles.groups)) == 2
    lines = np.array([20, 40, 60])[particles.labels]
    assert (abs(particles.spectra.argmax(axis=1) - lines) <= 2).all()
    assert 700 < particles.counts.mean() < 900
    assert particles.identities == {sample(0).digest, sample(1).digest}


@pytest.mark.parametrize("truth", [{"cut_by_frame": True}, {"occluded_fraction": 0.6}, {"population": "dirt"}])
def test_cut_hidden_and_unknown_particles_are_left_out(tmp_path, plan, truth):
    assert len(read(write_shard(tmp_path / "a.h5", 1, truth=truth), plan)) == 5


def test_tiny_particles_are_left_out(tmp_path):
    data = {"synthetic": [{"path": "x"}], "crops": {"side_px": 32, "shortest_px": 17}}
    assert len(read(write_shard(tmp_path / "a.h5", 1), config(tmp_path, data))) == 0


def test_spectra_with_hardly_a_count_are_missing(tmp_path, plan):
    particles = read(write_shard(tmp_path / "a.h5", 1, counts=0.1), plan)
    assert len(particles) == 6 and not particles.spectra.any()


def test_particles_without_spectra_are_told_from_pictures_alone(tmp_path, plan):
    particles = read(write_shard(tmp_path / "a.h5", 1, counts=None), plan)
    assert particles.spectra is None and (particles.counts == 0).all()


def test_spectra_come_on_the_axis_of_the_network_or_are_refused(tmp_path):
    path = write_shard(tmp_path / "a.h5", 1)
    axis = lambda **spectra: config(tmp_path, {"synthetic": [{"path": "x"}], "spectra": spectra})
    halved = read(path, axis(channels=48, width_ev=100, offset_ev=25))
    assert halved.spectra.sum() == read(path, axis(channels=96, width_ev=50)).spectra.sum()
    with pytest.raises(InputError, match=r"sample 0: .*96 channels of 50 eV.*192 channels of 25 eV"):
        read(path, axis(channels=192, width_ev=25))


def test_whole_pictures_of_one_kind(tmp_path, plan):
    path = write_shard(tmp_path / "a.h5", 2, kinds=("square",))
    particles = read(path, plan, take="pictures")
    assert particles.labels.tolist() == [1, 1] and particles.crops.grey.shape == (2, 32, 32)
    assert len(read(write_shard(tmp_path / "b.h5", 2), plan, take="pictures")) == 0


def test_a_damaged_sample_is_named(tmp_path, plan):
    import h5py

    path = write_shard(tmp_path / "a.h5", 3)
    with h5py.File(path, "r+") as file:
        file["image"][1, 0, :5] = 99
        file["edx/particle_spectra"][2, 0, 0] += 1
    with pytest.raises(InputError, match=r"2 of 3 .*sample 1 .*sample 2 "):
        read(path, plan)


def test_an_index_gives_class_fold_and_specimen(tmp_path, plan):
    root = write_folder(tmp_path / "real")
    reading = reading_of(plan)
    sources = real_sources(RealParticles(root=root, specimen="specimen", fold="fold"), reading)
    assert [(s.label, s.fold, s.group) for s in sources[:3]] == [
        (0, "1", "disc0"),
        (0, "2", "disc0"),
        (0, "1", "disc1"),
    ]
    particles = read_sources(sources, reading)
    assert particles.real.all() and particles.crops.grey.shape == (12, 32, 32)
    by_pattern = real_sources(RealParticles(root=root, specimen=r"^([a-z]+)_"), reading)
    assert {s.group for s in by_pattern} == {"disc", "square", "bar"}


def test_an_index_that_does_not_fit_is_refused(tmp_path, plan):
    root, reading = write_folder(tmp_path / "real"), reading_of(plan)
    with pytest.raises(InputError, match="has no column 'day', expected one of file, class"):
        real_sources(RealParticles(root=root, fold="day"), reading)
    text = (root / "index.csv").read_text()
    (root / "index.csv").write_text(text.replace("disc_1.png,disc,", "disc_1.png,ball,"))
    with pytest.raises(InputError, match="class 'ball' is of no class"):
        real_sources(RealParticles(root=root), reading)
    assert len(real_sources(RealParticles(root=root, ignored=("ball",)), reading)) == 11
    (root / "index.csv").write_text(text)
    (root / "square_0.png").write_bytes(b"no picture")
    (root / "bar_1.png").unlink()
    with pytest.raises(InputError, match=r"2 of 12 .*square_0.png.*bar_1.png"):
        read_sources(real_sources(RealParticles(root=root), reading), reading)


def test_splits_keep_specimens_together(tmp_path):
    root = write_folder(tmp_path / "real", each=6)
    real = {"root": root, "specimen": "specimen", "held_out_share": 0.34}
    gathered = gather_particles(config(tmp_path, {"real": [real]}, {"name": "image"}))
    train, held_out = set(gathered.training.groups), set(gathered.held_out.groups)
    assert not train & held_out and len(train | held_out) == 9
    assert set(gathered.held_out.labels) == {0, 1, 2}
    with pytest.raises(InputError, match="'bar0' is both trained on and held out"):
        gather_particles(config(tmp_path, {"real": [{"root": root, "specimen": "specimen", "fold": "fold",
                                                      "excluded": ["1"]}]}, {"name": "image"}))  # fmt: skip


def test_a_picture_under_two_names_is_refused_on_both_sides(tmp_path):
    root = write_folder(tmp_path / "real")
    (root / "disc_1.png").write_bytes((root / "disc_0.png").read_bytes())
    with pytest.raises(InputError, match="1 pictures or samples are both trained on and held out, under two names"):
        gather_particles(config(tmp_path, {"real": [{"root": root, "fold": "fold", "held_out": ["1"]}]},
                                {"name": "image"}))  # fmt: skip


def test_folds_and_last_samples_are_left_out(tmp_path):
    root, path = write_folder(tmp_path / "real"), write_shard(tmp_path / "a.h5", 6)
    real = {"root": root, "fold": "fold", "excluded": ["1"]}
    data = {"real": [real], "synthetic": [{"path": path, "held_out": 1, "excluded": 2}], "real_fraction": 0.5}
    gathered = gather_particles(config(tmp_path, data, {"name": "image"}))
    assert gathered.training.real.sum() == 6 and (~gathered.training.real).sum() == 3 * 6
    assert gathered.held_out.identities == {sample(5).digest}


def test_few_specimens_are_of_every_class_and_part_of_more(tmp_path):
    root = write_folder(tmp_path / "real", each=8)
    limited = lambda n: {"root": root, "specimen": "specimen", "limit": n}
    train = lambda n: gather_particles(config(tmp_path, {"real": [limited(n)]}, {"name": "image"})).training
    three, six = train(3), train(6)
    assert set(three.labels) == {0, 1, 2} and set(three.groups) < set(six.groups) and len(set(six.groups)) == 6


def test_a_class_without_particles_is_refused(tmp_path):
    path = write_shard(tmp_path / "a.h5", 2, kinds=("disc", "bar"))
    with pytest.raises(InputError, match="nothing is left to train on of square"):
        gather_particles(config(tmp_path, {"synthetic": [{"path": path}]}))


def test_a_spectrum_network_without_spectra_is_refused(tmp_path):
    path = write_shard(tmp_path / "a.h5", 2, counts=None)
    with pytest.raises(InputError, match="no particle has a spectrum"):
        gather_particles(config(tmp_path, {"synthetic": [{"path": path}]}, {"name": "spectrum"}))


def test_bodies_are_what_they_are_called():
    assert body("disc").sum() < body("square").sum() and body("bar").sum() < body("disc").sum()
