"""Natural compositions, and libraries of spectra drawn from them."""

import itertools
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from blender_gen.__main__ import app
from blender_gen.edx import Conditions, Detector, phase_spectrum
from blender_gen.edx.library import LibrarySettings, draw_conditions, make_library, measured
from blender_gen.edx.minerals import minerals, molar_mass, specimen
from blender_gen.phases import materials
from semforge.errors import InputError
from semforge.settings import load_settings
from semforge.spectra import EnergyAxis, read_library, read_spectrum

FIGURE = {
    "albite", "apatite", "augite", "biotite", "chlorite", "enstatite", "hornblende", "illite", "kaolinite",
    "labradorite", "microcline", "montmorillonite", "oligoclase", "palygorskite", "pigeonite", "Mg_spinel", "titanite",
    "vermiculite",
}  # fmt: skip
CHARGES = {
    "H": (1,), "C": (4,), "O": (-2,), "F": (-1,), "Na": (1,), "Mg": (2,), "Al": (3,), "Si": (4,), "P": (5,), "S": (6,),
    "Cl": (-1,), "K": (1,), "Ca": (2,), "Ti": (4,), "Cr": (3,), "Mn": (2,), "Fe": (2, 3), "Sr": (2,), "Ba": (2,),
}  # fmt: skip
SULFIDES = {"FeS2", "NiS2"}
SETTINGS = LibrarySettings(phases=("albite", "quartz"), variants=3, channels=1024)


