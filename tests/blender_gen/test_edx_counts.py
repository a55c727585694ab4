"""Counts of spectra against what Poisson statistics says of them, in closed form."""

import numpy as np
import pytest
from scipy.stats import chi2, poisson

from blender_gen.edx.counts import CROWDED, noisy, simulate_image

RARE = 1e-7  # probability that a test fails by chance


def within(statistic, degrees):
    low, high = chi2.ppf([RARE, 1 - RARE], degrees)
    assert low < statistic < high, f"{statistic:.1f} of {degrees} degrees, expected {low:.1f} to {high:.1f}"


def two_phases(channels=64):
    """Peaks on a background: channels of many and of few counts, and one that is far rarer than a table's entries."""
    energy = np.arange(channels)
    first = 40 * np.exp(-(((energy - 20) / 2) ** 2)) + 0.5
    second = 15 * np.exp(-(((energy - 40) / 3) ** 2)) + 2 * np.exp(-energy / 20)
    second[-1] = 0
    return np.stack([first, second])


def every_pixel(shares, size=(60, 70)):
    return np.broadcast_to(np.asarray(shares, dtype=np.float32), (*size, len(shares)))


@pytest.mark.parametrize("dose", [0.05, 1.0, 30.0], ids=["photons", "both ways", "channels"])
@pytest.mark.parametrize("shares", [(1, 0), (0, 1), (0.3, 0.7), (0.2, 0.1)], ids=str)
def test_every_channel_of_every_pixel_is_poisson_about_its_expectation(shares, dose):
    expected = dose * two_phases()
    mean = np.asarray(shares) @ expected
    counts = simulate_image(every_pixel(shares), expected, np.random.default_rng(1)).reshape(-1, 64)
    pixels = len(counts)
    assert not counts[:, mean == 0].any()
    seen = mean > 0
    sums = counts.sum(axis=0)[seen]
    low, high = (poisson.ppf(p, pixels * mean[seen]) for p in (RARE, 1 - RARE))
    assert np.all((sums >= low) & (sums <= high))
    # index of dispersion: the sum of (n - mean)^2/mean has the mean of chi square, and about its spread
    dispersion = ((counts[:, seen] - mean[seen]) ** 2 / mean[seen]).sum()
    degrees = pixels * seen.sum()
    spread = np.sqrt(pixels * (2 + 1 / mean[seen]).sum())  # of (n - m)^2/m, exactly, for Poisson numbers
    assert abs(dispersion - degrees) < 5.5 * spread
    # photons that choose channels must leave the channels independent: totals are Poisson, too
    total = counts.sum(axis=1).astype(float)
    within(((total - mean.sum()) ** 2 / mean.sum()).sum(), pixels)


def test_both_ways_of_drawing_are_used_and_agree():
    expected = two_phases()
    dense = (expected[0] > CROWDED).sum()
    assert 0 < dense < expected.shape[1]
    counts = simulate_image(every_pixel((1, 0), (200, 200)), expected, np.random.default_rng(2)).reshape(-1, 64)
    for channel in (20, 50):  # one that is drawn itself, one by its photons
        mean = expected[0, channel]
        observed = np.bincount(counts[:, channel], minlength=200)[:200]
        probability = poisson.pmf(np.arange(200), mean)
        usual = probability * len(counts) > 10
        rest = len(counts) - observed[usual].sum(), len(counts) * (1 - probability[usual].sum())
        statistic = (
            (observed[usual] - len(counts) * probability[usual]) ** 2 / (len(counts) * probability[usual])
        ).sum()
        within(statistic + (rest[0] - rest[1]) ** 2 / max(rest[1], 1), usual.sum())


def test_a_channel_rarer_than_an_entry_of_the_table_is_not_lost():
    expected = np.full((1, 2000), 1e-7)
    expected[0, 7] = 10.0  # all others have 1e-8 of the photons, a table's entry 1.5e-5
    counts = simulate_image(np.ones((300, 300, 1), np.float32), expected * 3, np.random.default_rng(3))
    others = int(counts.sum()) - int(counts[..., 7].sum())
    mean = 90_000 * 1999 * 3e-7
    assert poisson.ppf(RARE, mean) <= others <= poisson.ppf(1 - RARE, mean)
    places = counts[..., np.arange(2000) != 7].reshape(-1, 1999).sum(axis=0)
    within(((places - places.mean()) ** 2 / places.mean()).sum(), 1998)


def test_mixed_pixels_have_the_mixed_mean_everywhere():
    rng = np.random.default_rng(4)
    shares = rng.dirichlet([0.3, 0.5], size=(120, 130)).astype(np.float32)
    shares[:20] = 0
    expected = 0.5 * two_phases()
    counts = simulate_image(shares, expected, rng)
    assert not counts[:20].any()
    mean = shares[20:] @ expected
    total, wanted = counts[20:].sum(axis=-1), mean.sum(axis=-1)
    within(((total - wanted) ** 2 / wanted).sum(), wanted.size)
    peak, wanted = counts[20:, :, 15:26].sum(axis=-1), mean[..., 15:26].sum(axis=-1)
    within(((peak - wanted) ** 2 / wanted).sum(), wanted.size)


def test_the_seed_decides_alone():
    shares, expected = every_pixel((0.4, 0.6), (40, 50)), two_phases()
    one, same, other = (simulate_image(shares, expected, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, simulate_image(shares, expected, np.random.default_rng(5), np.uint8))


def test_what_cannot_be_is_refused():
    rng = np.random.default_rng(0)
    one = np.ones((4, 4, 1), np.float32)
    with pytest.raises(ValueError, match="uint8 holds 255"):
        simulate_image(one, np.array([[300.0, 1.0]]), rng, np.uint8)
    with pytest.raises(ValueError, match="2 phases do not fit"):
        simulate_image(np.ones((4, 4, 2), np.float32), np.ones((3, 5)), rng)
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite and not negative"):
            simulate_image(one, np.array([[bad]]), rng)
        with pytest.raises(ValueError, match="finite and not negative"):
            noisy(np.array([bad]), rng)


def test_a_particles_counts_are_poisson():
    counts = noisy(np.full(20_000, 3.5), np.random.default_rng(7))
    assert counts.dtype == np.uint32
    within(((counts - 3.5) ** 2 / 3.5).sum(), 20_000)
