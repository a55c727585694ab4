"""X-ray spectra: energy axes, single spectra, spectrum images, libraries of expected spectra, and their files."""

from semforge.spectra.axis import EnergyAxis
from semforge.spectra.emsa import read_emsa, write_emsa
from semforge.spectra.hspy import write_hspy
from semforge.spectra.image import SpectrumImage
from semforge.spectra.image_files import open_spectrum_image, write_spectrum_image
from semforge.spectra.library import SpectrumLibrary, read_library, write_library
from semforge.spectra.reading import read_spectrum
from semforge.spectra.rebinning import rebinned, require_rebinnable
from semforge.spectra.spectrum import Spectrum, is_empty, total_counts

__all__ = [
    "EnergyAxis", "Spectrum", "SpectrumImage", "SpectrumLibrary", "is_empty", "open_spectrum_image", "read_emsa",
    "read_library", "read_spectrum", "rebinned", "require_rebinnable", "total_counts", "write_emsa", "write_hspy",
    "write_library", "write_spectrum_image",
]  # fmt: skip
