"""One spectrum from any file that holds one."""

from pathlib import Path

from semforge.files import existing_file
from semforge.spectra.emsa import read_emsa
from semforge.spectra.hdf5 import is_hdf5
from semforge.spectra.hspy import read_hspy_spectrum
from semforge.spectra.spectrum import Spectrum

WHAT = "a spectrum (EMSA/MAS or .hspy)"


def read_spectrum(path: Path) -> Spectrum:
    """Read a spectrum in EMSA/MAS format (.msa, .emsa, .ems, .txt) or a single one of HyperSpy (.hspy).

    Raises InputError with one line if the file is missing, broken, no spectrum, or one of many.
    """
    path = existing_file(path, WHAT)
    return read_hspy_spectrum(path) if is_hdf5(path) else read_emsa(path)
