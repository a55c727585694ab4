"""The classical methods against answers that are known in closed form."""

import numpy as np
import pytest
from scipy.optimize import nnls

from sem_train.spectra import angles, feature_fitting, least_squares
from sem_train.spectra.background import without_background
from sem_train.spectra.named import UNCLASSIFIED, labels_of
from semforge.spectra import EnergyAxis

ENERGIES = np.arange(300) * 0.02


def lines(*centres_kev: float, background: float = 0.0) -> np.ndarray:
    """A spectrum of equal lines of 0.04 keV sigma on a falling background."""
    peaks = sum(np.exp(-0.5 * ((ENERGIES - c) / 0.04) ** 2) for c in centres_kev)
    return peaks + background * np.exp(-ENERGIES / 3)


REFERENCES = np.stack([lines(1.0, 2.0), lines(1.5, 3.7), lines(2.0, 3.7), lines(4.5)])


def test_the_angle_between_known_vectors_is_the_one_of_geometry():
    found = angles.angles(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 3.0]]))
    quarter = np.pi / 2
    assert found == pytest.approx(np.array([[0, quarter], [quarter / 2, quarter / 2], [quarter, quarter]]), abs=1e-7)


def test_the_angle_does_not_know_how_bright_a_spectrum_is():
    spectrum = lines(1.0, 3.7)[None]
    assert angles.cosines(1000 * spectrum, REFERENCES) == pytest.approx(angles.cosines(spectrum, REFERENCES))


def test_a_background_without_lines_is_removed_and_lines_stay():
    smooth = 1e4 * lines(background=0.5)
    assert without_background(smooth, 20.0).sum() < 0.02 * smooth.sum()
    both = 1e4 * lines(1.0, 3.0, background=0.5)
    net = without_background(both, 20.0)
    alone = 1e4 * lines(1.0, 3.0)
    for centre in (1.0, 3.0):
        near = np.abs(ENERGIES - centre) < 0.12
        assert net[near].sum() == pytest.approx(alone[near].sum(), rel=0.12)


def test_removing_a_background_leaves_nothing_negative():
    noisy = np.random.default_rng(0).poisson(0.3, (50, 300))
    assert (without_background(noisy, 20.0) >= 0).all()


def test_bits_agree_where_both_spectra_are_above_their_means_or_below():
    spectrum = np.array([[9.0, 9.0, 1.0, 1.0]])
    references = np.array([[5.0, 5.0, 0.0, 0.0], [5.0, 0.0, 5.0, 0.0], [0.0, 0.0, 5.0, 5.0]])
    assert feature_fitting.agreeing_bits(spectrum, references) == pytest.approx(np.array([[1.0, 0.5, 0.0]]))


def test_a_scaled_reference_on_a_constant_fits_perfectly_and_its_opposite_not_at_all():
    spectrum = 3 * REFERENCES[:1] + 7
    assert feature_fitting.fit_quality(spectrum, REFERENCES)[0, 0] == pytest.approx(1)
    assert feature_fitting.fit_quality(-spectrum, REFERENCES)[0, 0] == 0


def test_binary_features_name_each_reference_by_itself():
    assert feature_fitting.scores(50 * REFERENCES, REFERENCES).argmax(-1).tolist() == [0, 1, 2, 3]


def test_amounts_of_a_mixture_without_noise_are_exact():
    amounts = np.array([[3.0, 0.0, 5.0, 0.0], [0.0, 2.0, 0.0, 7.0], [1.0, 1.0, 1.0, 1.0]])
    found = least_squares.amounts(amounts @ REFERENCES, REFERENCES, weighted=False)
    assert found == pytest.approx(amounts, abs=1e-4)


def test_weighted_amounts_are_those_of_an_active_set_method():
    rng = np.random.default_rng(3)
    spectra = rng.poisson(rng.dirichlet(np.ones(4), 20) @ REFERENCES * 30)
    found = least_squares.amounts(spectra, REFERENCES)
    for spectrum, amounts in zip(spectra, found, strict=True):
        root = 1 / np.sqrt(np.maximum(spectrum, 1))
        expected, _ = nnls((REFERENCES * root).T, spectrum * root)
        assert amounts == pytest.approx(expected, abs=1e-3 * expected.max())


def test_shares_are_of_counts_and_none_of_an_empty_spectrum():
    references = np.stack([lines(1.0), 3 * lines(2.0)])
    shares = least_squares.shares(np.stack([references.sum(0), np.zeros(300)]), references, weighted=False)
    assert shares[0] == pytest.approx([0.25, 0.75], abs=1e-4)
    assert shares[1].tolist() == [0, 0]


@pytest.mark.parametrize("fewest", [0, 1, 10])
def test_an_empty_spectrum_has_no_name_whatever_is_asked_for(fewest):
    counts = np.zeros((2, 300))
    counts[1, 50] = 10
    axis = EnergyAxis(300, 10.0)
    assert labels_of(np.array([[0.1, 0.9], [0.1, 0.9]]), counts, fewest, axis).tolist() == [UNCLASSIFIED, 1]
    counts[0, :10] = 5000  # a zero peak
    assert labels_of(np.array([[0.1, 0.9], [0.1, 0.9]]), counts, fewest, axis).tolist() == [UNCLASSIFIED, 1]