def atoms(formula):
    return {e: float(n or 1) for e, n in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", formula)}


def test_all_minerals_are_materials():
    assert set(minerals()) >= FIGURE
    assert set(minerals()) <= set(materials())


@pytest.mark.parametrize("name", minerals())
def test_end_members_are_neutral(name):
    for formula, low, high in minerals()[name].ends:
        if formula in SULFIDES:
            continue
        counts = atoms(formula)
        charges = [
            sum(counts[e] * q for e, q in zip(counts, states, strict=True))
            for states in itertools.product(*(CHARGES[e] for e in counts))
        ]
        # 0.02: formulas of clays are written with two digits
        assert min(abs(q) for q in charges) <= 0.02, f"{formula}: {charges}"
        assert 0 <= low <= high


@pytest.mark.parametrize("name", minerals())
def test_the_material_lies_in_its_mineral(name):
    """What recipes take for a mineral is what libraries vary: no element differs by more than a few weight per cent."""
    nominal, middle = (dict(m.mass_fractions) for m in (materials()[name], minerals()[name].middle()))
    for element in nominal.keys() | middle.keys():
        assert nominal.get(element, 0) == pytest.approx(middle.get(element, 0), abs=0.035)


def test_a_mixture_of_end_members_is_their_sum():
    albite = minerals()["albite"].mixed([0.8, 0.2, 0.0])
    expected = {
        "Na": 0.8 * 22.990,
        "Al": (0.8 + 0.4) * 26.982,
        "Si": (2.4 + 0.4) * 28.085,
        "O": 8 * 15.999,
        "Ca": 0.2 * 40.078,
    }
    total = sum(expected.values())
    found = dict(albite.mass_fractions)
    assert {e: found[e] for e in expected} == pytest.approx({e: m / total for e, m in expected.items()}, rel=1e-4)
    assert sum(found.values()) == pytest.approx(1)


def test_molar_mass():
    assert molar_mass("SiO2") == pytest.approx(60.083, abs=0.01)
    assert molar_mass("Na0.33Al1.67Mg0.33Si4O12H2") == pytest.approx(
        sum(n * {"Na": 22.99, "Al": 26.98, "Mg": 24.305, "Si": 28.085, "O": 15.999, "H": 1.008}[e]
            for e, n in atoms("Na0.33Al1.67Mg0.33Si4O12H2").items()), rel=1e-3)  # fmt: skip


def test_grains_differ_within_their_solid_solution():
    rng = np.random.default_rng(0)
    drawn = [dict(specimen("oligoclase", rng).mass_fractions) for _ in range(50)]
    calcium = [d["Ca"] for d in drawn]
    assert max(calcium) > 1.5 * min(calcium)
    assert all(0.013 < c < 0.047 for c in calcium)  # An10 to An30, a little potassium beside
    assert specimen("epoxy", rng) == materials()["epoxy"]


def test_conditions_come_from_their_ranges():
    settings = LibrarySettings(
        tilt_deg={"uniform": {"low": -75, "high": 60}}, coats=[{"material": "carbon", "nm": 20}, {}],
        beam_kev={"uniform": {"low": 10, "high": 20}}, gain_error=0.002, offset_error_ev=-5, channels=1000,
    )  # fmt: skip
    drawn = [draw_conditions(settings, np.random.default_rng(i)) for i in range(40)]
    assert all(10 <= c.beam_kev < 20 and c.take_off_deg + c.tilt_deg >= 8 for c in drawn)
    assert {(c.coat, c.coat_nm) for c in drawn} == {("carbon", 20.0), (None, 0.0)}
    assert drawn[0].axis == EnergyAxis(1000, 10 * 0.998, 5.0)


def test_a_detector_that_is_off_writes_peaks_off():
    settings = SETTINGS.model_copy(update={"phases": ("quartz",)})
    off = LibrarySettings(phases=("quartz",), variants=1, channels=1024, offset_error_ev=30, background=0)
    true = LibrarySettings(phases=("quartz",), variants=1, channels=1024, background=0)
    window = settings.axis.channels_between(1.5, 2.0)

    def silicon_kev(made):
        return np.average(made.axis.energies_kev[window], weights=make_library(made, 0).spectra[0, 0, window])

    assert silicon_kev(off) - silicon_kev(true) == pytest.approx(0.030, abs=0.001)


def test_libraries_repeat_and_differ_by_seed():
    one, again, other = (make_library(SETTINGS, seed) for seed in (0, 0, 1))
    assert np.array_equal(one.spectra, again.spectra) and one.conditions == again.conditions
    assert not np.array_equal(one.spectra, other.spectra)
    assert one.spectra.shape == (2, 3, 1024)
    assert not np.array_equal(one.of("albite")[0], one.of("albite")[1])  # another grain


def test_a_library_of_one_condition_is_the_phase():
    made = make_library(LibrarySettings(phases=("epoxy",), variants=1, channels=1024), 0)
    conditions = Conditions(
        beam_kev=15.0, axis=made.axis, take_off_deg=36.0, background=1.6, detector=Detector(window="silicon_nitride")
    )
    assert made.of("epoxy")[0] == pytest.approx(phase_spectrum(materials()["epoxy"], conditions), rel=1e-5)


def test_neighbours_take_part():
    alone = make_library(LibrarySettings(phases=("quartz", "halite"), variants=1, channels=1024), 0)
    settings = LibrarySettings(
        phases=("quartz", "halite"), variants=1, channels=1024, neighbour_chance=1, neighbour_share=0.1
    )
    mixed = make_library(settings, 0)
    chlorine = alone.axis.channels_between(2.5, 2.75)
    share = mixed.of("quartz")[0, chlorine].sum() / alone.of("halite")[0, chlorine].sum()
    assert share == pytest.approx(0.1, abs=0.03)


def test_measured_spectra_are_counts_of_the_expected_number():
    library = make_library(SETTINGS, 0)
    for (name, spectrum), expected in zip(measured(library, 2.0, 0), library.spectra.reshape(6, -1), strict=True):
        assert spectrum.counts.dtype.kind in "iu" and spectrum.live_s == 2.0
        assert spectrum.counts.sum() == pytest.approx(expected.sum() * 2.0, rel=0.02)
        assert name.split("_")[0] in ("albite", "quartz")


def test_the_command_writes_a_library_and_single_spectra(tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("phases: [quartz]\nvariants: 2\nchannels: 512\nchannel_ev: 20\n")
    run = CliRunner()
    assert run.invoke(app, ["spectra", str(settings), "--out", str(tmp_path / "a.h5")]).exit_code == 0
    library = read_library(tmp_path / "a.h5")
    assert library.names == ("quartz",) and library.axis == EnergyAxis(512, 20.0)
    assert len(library.conditions) == 2 and library.conditions[0]["beam_kev"] == 15.0
    result = run.invoke(app, ["spectra", str(settings), "--out", str(tmp_path / "files"), "--live-s", "5"])
    assert result.exit_code == 0
    spectrum = read_spectrum(tmp_path / "files" / "quartz_0001.msa")
    assert spectrum.axis == library.axis and spectrum.live_s == 5 and spectrum.beam_kev == 15


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phases: [quarz]", "phase 'quarz' is not known; did you mean quartz"),
        ("beam_kev: 90", "beam_kev"),
        ("tilt_degrees: 3", "unknown key; did you mean 'tilt_deg'"),
        ("coats: [{material: jam, nm: 3}]", "coat: found 'jam'"),
        ("windows: [glass]", "windows"),
        ("background: {uniform: {low: 2, high: 1}}", "low 2"),
    ],
)
def test_bad_settings_are_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "settings.yaml"
    path.write_text(f"variants: 1\n{text}\n")
    with pytest.raises(InputError) as refused:
        make_library(load_settings(path, LibrarySettings), 0)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_library_without_a_suffix_is_refused(tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("phases: [quartz]\nvariants: 1\n")
    result = CliRunner().invoke(app, ["spectra", str(settings), "--out", str(tmp_path / "folder")])
    assert isinstance(result.exception, InputError) and "expected a file .h5" in str(result.exception)
