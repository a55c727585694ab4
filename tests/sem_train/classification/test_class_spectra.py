"""What the page shows of X-rays: spectra added up by name, and element maps."""

import numpy as np
import pytest
from fake_particles import sample
from particle_fields import AXIS, spectrum_of

from blender_gen.sample import Header, SampleFile, write_samples
from sem_train.classification.class_spectra import class_spectra, read_xrays, stored_maps, together, write_xrays
from sem_train.classification.particle_records import ParticleRecord, ParticlesRecord
from sem_train.classification.particle_spectra import ParticleSpectra
from semforge.errors import InputError
from semforge.spectra import EnergyAxis

CLASSES = ("iron", "sand")


def record_of(*named):
    """A record of particles by their names and whether they were rejected."""
    particles = tuple(
        ParticleRecord(number=k, instance=k, x_px=0, y_px=0, cut=False, sizes={}, name=name, rejected=rejected)
        for k, (name, rejected) in enumerate(named, start=1)
    )
    return ParticlesRecord(name="a", source="a", sha256="", sample="a", width_px=9, height_px=9, unit="px",
                           pixel_size_um=None, separation="", particles=particles)  # fmt: skip


def found_in(axis=AXIS):
    rng = np.random.default_rng(0)
    iron, sand = spectrum_of({"Fe": 0.8, "O": 0.2}, axis=axis), spectrum_of({"Si": 0.7, "O": 0.3}, axis=axis)
    zero = np.where(axis.energies_kev < 0.1, 500.0, 0.0)
    counts = rng.poisson([iron, iron, sand, sand, zero, iron]).astype(float)
    spectra = ParticleSpectra(counts, axis, 15.0, None, ("x",) * 6)
    named = record_of(("iron", False), ("iron", False), ("sand", False), ("sand", True), ("sand", False), ("", False))
    return class_spectra(named, spectra, CLASSES), counts


def test_spectra_are_added_up_by_name():
    """What was rejected is by itself; what has no name, or a spectrum without counts, is in none."""
    found, counts = found_in()
    assert found.particles.tolist() == [2, 1, 1]
    assert np.array_equal(found.counts, [counts[0] + counts[1], counts[2], counts[3]])
    shown = found.shown(CLASSES)
    assert [one.name for one in shown] == ["iron", "sand", "rejected"]
    assert set(shown[0].elements) == {"Fe", "O"} and set(shown[1].elements) == {"Si", "O"}
    assert shown[0].note.startswith("sum of 2 particles") and shown[1].note.startswith("one particle")


def test_micrographs_are_added_up_where_they_were_taken_alike(tmp_path):
    found, _ = found_in()
    other, _ = found_in(EnergyAxis(2048, 5.0))
    assert together([found, other, found]).particles.tolist() == [4, 2, 2] and together([]) is None
    write_xrays(tmp_path / "a.npz", found, None)
    again, maps = read_xrays(tmp_path / "a.npz")
    assert maps is None and again.axis == AXIS and again.beam_kev == 15.0 and again.resolution_ev is None
    assert np.array_equal(again.counts, found.counts)
    (tmp_path / "a.npz").write_bytes(b"broken")
    with pytest.raises(InputError, match="predict again"):
        read_xrays(tmp_path / "a.npz")
    write_xrays(tmp_path / "a.npz", None, None)
    assert read_xrays(tmp_path / "a.npz") == (None, None)


def test_maps_that_show_something_are_kept(tmp_path):
    made = sample(0)
    rng = np.random.default_rng(0)
    noise = rng.poisson(40, (9, 48, 48)).astype(np.uint32)
    noise[4] += 60 * (made.instance[::2, ::2] == 2).astype(np.uint32)
    lines = [f"E{k} Kα" for k in range(10)]
    maps = np.concatenate([noise, np.zeros((1, 48, 48), np.uint32)])
    made.truth["edx"]["windows"] = [{"line": line} for line in lines]
    made.edx["element_maps"] = maps
    write_samples(tmp_path / "a.h5", [made], Header("family: particles\n", "hash", 1, ("tape", "p"), {}, "cpu"))
    with SampleFile(tmp_path / "a.h5") as file:
        found = stored_maps(file, 0)
    assert len(found.maps) == 8 and "E4 Kα" in found.maps and "E9 Kα" not in found.maps
    assert found.pixel_size_um == pytest.approx(1.0) and found.note.startswith("2 more")
    write_xrays(tmp_path / "a.npz", None, found)
    _, again = read_xrays(tmp_path / "a.npz")
    assert np.allclose(again.maps["E4 Kα"], maps[4]) and again.pixel_size_um == found.pixel_size_um


def test_samples_without_maps_have_none(tmp_path):
    write_samples(tmp_path / "a.h5", [sample(0)], Header("family: particles\n", "hash", 1, ("tape", "p"), {}, "cpu"))
    with SampleFile(tmp_path / "a.h5") as file:
        assert stored_maps(file, 0) is None
