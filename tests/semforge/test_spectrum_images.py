"""Spectrum images, libraries and HyperSpy's files: what is written is read again, in parts, and opens at once."""

import time

import h5py
import numpy as np
import pytest

from semforge.errors import InputError
from semforge.spectra import (
    EnergyAxis,
    Spectrum,
    SpectrumImage,
    SpectrumLibrary,
    open_spectrum_image,
    read_library,
    read_spectrum,
    write_emsa,
    write_hspy,
    write_library,
    write_spectrum_image,
)

AXIS = EnergyAxis(96, 10, -100)
NOTES = {"elements": "Fe,Si", "resolution_ev": "130", "OWNER": "me"}


def image(shape=(37, 50), top=9, **changes):
    counts = np.random.default_rng(5).integers(0, top, (*shape, AXIS.channels))
    given = {"pixel_size_um": 0.25, "beam_kev": 15.0, "title": "a/b, µm", "metadata": NOTES, "live_s": 0.02,
             "take_off_deg": 35.0}  # fmt: skip
    return SpectrumImage(counts, AXIS, **(given | changes))


@pytest.mark.parametrize("suffix", [".hspy", ".h5"])
def test_an_image_is_read_again_in_parts(tmp_path, suffix):
    written = image()
    write_spectrum_image(tmp_path / f"map{suffix}", written)
    with open_spectrum_image(tmp_path / f"map{suffix}") as read:
        assert isinstance(read.counts, h5py.Dataset)
        assert read.counts.dtype == np.uint8 and read.counts.chunks == (16, 16, 96) and read.counts.compression
        for key in ("axis", "pixel_size_um", "beam_kev", "title", "metadata", "live_s", "take_off_deg", "shape"):
            assert getattr(read, key) == getattr(written, key), key
        assert (read.elements, read.resolution_ev) == (("Fe", "Si"), 130.0)
        seen = np.full(written.shape, 0)
        for where, part in read.tiles(limit_bytes=20 * 16 * 96):
            assert np.array_equal(part, written.counts[where])
            assert all(cut.start % 16 == 0 for cut in where)  # so that no tile of the file is unpacked twice
            seen[where] += 1
        assert (seen == 1).all()
        assert np.array_equal(read.sum().counts, written.counts.sum((0, 1)))
        assert read.sum().live_s == pytest.approx(0.02 * 37 * 50)
        assert np.array_equal(read.spectrum(3, 4).counts, written.counts[3, 4])
        window = written.counts[..., AXIS.channel_of(0.2) : AXIS.channel_of(0.3) + 1].sum(-1)
        assert np.array_equal(read.window(0.2, 0.3), window)
        write_spectrum_image(tmp_path / f"copy{suffix}", read)  # from file to file
    with open_spectrum_image(tmp_path / f"copy{suffix}") as copy:
        assert np.array_equal(copy.counts[:], written.counts) and copy.metadata == NOTES


@pytest.mark.parametrize("suffix", [".hspy", ".h5"])
def test_what_nothing_says_stays_unknown(tmp_path, suffix):
    write_spectrum_image(tmp_path / f"m{suffix}", SpectrumImage(image().counts, AXIS))
    with open_spectrum_image(tmp_path / f"m{suffix}") as read:
        assert (read.pixel_size_um, read.beam_kev, read.live_s, read.take_off_deg, read.elements) == (None,) * 4 + ((),)


@pytest.mark.parametrize(
    ("counts", "dtype"),
    [(np.full((2, 2, 96), 255), np.uint8), (np.full((2, 2, 96), 256), np.uint16), (np.full((2, 2, 96), 7e4), np.uint32),
     (np.full((2, 2, 96), 0.25), np.float32), (np.zeros((2, 2, 96)), np.uint8)],
)  # fmt: skip
def test_counts_are_stored_as_the_smallest_numbers_that_hold_them(tmp_path, counts, dtype):
    write_spectrum_image(tmp_path / "m.h5", SpectrumImage(counts, AXIS))
    with open_spectrum_image(tmp_path / "m.h5") as read:
        assert read.counts.dtype == dtype and np.array_equal(read.counts[:], counts)


