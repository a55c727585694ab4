"""What a page shows of a micrograph's X-rays: its particles' spectra added up by name, and maps of elements."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blender_gen.sample import SampleFile
from sem_train.certificate.numbers import shown
from sem_train.classification.composition import RESOLUTION_EV, intensities
from sem_train.classification.field import FEWEST_COUNTS
from sem_train.classification.particle_records import ParticlesRecord
from sem_train.classification.particle_spectra import ParticleSpectra
from sem_train.classification.shares import REJECTED
from sem_train.spectra.contents import ShownElements, ShownSpectrum
from sem_train.spectra.pictures import block_means
from semforge.errors import InputError
from semforge.files import whole_file
from semforge.spectra import EnergyAxis
from semforge.spectra.spectrum import total_counts

SUFFIX = "_xrays.npz"
MAPS = "element_maps"
MAP_PX = 160  # longer side of a map at most
MOST_MAPS = 8  # of a micrograph


@dataclass(frozen=True, eq=False)
class ClassSpectra:
    """Spectra of particles, added up by what they were named."""

    counts: np.ndarray  # (names, C): the classes, then what was rejected
    particles: np.ndarray  # (names,) that each is the sum of
    axis: EnergyAxis
    beam_kev: float | None
    resolution_ev: float | None

    def shown(self, classes: Sequence[str]) -> tuple[ShownSpectrum, ...]:
        """The spectrum of each name that any particle has, with the elements found in it."""
        return tuple(
            ShownSpectrum(name, counts, self.axis, self.beam_kev, self._elements(counts), _sum_of(int(n), counts))
            for name, counts, n in zip((*classes, REJECTED), self.counts, self.particles, strict=True) if n
        )  # fmt: skip

    def _elements(self, counts: np.ndarray) -> tuple[str, ...]:
        found = intensities(counts, self.axis, self.beam_kev, resolution_ev=self.resolution_ev or RESOLUTION_EV)
        return tuple(e.element for e in found if e.detected)


def class_spectra(record: ParticlesRecord, spectra: ParticleSpectra, classes: Sequence[str]) -> ClassSpectra:
    """The spectra of a micrograph's named particles, those without enough counts left out."""
    names = [*classes, REJECTED]
    counts, particles = np.zeros((len(names), spectra.axis.channels)), np.zeros(len(names), dtype=np.int64)
    enough = total_counts(spectra.counts, spectra.axis) >= FEWEST_COUNTS
    for p in record.particles:
        if p.name and enough[p.number - 1]:
            k = names.index(REJECTED if p.rejected else p.name)
            counts[k] += spectra.counts[p.number - 1]
            particles[k] += 1
    return ClassSpectra(np.rint(counts), particles, spectra.axis, spectra.beam_kev, spectra.resolution_ev)


def together(found: Sequence[ClassSpectra]) -> ClassSpectra | None:
    """The spectra of several micrographs added up, of those taken like the first; None of none."""
    alike = [one for one in found if (one.axis, one.beam_kev) == (found[0].axis, found[0].beam_kev)]
    if not alike:
        return None
    first = alike[0]
    counts, particles = (np.sum([getattr(one, name) for one in alike], axis=0) for name in ("counts", "particles"))
    return ClassSpectra(counts, particles, first.axis, first.beam_kev, first.resolution_ev)


def stored_maps(file: SampleFile, position: int) -> ShownElements | None:
    """The element maps that a sample keeps, made small: those that differ most from place to place.

    That is the variance of their counts over its mean, which counting alone makes the same for all. None without any.
    """
    if MAPS not in file.edx_names:
        return None
    names = [window["line"] for window in file.truth(position)["edx"]["windows"]]
    small = [block_means(one, MAP_PX) for one in file.edx(position, MAPS)[MAPS]]
    spread = {name: float(one.var() / max(abs(one.mean()), 1e-9)) for name, one in zip(names, small, strict=True)}
    chosen = sorted((name for name in names if spread[name] > 0), key=lambda name: -spread[name])[:MOST_MAPS]
    maps = {name: one for name, one in zip(names, small, strict=True) if name in chosen}
    if not maps:
        return None
    width_um = float(file.pixel_size_um[position]) * file.image(position).shape[1]
    left_out = len(names) - len(maps)
    note = f"{left_out} more in the sample file vary less or are empty." if left_out else ""
    return ShownElements(maps, width_um / small[0].shape[1], note=note)


def write_xrays(path: Path, spectra: ClassSpectra | None, maps: ShownElements | None) -> None:
    """Write what `read_xrays` reads, whole or not at all; where there is neither, no file is left."""
    kept: dict[str, Any] = {}
    if spectra is not None:
        axis, nothing = spectra.axis, float("nan")
        about = [axis.channels, axis.width_ev, axis.offset_ev, spectra.beam_kev or nothing,
                 spectra.resolution_ev or nothing]  # fmt: skip
        kept |= {"counts": spectra.counts, "particles": spectra.particles, "about": about}
    if maps is not None:
        kept |= {"maps": np.stack([*maps.maps.values()]).astype(np.float32), "lines": [*maps.maps], "note": maps.note,
                 "map_pixel_um": maps.pixel_size_um}  # fmt: skip
    path.unlink(missing_ok=True)
    if kept:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **kept)


def read_xrays(path: Path) -> tuple[ClassSpectra | None, ShownElements | None]:
    """Spectra and maps of a micrograph, as far as there are any. Raises InputError if the file is broken."""
    if not path.is_file():
        return None, None
    spectra: ClassSpectra | None = None
    maps: ShownElements | None = None
    try:
        with np.load(path) as kept:
            if "counts" in kept:
                channels, width, offset, beam, resolution = (float(x) for x in kept["about"])
                known = lambda x: None if np.isnan(x) else x
                spectra = ClassSpectra(kept["counts"], kept["particles"], EnergyAxis(int(channels), width, offset),
                                       known(beam), known(resolution))  # fmt: skip
            if "maps" in kept:
                named = dict(zip(kept["lines"].tolist(), kept["maps"], strict=True))
                maps = ShownElements(named, float(kept["map_pixel_um"]), note=str(kept["note"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as spectra of 'sem-train classify predict'; predict again") from error
    return spectra, maps


def _sum_of(particles: int, counts: np.ndarray) -> str:
    what = f"sum of {particles} particles" if particles > 1 else "one particle"
    return f"{what}, {shown(int(counts.sum()))} counts"
