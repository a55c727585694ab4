"""Net intensities of lines, and what decided."""

import numpy as np
import pytest
import torch
from particle_fields import AXIS, spectrum_of
from torch import nn

from blender_gen.edx.conditions import Conditions
from blender_gen.edx.spectrum import phase_spectrum
from blender_gen.phases import materials
from sem_train.classification.composition import background, intensities
from sem_train.classification.explain import deciding_lines, grad_cam, shares_of_parts
from sem_train.classification.field import volume


def shares(counts, **options):
    return {e.element: e.share for e in intensities(counts, AXIS, 15.0, **options) if e.detected}


def test_shares_are_those_of_the_lines():
    rng = np.random.default_rng(0)
    found = shares(rng.poisson(spectrum_of({"Si": 0.5, "Al": 0.2, "Fe": 0.3}, 50000)))
    assert set(found) == {"Si", "Al", "Fe"}
    assert found == pytest.approx({"Si": 0.5, "Al": 0.2, "Fe": 0.3}, abs=0.02)


def test_net_counts_have_the_uncertainty_of_counting():
    rng = np.random.default_rng(1)
    expected = spectrum_of({"Si": 0.6, "Ca": 0.4}, 4000)
    drawn = [{e.element: e for e in intensities(rng.poisson(expected), AXIS, 15.0)} for _ in range(60)]
    for element in ("Si", "Ca"):
        spread = np.std([d[element].net for d in drawn])
        assert 0.6 < spread / np.mean([d[element].standard for d in drawn]) < 1.4


def test_iron_is_no_fluorine_and_lead_no_sulphur():
    assert "F" not in shares(np.random.default_rng(2).poisson(spectrum_of({"Fe": 0.7, "O": 0.3}, 100000)))
    assert "Pb" not in shares(np.random.default_rng(3).poisson(spectrum_of({"S": 0.5, "Ca": 0.5}, 20000)))


@pytest.mark.parametrize(
    ("material", "elements"),
    [("Fe", "Fe"), ("Fe3Al", "Fe Al"), ("Fe2O3", "Fe O"), ("ZnO", "Zn O"), ("TiO2", "Ti O"), ("calcite", "Ca C O")],
)
def test_what_absorption_leaves_of_soft_l_lines_is_no_other_element(material, elements):
    """L lines as a metal lets them out, which no fixed ratios describe."""
    expected = phase_spectrum(materials()[material], Conditions(beam_kev=15.0, axis=AXIS))
    found = shares(np.random.default_rng(5).poisson(expected * 200000 / expected.sum()))
    assert set(found) == set(elements.split())


def test_background_alone_has_no_elements():
    rng = np.random.default_rng(4)
    found = [shares(rng.poisson(spectrum_of({}, 20000))) for _ in range(20)]
    assert sum(bool(f) for f in found) <= 2


def test_nothing_is_said_of_an_empty_spectrum():
    assert intensities(np.zeros(AXIS.channels), AXIS) == ()
    assert deciding_lines(np.zeros(AXIS.channels), AXIS, 0, lambda c: np.zeros((len(c), 2))) == ()


def test_background_lies_below_peaks_and_on_what_has_none():
    counts = spectrum_of({"Ca": 0.5}, 20000, background=1.0)
    floor, plain = background(counts, AXIS), spectrum_of({}, 20000, background=1.0)
    without = slice(600, 900)
    assert floor[without] == pytest.approx(plain[without], rel=0.15, abs=0.3)
    assert floor[365:373].max() < 0.2 * counts[365:373].max()  # of Ca Kα


def test_the_line_that_decides_comes_first():
    counts = spectrum_of({"Si": 0.5, "Fe": 0.3, "Ca": 0.2}, 30000)
    iron = slice(AXIS.channel_of(6.2), AXIS.channel_of(6.6))

    def logits(spectra):
        evidence = spectra[:, iron].sum(axis=1) / 1000
        return np.stack([np.zeros(len(spectra)), evidence, np.zeros(len(spectra))], axis=1)

    parts = deciding_lines(counts, AXIS, 1, logits, 15.0)
    assert parts[0].name == "Fe Kα" and parts[0].low_kev < 6.4 < parts[0].high_kev
    assert parts[0].part == pytest.approx(0.3 * 30000 * 0.88 / 1000, rel=0.1)  # 88 % of iron's K photons are Kα
    named = shares_of_parts(parts)
    assert named[0][0] == "Fe Kα" and named[0][1] > 0.95
    assert deciding_lines(counts, AXIS, 0, logits, 15.0)[-1].name == "Fe Kα"  # speaks against the others


def test_lines_that_no_detector_separates_go_together():
    counts = spectrum_of({"S": 0.6, "Si": 0.4}, 50000) + spectrum_of({}, 1)
    mixed = counts + np.roll(counts, 0)
    parts = deciding_lines(mixed, AXIS, 0, lambda c: c[:, [231, 600]], 15.0)
    windows = [(p.low_kev, p.high_kev) for p in parts]
    for i, (low, high) in enumerate(windows):
        assert all(high <= other[0] or low >= other[1] for j, other in enumerate(windows) if j != i)


class Corner(nn.Module):
    """Class 1 is brightness at the top left, class 0 at the bottom right."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(1, 2, 1, bias=False)
        with torch.no_grad():
            self.maps.weight[:] = torch.tensor([1.0, 1.0]).view(2, 1, 1, 1)
        self.mask = torch.zeros(2, 8, 8)
        self.mask[1, :3, :3] = 1
        self.mask[0, 5:, 5:] = 1

    def forward(self, x):
        return (self.maps(x) * self.mask).sum(dim=(2, 3))


@pytest.mark.parametrize("frozen", [False, True])
def test_grad_cam_is_hot_where_the_evidence_is(frozen):
    network, x = Corner(), torch.zeros(1, 1, 8, 8)
    network.maps.requires_grad_(not frozen)
    x[0, 0, :3, :3] = 1
    heat = grad_cam(network.maps, lambda: network(x), target=1, side_px=32)
    assert heat.shape == (32, 32) and heat.max() == pytest.approx(1)
    assert heat[:10, :10].mean() > 0.8 and heat[16:, 16:].max() < 0.05
    assert not network.maps._forward_hooks
    assert grad_cam(network.maps, lambda: network(0 * x), target=1, side_px=32).max() == 0


def test_volume_of_a_ball_and_of_a_bent_fibre():
    assert volume(np.pi / 4 * 100, 10.0, 10.0, np.pi * 10) == pytest.approx(np.pi / 6 * 1000)
    # a strip 2 wide and 200 long, rolled up to a largest diameter of 40
    assert volume(400.0, 40.0, 36.0, 404.0) == pytest.approx(np.pi / 4 * 2**2 * 200, rel=1e-6)
    long = volume(np.pi / 4 * 40 * 10, 40.0, 10.0, 86.0)  # an ellipsoid of 40 and 10
    assert long == pytest.approx(np.pi / 6 * 40 * 10**2)