def test_a_large_image_opens_at_once_and_a_part_is_read_without_the_rest(tmp_path):
    axis = EnergyAxis(1024, 10)
    with h5py.File(tmp_path / "large.h5", "w") as file:  # 512 x 512 pixels of which none is written
        file.create_dataset("counts", (512, 512, 1024), np.uint8, chunks=(16, 16, 1024), compression="gzip")
        file["counts"][100, 200] = 3
        file.attrs["channel_ev"] = 10.0
    before = time.perf_counter()
    with open_spectrum_image(tmp_path / "large.h5") as read:
        opened = time.perf_counter() - before
        assert read.shape == (512, 512) and read.axis == axis
        assert read.counts[96:112, 192:208].sum() == 3 * 1024
    assert opened < 0.25  # milliseconds; reading all of it takes a hundred times longer


def test_a_single_spectrum_in_a_hyperspy_file(tmp_path):
    written = image().spectrum(2, 3)
    write_hspy(tmp_path / "one.hspy", written)
    read = read_spectrum(tmp_path / "one.hspy")
    assert np.array_equal(read.counts, written.counts)
    for key in ("axis", "beam_kev", "live_s", "take_off_deg", "title", "metadata"):
        assert getattr(read, key) == getattr(written, key), key
    write_spectrum_image(tmp_path / "many.hspy", image())
    with pytest.raises(InputError, match=r"holds data of shape \(37, 50, 96\), expected a single spectrum"):
        read_spectrum(tmp_path / "many.hspy")
    with (
        pytest.raises(InputError, match="holds one spectrum, expected a spectrum image"),
        open_spectrum_image(tmp_path / "one.hspy"),
    ):
        pass


def hspy(path, change):
    write_spectrum_image(path, image((4, 5)))
    with h5py.File(path, "r+") as file:
        change(next(iter(file["Experiments"].values())))
    return path


def test_other_units_and_a_line_scan(tmp_path):
    def in_ev_and_nm(group):
        group["axis-2"].attrs.update({"units": "eV", "scale": 10.0, "offset": -100.0})
        for name in ("axis-0", "axis-1"):
            group[name].attrs.update({"units": "nm", "scale": 250.0})

    with open_spectrum_image(hspy(tmp_path / "m.hspy", in_ev_and_nm)) as read:
        assert (read.axis, read.pixel_size_um) == (AXIS, 0.25)

    def line(group):
        data = group["data"][0]
        del group["data"], group["axis-0"]
        group["data"] = data
        group.move("axis-1", "axis-0")
        group.move("axis-2", "axis-1")

    with open_spectrum_image(hspy(tmp_path / "l.hspy", line)) as read:
        assert read.shape == (1, 5) and np.array_equal(read.counts[0], image((4, 5)).counts[0])

    with open_spectrum_image(hspy(tmp_path / "u.hspy", lambda g: g["axis-0"].attrs.update({"scale": 0.5}))) as read:
        assert read.pixel_size_um is None  # pixels are not square


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: g["axis-2"].attrs.update({"units": "nm"}), "its signal axis is in 'nm', expected channels of equal"),
        (lambda g: g["axis-2"].attrs.pop("scale"), "expected channels of equal width"),
        (lambda g: g["axis-0"].attrs.update({"navigate": False}), "its signal axis is not energy alone"),
        (lambda g: g.pop("data"), "holds no counts"),
        (lambda g: g.parent.create_group("second"), "holds 2 signals, expected one"),
        (lambda g: g["metadata/Signal"].attrs.update({"signal_type": "EELS"}), "signal_type is EELS, expected EDS_SEM"),
    ],
)
def test_what_hyperspy_files_may_lack(tmp_path, change, said):
    path = hspy(tmp_path / "m.hspy", change)
    with pytest.raises(InputError, match=said) as caught, open_spectrum_image(path):
        pass
    assert str(caught.value).startswith(f"{path}: ") and str(caught.value).count(str(path)) == 1


