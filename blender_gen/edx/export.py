"""Stored spectra as files of other programs: spectrum images for HyperSpy, spectra of particles as EMSA/MAS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from blender_gen.sample import SampleFile
from semforge.errors import InputError
from semforge.spectra import EnergyAxis, Spectrum, SpectrumImage, write_emsa, write_hspy, write_spectrum_image
from semforge.spectra.spectrum import ELEMENTS, RESOLUTION

IMAGES = {".hspy": write_hspy, ".h5": write_spectrum_image, ".hdf5": write_spectrum_image}


def export(file: SampleFile, position: int, out: Path) -> list[Path]:
    """Write what the sample at `position` has: its spectrum image where `out` is a file, else its particles' spectra.

    Returns the files. Raises InputError if the sample has not what is asked for.
    """
    write = IMAGES.get(out.suffix.lower())
    if write is not None:
        write(out, spectrum_image(file, position))
        return [out]
    if out.suffix:
        raise InputError(f"{out}: expected a file {', '.join(IMAGES)} for the spectrum image, or a folder for the "
                         "spectra of particles")  # fmt: skip
    written = []
    for name, spectrum in particle_spectra(file, position):
        out.mkdir(parents=True, exist_ok=True)
        written.append(out / f"{name}.msa")
        write_emsa(written[-1], spectrum)
    if not written:
        raise InputError(f"{file.path}: sample {int(file.index[position])} has no particle; choose another --index")
    return written


def spectrum_image(file: SampleFile, position: int) -> SpectrumImage:
    """The spectrum image of the sample at `position`. Raises InputError if there is none."""
    counts = _stored(file, position, "spectrum_image", "image")
    said = file.truth(position)["edx"]
    pixel_um = float(file.pixel_size_um[position]) * said["binning"]
    live_s = said["pixel_na_s"] / said["current_na"]
    return SpectrumImage(counts, _axis(said), pixel_um, said["beam_kev"], _title(file, position), _metadata(said),
                         live_s, said["take_off_deg"])  # fmt: skip


def particle_spectra(file: SampleFile, position: int) -> Iterator[tuple[str, Spectrum]]:
    """A name and the spectrum of each particle of the sample at `position`, the largest first.

    Raises InputError if the file has none.
    """
    spectra = _stored(file, position, "particle_spectra", "particles")
    instances = file.edx(position, "particle_instance")["particle_instance"]
    doses = file.edx(position, "particle_na_s")["particle_na_s"]
    truth = file.truth(position)
    said = truth["edx"]
    names = {one["instance"]: one["population"] for one in truth.get("particles", ())}
    for instance, counts, na_s in zip(instances, spectra, doses, strict=True):
        if not instance:
            return
        kind = names.get(int(instance)) or file.header.phase_names[_phase(file, position, int(instance))]
        title = f"{_title(file, position)}, {kind} {instance}"
        live_s = float(na_s) / said["current_na"]
        yield f"{instance:05d}_{kind}", Spectrum(counts, _axis(said), said["beam_kev"], live_s, said["take_off_deg"],
                                                 title, _metadata(said))  # fmt: skip


def _phase(file: SampleFile, position: int, instance: int) -> int:
    return int(np.bincount(file.phase(position)[file.instance(position) == instance]).argmax())


def _stored(file: SampleFile, position: int, name: str, key: str) -> np.ndarray:
    if name not in file.edx_names:
        kept = ", ".join(file.edx_names) or "no spectra at all"
        raise InputError(f"{file.path}: has no {name} (it has {kept}); render it with {key} in edx.store")
    return file.edx(position, name)[name]


def _axis(said: dict[str, Any]) -> EnergyAxis:
    return EnergyAxis(**said["axis"])


def _title(file: SampleFile, position: int) -> str:
    return f"sample {int(file.index[position])} of seed {file.header.seed}"


def _metadata(said: dict[str, Any]) -> dict[str, str]:
    return {ELEMENTS: ",".join(said["elements"]), RESOLUTION: f"{said['detector']['resolution_ev']:g}"}
