"""Energy axes, and spectra on another one: counts are kept, and what would need to be invented is refused."""

import re

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from semforge.errors import InputError
from semforge.spectra import EnergyAxis, rebinned, require_rebinnable

AXES = st.builds(EnergyAxis, st.integers(2, 60), st.floats(1, 40), st.floats(-500, 500))


def test_an_axis_says_where_its_channels_are():
    axis = EnergyAxis(1024, 10, -100)
    assert axis.describe() == "1024 channels of 10 eV from -100"
    assert axis.energies_kev[[0, 10, -1]] == pytest.approx([-0.1, 0.0, 10.13])
    assert (axis.low_kev, axis.high_kev) == (axis.edges_kev[0], axis.edges_kev[-1]) == (-0.105, 10.135)
    assert axis.channels_between(0.0, 0.02) == slice(10, 13)
    assert axis.channels_between(-9, -8) == slice(0, 0) and axis.channels_between(20, 30) == slice(1024, 1024)
    assert axis.covers(10.134) and not axis.covers(10.136)
    for channels, width, offset in ((0, 10, 0), (5, 0, 0), (5, -1, 0), (5, float("nan"), 0), (5, 1, float("inf"))):
        with pytest.raises(InputError, match="expected at least one channel"):
            EnergyAxis(channels, width, offset)


@given(AXES, st.integers(0, 59))
def test_an_energy_falls_into_the_channel_around_it(axis, channel):
    assume(channel < axis.channels)
    assert axis.channel_of(axis.energies_kev[channel]) == channel
    inside = axis.edges_kev[channel] + 0.4 * axis.width_ev / 1000
    assert axis.channel_of(inside) == channel


@example(counts=[0, 0, 0, 17], width=1.0, offset=0.0, factor=1.0, shift=2.0**-24, channels=4)  # all but aligned
@example(counts=[0, 0, 0, 1000], width=1.0, offset=0.0, factor=1.0, shift=2e-6, channels=4)
@given(
    counts=st.lists(st.integers(0, 1000), min_size=4, max_size=80),
    width=st.floats(1, 20), offset=st.floats(-300, 300), factor=st.floats(1, 5), shift=st.floats(-3, 3),
    channels=st.integers(1, 60),
)  # fmt: skip
def test_counts_in_the_energies_of_both_are_kept(counts, width, offset, factor, shift, channels):
    have = EnergyAxis(len(counts), width, offset)
    want = EnergyAxis(channels, width * factor, offset + shift * width)
    try:
        found = rebinned(np.array(counts), have, want)
    except InputError:
        assume(False)
    # whole numbers: each new edge may have been taken for that of an old channel a millionth of its width away
    abs_error = 1e-6 + (2e-6 * max(counts) if np.issubdtype(found.dtype, np.integer) else 0)
    # each old channel gives the share of its width that the new range covers, and nothing is made up
    lows, highs = have.edges_kev[:-1], have.edges_kev[1:]
    covered = np.clip(np.minimum(highs, want.high_kev) - np.maximum(lows, want.low_kev), 0, None) / (highs - lows)
    assert found.sum() == pytest.approx((covered * counts).sum(), rel=1e-9, abs=abs_error)
    assert (found >= -1e-6).all()
    # and each new channel has what of the old ones lies in it
    for k in range(channels):
        a, b = want.edges_kev[k : k + 2]
        share = np.clip(np.minimum(highs, b) - np.maximum(lows, a), 0, None) / (highs - lows)
        assert found[k] == pytest.approx((share * counts).sum(), rel=1e-9, abs=abs_error)


@given(
    counts=st.lists(st.integers(0, 2**31 - 1), min_size=2, max_size=60),
    together=st.integers(2, 5), width=st.sampled_from([1.0, 2.5, 5.0, 10.0]), first=st.integers(-50, 50),
)  # fmt: skip
def test_whole_channels_stay_whole_numbers(counts, together, width, first):
    channels = len(counts) // together
    assume(channels)
    have = EnergyAxis(len(counts), width, first * width)
    want = EnergyAxis(channels, width * together, have.offset_ev + (together - 1) * width / 2)
    found = rebinned(np.array(counts, dtype=np.uint32), have, want)
    assert found.dtype == np.int64
    assert found.tolist() == np.array(counts)[: channels * together].reshape(channels, together).sum(1).tolist()


def test_the_same_axis_and_many_spectra_at_once():
    have, want = EnergyAxis(40, 5, -2.5), EnergyAxis(20, 10)
    cube = np.random.default_rng(3).poisson(4, (3, 4, 40)).astype(np.uint8)
    assert rebinned(cube, have, have) is cube
    found = rebinned(cube, have, want)
    assert np.array_equal(found, cube.reshape(3, 4, 20, 2).sum(-1))
    assert rebinned(cube.astype(np.float32), have, want).dtype == np.float64
    with pytest.raises(InputError, match=r"shape \(3, 4, 40\) on 20 channels of 10 eV from 0: they do not fit"):
        rebinned(cube, want, have)


@pytest.mark.parametrize(
    ("have", "want", "why"),
    [
        (EnergyAxis(512, 20), EnergyAxis(1024, 10), "channels can be joined, not divided"),
        (EnergyAxis(500, 10), EnergyAxis(1024, 10), "covers -0.005 to 4.995 keV, 0.1 to 10.23"),
        (EnergyAxis(1024, 10, 500), EnergyAxis(1024, 10), "covers 0.495 to 10.73 keV, 0.1 to 10.23"),
    ],
)
def test_what_would_have_to_be_invented_is_refused_and_both_axes_are_named(have, want, why):
    counts = np.ones(have.channels)
    with pytest.raises(InputError, match=re.escape(why)) as caught:
        rebinned(counts, have, want)
    said = str(caught.value)
    assert have.describe() in said and want.describe() in said and "\n" not in said


def test_neither_the_zero_peak_nor_what_the_beam_cannot_excite_has_to_be_covered():
    no_zero_peak, want = EnergyAxis(2048, 5, 0), EnergyAxis(1024, 10, -200)
    require_rebinnable(no_zero_peak, want)
    short, long = EnergyAxis(600, 10), EnergyAxis(2048, 10)
    require_rebinnable(short, long, beam_kev=5.0)
    with pytest.raises(InputError, match=r"5.995 keV, 0.1 to 10 keV are needed"):
        require_rebinnable(short, long, beam_kev=10.0)
    found = rebinned(np.ones(600, np.uint8), short, long, beam_kev=5.0)
    assert found.sum() == 600 and not found[600:].any()


def test_calibrations_a_little_off_are_the_same_width():
    require_rebinnable(EnergyAxis(1024, 10.1), EnergyAxis(1024, 10))
    with pytest.raises(InputError, match="joined, not divided"):
        require_rebinnable(EnergyAxis(1024, 10.3), EnergyAxis(1024, 10))