def test_files_that_hold_something_else(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    write_spectrum_image(tmp_path / "cut.h5", image())
    (tmp_path / "cut.h5").write_bytes((tmp_path / "cut.h5").read_bytes()[:2000])
    for name in ("text.h5", "cut.h5"):
        with pytest.raises(InputError, match="is not HDF5 or not whole"), open_spectrum_image(tmp_path / name):
            pass
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["counts"] = np.zeros((3, 4))
    with pytest.raises(InputError, match="holds no spectrum image"), open_spectrum_image(tmp_path / "other.h5"):
        pass
    with pytest.raises(InputError, match="holds no signal of HyperSpy"):
        read_spectrum(tmp_path / "other.h5")
    with pytest.raises(InputError, match=r"shape \(4, 5, 95\) on 96 channels"):
        SpectrumImage(np.zeros((4, 5, 95)), AXIS)


def test_a_library_is_read_again(tmp_path):
    spectra = np.random.default_rng(1).random((3, 2, 96)).astype(np.float32)
    conditions = ({"beam_kev": 15.0}, {"beam_kev": 20, "coat": ["C", 0.01]})
    written = SpectrumLibrary(("quartz", "albite", "µ"), spectra, AXIS, conditions)
    write_library(tmp_path / "l.h5", written)
    read = read_library(tmp_path / "l.h5")
    assert (read.names, read.axis, read.conditions) == (written.names, AXIS, conditions)
    assert read.spectra.dtype == np.float32 and np.array_equal(read.spectra, spectra)
    assert np.array_equal(read.of("albite"), spectra[1])
    with pytest.raises(InputError, match="no phase 'gold' in the library; it has quartz, albite, µ"):
        read.of("gold")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": ("a",)}, "1 names, 1 conditions and 96 channels .* shape \\(2, 1, 96\\)"),
        ({"names": ("a", "a")}, "names a phase twice"),
        ({"spectra": np.full((2, 1, 96), np.nan, np.float32)}, "below zero or none at all"),
        ({"spectra": np.full((2, 1, 96), -1, np.float32)}, "below zero or none at all"),
    ],
)
def test_a_library_whose_parts_do_not_fit(changes, said):
    given = {"names": ("a", "b"), "spectra": np.ones((2, 1, 96), np.float32), "axis": AXIS, "conditions": ({},)}
    with pytest.raises(InputError, match=said):
        SpectrumLibrary(**(given | changes))


def test_a_library_that_is_none(tmp_path):
    write_spectrum_image(tmp_path / "image.h5", image())
    (tmp_path / "text.h5").write_text("x")
    with pytest.raises(InputError, match="is no library of spectra of schema 1"):
        read_library(tmp_path / "image.h5")
    with pytest.raises(InputError, match="cannot be read as a library"):
        read_library(tmp_path / "text.h5")


def ripple(path, counts, **changes):
    """A description and the numbers as an instrument's program exports them."""
    height, width, depth = counts.shape
    said = {"width": width, "height": height, "depth": depth, "offset": 0, "data-length": counts.dtype.itemsize,
            "data-type": {"u": "unsigned", "i": "signed", "f": "float"}[counts.dtype.kind],
            "byte-order": "big-endian" if counts.dtype.byteorder == ">" else "little-endian",
            "record-by": "vector", "ev-per-chan": 10} | changes  # fmt: skip
    path.write_text("key\tvalue\n" + "".join(f"{key}\t{value}\n" for key, value in said.items()), encoding="latin-1")
    data = counts if said["record-by"] == "vector" else np.moveaxis(counts, 2, 0)
    path.with_suffix(".raw").write_bytes(bytes(int(said["offset"])) + np.ascontiguousarray(data).tobytes())
    return path


