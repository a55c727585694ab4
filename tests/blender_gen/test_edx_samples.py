"""Spectra from recipe to sample, file and export."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from particle_recipes import values
from PIL import Image
from typer.testing import CliRunner

from blender_gen.__main__ import app
from blender_gen.device import Device
from blender_gen.edx import Conditions, Detector, phase_spectrum
from blender_gen.phases import materials
from blender_gen.pipeline import make_header, make_sample
from blender_gen.preview import draw_preview, spectra_of_phases
from blender_gen.recipe import load_recipe, parse_recipe, recipe_hash, recipe_text
from blender_gen.sample import verify_samples, write_samples
from semforge.errors import InputError
from semforge.spectra import EnergyAxis, open_spectrum_image, read_spectrum

RECIPES = Path(__file__).parents[2] / "configs" / "recipes"
ONE = Device(threads=1)
EVERYTHING = {
    "beam_kev": 15, "counts": 4000, "pixel_counts": 30, "channels": 256, "channel_ev": 40, "binning": 4,
    "particles_max": 12, "store": ["particles", "image", "maps", "shares"],
}  # fmt: skip


def deposit(edx=None, **changes):
    made = {**values(ecd={"median_um": 2.5, "sigma_g": 1.2}), **({"edx": edx} if edx else {}), **changes}
    return parse_recipe(json.dumps(made), "test.yaml")


@pytest.fixture(scope="module")
def sample():
    return make_sample(deposit(EVERYTHING), 0, 3, ONE)


def test_recipes_without_spectra_have_the_hashes_of_earlier_versions():
    known = {
        "slurry_coating": "12de64ccd6878edb2312ffa5ab38c770eed3f2409d7223de27f9a77bde993dac",
        "mudrock": "3a45ba02530c869c1fffaf46e180f98c5a3dc1b58f26ebce0bd3eb7688064c4f",
        "urban_dust": "76116ae888542b8c0f3b2d1e4c2cf4b0ad9b96f10aa0a2f9bbfbac641c51a8f7",
    }
    for name, hashed in known.items():
        recipe = load_recipe(RECIPES / f"{name}.yaml")
        assert recipe_hash(recipe) == hashed and "edx" not in recipe_text(recipe)
        assert recipe_hash(load_recipe(RECIPES / f"{name}.yaml", ["edx.counts=3000"])) != hashed


def test_spectra_leave_everything_else_of_a_sample_as_it_was(sample):
    plain = make_sample(deposit(), 0, 3, ONE)
    bare = replace(sample, edx={}, truth={k: v for k, v in sample.truth.items() if k != "edx"})
    assert plain.edx == {} and "edx" not in plain.truth
    assert bare.digest == plain.digest != sample.digest
    changed = replace(sample, edx={**sample.edx, "element_maps": sample.edx["element_maps"] + 1})
    assert changed.digest != sample.digest
    assert make_sample(deposit(EVERYTHING), 0, 3, ONE).digest == sample.digest
    assert sample.nbytes == plain.nbytes + sum(array.nbytes for array in sample.edx.values())


def test_what_is_stored_fits_together(sample):
    edx, said = sample.edx, sample.truth["edx"]
    parts = [part["name"] for part in said["parts"]]
    assert parts == ["plate", "grain", "resin"]
    assert edx["spectrum_image"].shape == (40, 50, 256) and edx["spectrum_image"].dtype == np.uint16
    assert edx["element_maps"].shape == (len(said["elements"]), 40, 50) and said["elements"] == ["C", "O", "Si", "Cl"]
    assert edx["shares"].shape == (3, 40, 50) and edx["shares"].dtype == np.uint8
    np.testing.assert_allclose(edx["shares"].sum(axis=0, dtype=int), 255, atol=2)
    # maps are windows of the image, and the image has the counts that were asked for
    axis = EnergyAxis(**said["axis"])
    for number, window in enumerate(said["windows"]):
        inside = axis.channels_between(window["low_kev"], window["high_kev"])
        np.testing.assert_array_equal(edx["element_maps"][number], edx["spectrum_image"][..., inside].sum(axis=-1))
    pixels = 40 * 50
    assert abs(edx["spectrum_image"].sum() - 30 * pixels) < 5.5 * np.sqrt(30 * pixels)
    numbers, seen = np.unique(sample.instance[sample.instance > 0], return_counts=True)
    stored = edx["particle_instance"]
    assert set(stored) <= {0, *numbers} and len(stored) == 12
    sizes = [int(seen[numbers == number][0]) for number in stored if number]
    assert sizes == sorted(seen, reverse=True)[: len(sizes)] and len(sizes) == min(12, len(numbers))
    given = stored > 0
    totals = edx["particle_spectra"].sum(axis=1, dtype=float)
    assert not totals[~given].any()
    assert np.all(np.abs(totals[given] - 4000) < 5.5 * np.sqrt(4000))
    assert edx["particle_shares"][given, 1].min() > 0.2


def test_a_particles_spectrum_is_that_of_its_shares_within_poisson(sample):
    said, edx = sample.truth["edx"], sample.edx
    conditions = Conditions(beam_kev=15, axis=EnergyAxis(**said["axis"]), take_off_deg=said["take_off_deg"],
                            detector=Detector(resolution_ev=130))  # fmt: skip
    spectra = np.stack([phase_spectrum(materials()[part["material"]], conditions) for part in said["parts"]])
    for number, counts, shares, na_s in zip(
        edx["particle_instance"], edx["particle_spectra"], edx["particle_shares"], edx["particle_na_s"], strict=True
    ):
        if not number:
            continue
        free = na_s * shares.astype(float) @ spectra  # without what other particles shadow
        high = slice(45, None)  # from 1.8 keV on: shadows are thin for these
        assert counts[high].sum() < free[high].sum() + 6 * np.sqrt(free[high].sum())
        assert counts[high].sum() > 0.7 * free[high].sum()


def test_a_live_time_gives_more_counts_to_what_is_brighter():
    live = {"live_s": 2.0, "current_na": 0.5, "channels": 256, "channel_ev": 40}
    quartz, iron = (
        make_sample(deposit(live, **{"populations": values(material=m, ecd={"median_um": 6}, number=3)["populations"]}),
                    0, 3, ONE) for m in ("quartz", "Fe")
    )  # fmt: skip
    np.testing.assert_array_equal(quartz.edx["particle_na_s"][quartz.edx["particle_instance"] > 0], 1.0)
    assert set(quartz.edx) == {"particle_spectra", "particle_instance", "particle_shares", "particle_na_s"}
    assert quartz.edx["particle_spectra"][0].sum() != iron.edx["particle_spectra"][0].sum()


def test_particles_wear_a_coat_and_show_its_line():
    axis = EnergyAxis(256, 40.0)
    gold = axis.channels_between(2.08, 2.2)  # Au Mα, beside no line of silicon and oxygen
    seen = {}
    for coat in ("none", "carbon", "Au"):
        made = make_sample(deposit({"live_s": 5.0, "channels": 256, "channel_ev": 40, "coat": coat}), 0, 3, ONE)
        seen[coat] = made.edx["particle_spectra"].sum(axis=0, dtype=float)
    carbon = axis.channels_between(0.2, 0.36)
    assert seen["carbon"][carbon].sum() > 3 * seen["none"][carbon].sum()
    assert seen["Au"][gold].sum() > 2 * seen["none"][gold].sum()
    silicon = axis.channels_between(1.64, 1.84)
    assert 0.9 * seen["none"][silicon].sum() < seen["Au"][silicon].sum() < seen["none"][silicon].sum()


def test_a_coat_on_a_film_in_transmission_is_refused():
    film = {"name": "film", "kind": "film", "material": "carbon"}
    with pytest.raises(InputError, match=r"edx\.coat: found Au on a substrate that is a film"):
        deposit({"counts": 500, "coat": "Au"}, substrate=film)
    deposit({"counts": 500}, substrate=film)


@pytest.mark.parametrize("family", ["slurry_coating", "mudrock"])
def test_sections_have_spectra_too(family):
    small = ["frame.width_px=96", "frame.height_px=96", "edx.counts=50", "edx.store=[image, shares, particles]",
             "edx.pixel_counts=20", "edx.binning=2", "edx.channels=512", "edx.channel_ev=20"]  # fmt: skip
    if family == "slurry_coating":
        small += ["frame.pixel_size_um=2"]
    made = make_sample(load_recipe(RECIPES / f"{family}.yaml", small), 0, 0, ONE)
    assert made.edx["spectrum_image"].shape == (48, 48, 512)
    parts = [part["name"] for part in made.truth["edx"]["parts"]]
    largest = np.bincount(made.phase.ravel()).argmax()
    here = (made.phase == largest).reshape(48, 2, 48, 2).all(axis=(1, 3))
    assert made.edx["shares"][parts.index(parts[largest])][here].mean() > 180


def test_solid_solutions_differ_between_specimens_and_stay_minerals():
    edx = {"counts": 100, "channels": 256, "channel_ev": 40, "solid_solutions": True}
    recipe = deposit(edx, populations=values(material="microcline", number=3)["populations"])
    found = [make_sample(recipe, index, 0, ONE).truth["edx"]["parts"][1]["mass_fractions"] for index in range(3)]
    assert len({one["K"] for one in found}) == 3
    assert all(0.08 < one["K"] < 0.14 and sum(one.values()) == pytest.approx(1) for one in found)


@pytest.mark.parametrize(
    ("edx", "words"),
    [
        ({"beam_kev": 15}, ["edx", "exactly one of live_s and counts"]),
        ({"counts": 10, "live_s": 1}, ["edx", "exactly one of live_s and counts"]),
        ({"counts": 10, "store": ["particles", "image"]}, ["pixel_counts"]),
        ({"counts": 10, "store": ["pictures"]}, ["edx.store"]),
        ({"counts": 1e5, "store": ["image"]}, ["60000"]),
        ({"counts": 10, "chanels": 5}, ["chanels", "did you mean 'channels'"]),
        ({"counts": 10, "channels": 64}, ["64 channels of 10 eV end at 0.64 keV"]),
        ({"counts": 10, "beam_kev": 1}, ["edx: phase 'grain': Ag: none of its elements", "1 keV"]),
        ({"counts": 10, "elements": ["Si", "H"], "store": ["maps"]}, ["edx: elements: H has no line below 15 keV"]),
        ({"counts": 10, "beam_kev": {"uniform": {"low": 1, "high": 15}}}, ["edx: phase 'grain'"]),
        ({"live_s": 1000, "store": ["image"]}, ["edx: live_s: 1000 nA s can give", "6e+04 at most", "give counts"]),
        ({"live_s": 1e6, "current_na": 1000}, ["edx: live_s: 1e+09 nA s", "2.15e+09 at most"]),
    ],
    ids=lambda value: "" if isinstance(value, list) else ",".join(map(str, value)),
)
def test_bad_settings_are_refused_in_one_line(edx, words):
    with pytest.raises(InputError) as caught:
        deposit(edx, populations=values(material="Ag")["populations"])
    message = str(caught.value)
    assert message.startswith("test.yaml: ") and "\n" not in message
    assert all(word in message for word in words), message


@pytest.fixture(scope="module")
def stored(sample, tmp_path_factory):
    path = tmp_path_factory.mktemp("edx") / "samples_000000-000001.h5"
    recipe = deposit(EVERYTHING)
    write_samples(path, [sample, make_sample(recipe, 1, 3, ONE)], make_header(recipe, 3, ONE))
    return path


def test_files_keep_spectra_and_notice_when_they_change(sample, stored, tmp_path):
    file, bad = verify_samples(stored)
    with file:
        assert not bad and set(file.edx_names) == set(sample.edx)
        for name, array in file.edx(0).items():
            np.testing.assert_array_equal(array, sample.edx[name])
            assert array.dtype == sample.edx[name].dtype
        assert set(file.edx(1, "shares")) == {"shares"}
        with pytest.raises(InputError, match="edx/nothing"):
            file.edx(0, "nothing")
    spoilt = tmp_path / stored.name
    spoilt.write_bytes(stored.read_bytes())
    with h5py.File(spoilt, "r+") as h5:
        h5["edx/particle_spectra"][1, 0, 20] += 1
    assert verify_samples(spoilt)[1] == [1]


def test_exports_say_how_they_were_taken_and_lose_no_count(sample, stored, tmp_path):
    scene, folder = tmp_path / "scene.hspy", tmp_path / "particles"
    for out in (scene, folder):
        result = CliRunner().invoke(app, ["export-edx", str(stored), "--index", "0", "--out", str(out)])
        assert result.exit_code == 0, result.output
    with open_spectrum_image(scene) as image:
        np.testing.assert_array_equal(image.counts[...], sample.edx["spectrum_image"])
        assert image.axis == EnergyAxis(256, 40.0) and image.beam_kev == 15 and image.take_off_deg == 40
        assert image.pixel_size_um == pytest.approx(4 * sample.pixel_size_um) and image.elements[-1] == "Cl"
    given = sample.edx["particle_instance"] > 0
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(f"{number:05d}_grain.msa" for number in sample.edx["particle_instance"][given])
    number = int(sample.edx["particle_instance"][0])
    spectrum = read_spectrum(folder / f"{number:05d}_grain.msa")
    np.testing.assert_array_equal(spectrum.counts, sample.edx["particle_spectra"][0])
    assert spectrum.live_s == pytest.approx(float(sample.edx["particle_na_s"][0])) and spectrum.beam_kev == 15


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--index", "7"], ["holds no sample 7"]), (["--index", "0", "--out", "x.txt"], [".hspy", "folder"])],
)
def test_exports_refuse_what_is_not_there(stored, arguments, words):
    result = CliRunner().invoke(app, ["export-edx", str(stored), "--out", "y.hspy", *arguments])
    assert result.exit_code != 0 and all(word in str(result.exception) for word in words)


def test_a_preview_shows_the_spectra_of_the_phases(sample, tmp_path):
    (grain,) = spectra_of_phases(replace(sample, edx={k: v for k, v in sample.edx.items() if k != "spectrum_image"}))
    assert grain == 1
    by_pixel = spectra_of_phases(sample)
    assert set(by_pixel) == {0, 1} and by_pixel[1][43] > 4 * by_pixel[1][60]  # Si at 1.74 keV above the background
    pictures = {}
    for name, one in (("with", sample), ("without", replace(sample, edx={}))):
        draw_preview([one], ("plate", "grain"), tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as picture:
            pictures[name] = picture.size
    assert pictures["with"][0] > pictures["without"][0] + 500 and pictures["with"][1] == pictures["without"][1]


def test_pictures_that_are_too_small_or_too_large_are_refused():
    small = {**values()["frame"], "width_px": 60, "height_px": 60}
    with pytest.raises(InputError, match="edx: binning 64 leaves nothing of a frame of 60 x 60 pixels"):
        deposit({"counts": 10, "binning": 64}, frame=small, populations=values(number=1)["populations"])
    large = {**values()["frame"], "width_px": 4096, "height_px": 4096}
    with pytest.raises(InputError, match=r"4096 x 4096 x 1024 takes 32\.0 GiB, 4 at most; raise binning"):
        deposit({"counts": 10, "store": ["maps"]}, frame=large)
    assert deposit({"counts": 10, "binning": 4, "store": ["image"]}, frame=large).edx.binning == 4
