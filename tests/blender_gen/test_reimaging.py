"""What a sample keeps for new micrographs, and the micrographs that are taken of it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from targets import BARE, NAMES, balls_on, hemispheres, passes_of, target_of

from blender_gen.imaging import make_target
from blender_gen.pipeline import make_header, make_sample
from blender_gen.recipe import load_recipe, recipe_hash
from blender_gen.reimaging import Microscope, packed, unpacked
from blender_gen.sample import Sample, SampleFile, verify_samples, write_samples
from semforge.errors import InputError

RECIPES = Path(__file__).parents[2] / "configs/recipes"
KEEP = "imaging.keep_passes=true"
SMALL = ("frame.width_px=96", "frame.height_px=80", "frame.pixel_size_um=1.1", "imaging.images_per_specimen=2")
BOTH = ("imaging.detector=[{kind: bse, beam_kev: 15, beam_current_na: 1, dwell_us: 10, collection: 0.2, probe_um: 0.1},"
        " {kind: se, beam_kev: 5, beam_current_na: 1, dwell_us: 10, collection: 0.2, probe_um: 0.1}]")  # fmt: skip


def recipe(*overrides, name="slurry_coating"):
    return load_recipe(RECIPES / f"{name}.yaml", overrides)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    made = recipe(*SMALL, KEEP, BOTH)
    path = tmp_path_factory.mktemp("kept") / "s.h5"
    write_samples(path, [make_sample(made, index, seed=4) for index in range(2)], make_header(made, 4))
    return path


def test_importing_it_does_not_load_blender():
    code = "import sys, blender_gen.reimaging; sys.exit('bpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_geometry_comes_back_within_the_precision_it_is_kept_with():
    passes = balls_on((4.0, 2.0))
    shade = np.linspace(0.5, 2, passes.phase.size, dtype=np.float32).reshape(passes.phase.shape)
    texture = np.full(passes.phase.shape, 1.2)
    back, factor = unpacked(packed(replace(passes, shade=shade), texture, recipe()), passes.phase, passes.instance)
    np.testing.assert_array_equal(back.height_um, passes.height_um)
    np.testing.assert_array_equal(back.wall, passes.wall)
    np.testing.assert_allclose(back.normal[..., :2], passes.normal[..., :2], atol=1 / 65534)
    np.testing.assert_allclose(np.linalg.norm(back.normal, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(factor, 1.2 * shade, rtol=2**-11)


def test_ways_through_the_specimen_are_kept_for_transmission_only():
    passes = passes_of(np.zeros((4, 5)), path_um={3: np.full((4, 5), 0.0123, np.float32)})
    tem = recipe(name="nanoparticles_tem")
    back, _ = unpacked(packed(passes, np.ones((4, 5)), tem), passes.phase, passes.instance)
    assert sorted(back.path_um) == [0, 3]
    np.testing.assert_allclose(back.path_um[3], 0.0123, rtol=2**-11)
    nothing = packed(passes_of(np.zeros((4, 5))), np.ones((4, 5)), tem)
    assert nothing["path_um"].shape == (len(tem.phase_materials), 4, 5)
    assert "path_um" not in packed(passes, np.ones((4, 5)), recipe())


def test_a_kept_specimen_is_the_target_that_was_rendered():
    height, normal, _, inside = hemispheres((4.0,), sign=-1)
    passes, texture = passes_of(2 * inside, height_um=height, normal=normal), np.full((160, 160), 1.1, np.float32)
    back, factor = unpacked(packed(passes, texture, recipe()), passes.phase, passes.instance)
    whole = target_of(passes, pixel_um=0.1, texture=1.1)
    again = make_target(back, NAMES, factor, 0.1, BARE, np.random.default_rng(0))
    np.testing.assert_array_equal(again.seen, whole.seen)
    for name, tolerance in (("sky", 1e-3), ("quadrants", 1e-3), ("normal", 1e-2), ("texture", 1e-3)):
        np.testing.assert_allclose(getattr(again, name), getattr(whole, name), atol=tolerance)


def test_new_micrographs_show_the_same_specimen_under_new_conditions(kept):
    file, microscope = SampleFile(kept), Microscope(SampleFile(kept))
    one, same, other = (microscope.take(0, 0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.image, same.image)
    assert one.record == same.record and one.record["beam_current_na"] == file.imaging(0)[0]["beam_current_na"]
    assert one.image.shape == file.shape and one.image.dtype == file.image(0).dtype
    assert one.record["boundary_contrast"] != other.record["boundary_contrast"]
    assert not np.array_equal(one.image, other.image)
    resin, coat = (file.phase(0) == file.header.phase_names.index(name) for name in ("resin", "Fe2Al5"))
    for micrograph in (one, other):
        assert micrograph.image[coat].mean() > micrograph.image[resin].mean() + 20


def test_each_picture_is_taken_by_its_own_detector(kept):
    file, microscope = SampleFile(kept), Microscope(SampleFile(kept))
    stored = [(record["kind"], record["beam_kev"]) for record in file.imaging(1)]
    records = [microscope.take(1, k, np.random.default_rng(5)).record for k in range(file.images_per_sample)]
    assert [(record["kind"], record["beam_kev"]) for record in records] == stored
    assert {kind for kind, _ in stored} == {"bse", "se"}


def test_what_is_kept_is_part_of_the_digest_and_verified(kept, tmp_path):
    file, bad = verify_samples(kept)
    assert not bad and set(file.pass_names) == {"height_um", "normal", "texture", "wall"}
    plain = make_sample(recipe(*SMALL, BOTH), 0, seed=4)
    sample = file.sample(0)
    np.testing.assert_array_equal(sample.image, plain.image)
    assert (sample.digest != plain.digest) and replace(sample, passes={}).digest == plain.digest
    assert sample.nbytes > plain.nbytes
    spoilt = tmp_path / "spoilt.h5"
    spoilt.write_bytes(kept.read_bytes())
    with h5py.File(spoilt, "r+") as h5:
        h5["passes/wall"][1, 0, 0] += 1
    assert verify_samples(spoilt)[1] == [1]


def test_digests_and_hashes_of_what_keeps_nothing_are_those_of_earlier_versions():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    sample = Sample(3, pixels[None], pixels, pixels.astype(np.uint32), 0.5, {"a": 1.5}, [{"k": 2}])
    assert sample.digest == "6052922850843153f2e37aa9c66024f9e612a2ba5e7a5796538e51ed74f5fe00"
    hashes = [recipe_hash(recipe(*change)) for change in ((), ("imaging.keep_passes=false",), (KEEP,))]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_file_that_keeps_nothing_says_how_to_render_it(tmp_path):
    pixels = np.zeros((3, 4), np.uint8)
    sample = Sample(0, pixels[None], pixels, pixels.astype(np.uint32), 0.5, {}, [{}])
    write_samples(tmp_path / "s.h5", [sample], make_header(recipe(), 0))
    with pytest.raises(InputError, match=r"s\.h5: keeps no passes.*render it with imaging\.keep_passes=true"):
        Microscope(SampleFile(tmp_path / "s.h5"))


def test_samples_that_keep_different_things_are_no_shard(tmp_path):
    pixels = np.zeros((3, 4), np.uint8)
    one = Sample(0, pixels[None], pixels, pixels.astype(np.uint32), 0.5, {}, [{}])
    with pytest.raises(ValueError, match="one shape and one dtype"):
        write_samples(
            tmp_path / "s.h5", [one, replace(one, index=1, passes={"wall": pixels})], make_header(recipe(), 0)
        )