@pytest.mark.parametrize(("value", "said"), [(-3.0, "channel 7 holds -3; expected"), (np.nan, "channel 7 holds nan")])
def test_what_nothing_counts_is_refused_whatever_the_file(tmp_path, value, said):
    counts = image((20, 18)).counts.astype("<f4")
    counts[17, 16, 7] = value
    for path in (tmp_path / "m.h5", tmp_path / "m.hspy"):
        write_spectrum_image(path, SpectrumImage(counts, AXIS))
    for path in (tmp_path / "m.h5", tmp_path / "m.hspy", ripple(tmp_path / "m.rpl", counts)):
        with open_spectrum_image(path) as read:
            assert read.part(slice(0, 16), slice(0, 16)).shape == (16, 16, 96)
            for look in (read.sum, lambda read=read: read.part(slice(16, 20), slice(0, 18))):
                with pytest.raises(InputError, match=said) as caught:
                    look()
                assert str(caught.value).startswith(f"{path}: ")
    whole = image().spectrum(0, 0)
    write_hspy(tmp_path / "one.hspy", whole)
    with h5py.File(tmp_path / "one.hspy", "r+") as file:
        group = next(iter(file["Experiments"].values()))
        del group["data"]
        group["data"] = counts[17, 16]
    with pytest.raises(InputError, match=said) as caught:
        read_spectrum(tmp_path / "one.hspy")
    assert str(caught.value).startswith(f"{tmp_path / 'one.hspy'}: ")


@pytest.mark.parametrize("layout", ["vector", "image"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<u4", "<f4"])
def test_ripple_files(tmp_path, layout, dtype):
    counts = image((7, 9)).counts.astype(dtype)
    more = {"offset": 64, "beam-energy": 15.0, "width-scale": 250, "width-units": "nm", "height-scale": 0.25,
            "height-units": "µm", "title": "grain 4"}  # fmt: skip
    with open_spectrum_image(ripple(tmp_path / "m.rpl", counts, **{"record-by": layout}, **more)) as read:
        assert np.array_equal(read.counts, counts) and isinstance(read.counts, np.memmap)
        assert (read.axis, read.beam_kev, read.pixel_size_um) == (EnergyAxis(96, 10), 15.0, 0.25)
        assert (read.title, read.live_s) == ("grain 4", None)
        assert read.sum().total == counts[..., 10:].sum()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ev-per-chan": 0}, "says no energy a channel"),
        ({"width": 8}, r"m.raw has 6048 bytes, expected 5376; export it again"),
        ({"height": "x"}, "height is 'x', expected a whole number"),
        ({"record-by": "dont-care"}, "record-by is 'dont-care'"),
        ({"data-type": "complex"}, "data-type 'complex' of 1 bytes"),
    ],
)
def test_ripple_files_that_do_not_fit(tmp_path, changes, said):
    path = ripple(tmp_path / "m.rpl", image((7, 9)).counts.astype("u1"), **changes)
    with pytest.raises(InputError, match=said), open_spectrum_image(path):
        pass
    path.with_suffix(".raw").unlink()
    if "record-by" not in changes and "data-type" not in changes and "height" not in changes:
        with pytest.raises(InputError, match="no such file, expected the numbers"), open_spectrum_image(path):
            pass


# exspy imports what HyperSpy announces to move
@pytest.mark.filterwarnings("ignore:Importing .* is deprecated")
class TestHyperSpy:
    """Both ways through HyperSpy itself, where it is installed with exspy (`pip install semforge[hyperspy]`)."""

    @pytest.fixture
    def hs(self):
        pytest.importorskip("exspy")
        return pytest.importorskip("hyperspy.api")

    def test_it_opens_images_as_calibrated_eds(self, hs, tmp_path):
        written = image()
        write_spectrum_image(tmp_path / "m.hspy", written)
        for lazy in (False, True):
            signal = hs.load(tmp_path / "m.hspy", lazy=lazy)
            assert type(signal).__name__ == ("LazyEDSSEMSpectrum" if lazy else "EDSSEMSpectrum")
            assert signal._lazy is lazy
            assert np.array_equal(np.asarray(signal.data), written.counts)
        self.assert_described(signal)
        x, y = signal.axes_manager.navigation_axes
        assert [(a.name, a.size, a.scale, a.units) for a in (x, y)] == [("x", 50, 0.25, "µm"), ("y", 37, 0.25, "µm")]
        assert signal.metadata.General.title == "a/b, µm"

    def test_it_opens_single_spectra(self, hs, tmp_path):
        written = image().spectrum(1, 2)
        write_hspy(tmp_path / "s.hspy", written)
        signal = hs.load(tmp_path / "s.hspy")
        assert np.array_equal(signal.data, written.counts)
        self.assert_described(signal)
        write_emsa(tmp_path / "s.msa", written)
        other = hs.load(tmp_path / "s.msa")
        assert np.array_equal(other.data, written.counts)
        assert other.axes_manager[0].scale == pytest.approx(10) and other.axes_manager[0].units == "eV"
        assert other.metadata.Acquisition_instrument.SEM.beam_energy == 15

    def test_what_it_writes_is_read(self, hs, tmp_path):
        counts = image((4, 6)).counts.astype(np.uint16)
        signal = hs.signals.Signal1D(counts)
        signal.set_signal_type("EDS_SEM")
        energy = signal.axes_manager[-1]
        energy.name, energy.units, energy.scale, energy.offset = "Energy", "keV", 0.01, -0.1
        for axis in signal.axes_manager.navigation_axes:
            axis.units, axis.scale = "nm", 250.0
        signal.set_microscope_parameters(beam_energy=15, live_time=0.02, elevation_angle=35, energy_resolution_MnKa=130)
        signal.add_elements(["Fe", "Si"])
        signal.save(tmp_path / "m.hspy")
        with open_spectrum_image(tmp_path / "m.hspy") as read:
            assert np.array_equal(read.counts[:], counts)
            assert (read.axis, read.pixel_size_um, read.beam_kev, read.live_s) == (AXIS, 0.25, 15.0, 0.02)
            assert (read.take_off_deg, read.elements, read.resolution_ev) == (35.0, ("Fe", "Si"), 130.0)
        signal.save(tmp_path / "m.rpl")
        with open_spectrum_image(tmp_path / "m.rpl") as read:
            assert np.array_equal(read.counts, counts)
            assert (read.axis, read.pixel_size_um, read.beam_kev) == (AXIS, 0.25, 15.0)
        signal.inav[2, 1].save(tmp_path / "s.hspy")
        assert np.array_equal(read_spectrum(tmp_path / "s.hspy").counts, counts[1, 2])
        signal.inav[2, 1].save(tmp_path / "s.msa")
        read = read_spectrum(tmp_path / "s.msa")
        assert np.array_equal(read.counts, counts[1, 2]) and read.axis == AXIS
        assert isinstance(read, Spectrum) and read.beam_kev == 15.0

    def assert_described(self, signal):
        energy = signal.axes_manager.signal_axes[0]
        assert (energy.name, energy.units, energy.size, energy.is_binned) == ("Energy", "keV", 96, True)
        assert (energy.scale, energy.offset) == (pytest.approx(0.01), pytest.approx(-0.1))
        assert signal.metadata.Signal.signal_type == "EDS_SEM"
        microscope = signal.metadata.Acquisition_instrument.SEM
        assert microscope.beam_energy == 15
        eds = microscope.Detector.EDS
        assert (eds.live_time, eds.elevation_angle, eds.energy_resolution_MnKa) == (0.02, 35, 130)
        assert list(signal.metadata.Sample.elements) == ["Fe", "Si"]
