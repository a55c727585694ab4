"""`sem-train classify predict`: many micrographs to classified particles. What is done is kept, what fails is named."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from blender_gen.sample import SampleFile
from sem_train.analysis.inputs import jobs_of
from sem_train.analysis.record import Failure
from sem_train.classification.class_spectra import SUFFIX as XRAYS
from sem_train.classification.class_spectra import class_spectra, stored_maps, write_xrays
from sem_train.classification.field import Frame, Names, named_particles
from sem_train.classification.particle_pictures import files_of, write_pictures
from sem_train.classification.particle_records import SUFFIX, ParticlesRecord, read_particles, write_particles
from sem_train.classification.particle_spectra import (
    ParticleSpectra,
    SpectrumEntry,
    on_axis,
    read_spectrum_table,
    spectra_from_files,
    spectra_from_image,
    spectrum_image_of,
    summed_spectra,
)
from sem_train.classification.segments import (
    Objects,
    by_map,
    by_model,
    by_threshold,
    map_of,
    of_instances,
    whole_picture,
)
from sem_train.data.pictures import file_identity
from sem_train.inference import TrainedModel, checkpoint_of, load_run
from sem_train.micrographs import Micrograph, read_micrograph
from sem_train.provenance import versions
from sem_train.spectra.contents import ShownElements
from semforge.errors import InputError
from semforge.settings import Settings
from semforge.spectra import EnergyAxis, SpectrumImage

log = logging.getLogger(__name__)
SAMPLES = (".h5", ".hdf5")  # files of semforge's own samples
NOBODY = 0  # in a sample's list of whose spectra it keeps


class PredictOptions(Settings):
    """Where particles and their spectra come from, and how micrographs are read."""

    segmenter: Path | None = None  # run folder of `sem-train fit` with a class of role particle
    instances: Path | None = None  # map, or folder of maps, of one number a particle
    labels: Path | None = None  # map, or folder of maps, of class ids
    threshold: Literal["bright", "dark"] | None = None  # particles are what is brighter or darker than the rest
    whole: bool = False  # each picture is of one particle
    spectra: Path | None = None  # table of spectrum files
    spectrum_images: Path | None = None  # spectrum image registered to the micrograph, or folder of them
    pixel_size_um: float | None = Field(None, gt=0, allow_inf_nan=False)
    accept_scale_bar: bool = False
    explain: int = Field(0, ge=0)  # particles of each micrograph of which it is shown what decided

    @model_validator(mode="after")
    def _one_source(self) -> "PredictOptions":
        names = ("segmenter", "instances", "labels", "threshold", "whole")
        ways = [f"--{name}" for name in names if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)}: give one of them, particles can be found in one way")
        if self.spectra is not None and self.spectrum_images is not None:
            raise ValueError("--spectra and --spectrum-images: give one of them")
        return self

    @property
    def finds_particles(self) -> bool:
        """Whether a way to find particles is given; sample files bring theirs."""
        return bool(self.segmenter or self.instances or self.labels or self.threshold or self.whole)


@dataclass(frozen=True)
class FieldJob:
    """One micrograph: an image file, or one sample of a file of samples."""

    path: Path
    name: str  # of its files in the output folder
    sample: str
    position: int | None = None  # in a file of samples


@dataclass(frozen=True)
class FieldOutcome:
    """What became of one micrograph."""

    job: FieldJob
    result: ParticlesRecord | Failure
    was_there: bool = False  # from an earlier call


@dataclass(frozen=True, eq=False)
class Seen:
    """A micrograph ready to be classified."""

    image: np.ndarray  # (H, W) without databar
    objects: Objects
    spectra: ParticleSpectra | None
    frame: Frame
    scale_note: str
    warnings: tuple[str, ...] = ()
    maps: ShownElements | None = None  # of elements, where a sample keeps any


Explain = Callable[[ParticlesRecord, Seen, Path], ParticlesRecord]


def field_jobs(images: Sequence[Path], samples: Path | None, sample: str | None) -> tuple[FieldJob, ...]:
    """The images named, those of the folders named, and the samples of the files named, in that order.

    Which sample (of air, water, soil) each shows is said by `samples`, a CSV with the columns name and specimen, or by
    `sample` for all; with neither each is a sample of its own. Raises InputError as `jobs_of`.
    """
    pictures = [p for p in images if p.suffix.lower() not in SAMPLES]
    found = [FieldJob(j.path, j.name, j.specimen) for j in jobs_of(pictures, samples, sample)] if pictures else []
    for path in (p for p in images if p.suffix.lower() in SAMPLES):
        with SampleFile(path) as file:
            for position, index in enumerate(file.index):
                name = f"{file.path.parent.name if path.is_dir() else path.stem}_{int(index):06d}"
                found.append(FieldJob(file.path, name, sample or name, position))
    names = [job.name for job in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two images are named {twice!r}, so one result would replace the other; rename one")
    if not found:
        raise InputError("no images given")
    return tuple(found)


class FieldReader:
    """Reads micrographs, finds their particles and the spectra of these.

    Raises InputError if options contradict each other or name what is not there.
    """

    def __init__(self, options: PredictOptions, axis: EnergyAxis | None, jobs: Sequence[FieldJob]):
        self.options, self.axis = options, axis
        pictures = [job for job in jobs if job.position is None]
        if pictures and not options.finds_particles:
            raise InputError("nothing says where the particles are; give --segmenter RUN, --instances, --labels, "
                             "--threshold bright or dark, or --whole for pictures of one particle each")  # fmt: skip
        self.segmenter: TrainedModel | None = load_run(options.segmenter) if options.segmenter else None
        table = read_spectrum_table(options.spectra) if options.spectra else ()
        self.entries: dict[str, list[SpectrumEntry]] = {}
        for entry in table:
            self.entries.setdefault(entry.image, []).append(entry)
        unknown = sorted(self.entries.keys() - {job.name for job in jobs})
        if self.entries and not self.entries.keys() & {job.name for job in jobs}:
            raise InputError(f"{options.spectra}: names none of the images given, but {', '.join(unknown[:3])}")

    def digest(self, job: FieldJob) -> str:
        """Of all files beside the image that decide what is seen of it, as far as they are there."""
        files = [self._map(job), *(e.file for e in self.entries.get(job.name, ())), self._spectrum_image(job)]
        known = [file_identity(f) for f in files if f is not None and f.is_file()]
        model = file_identity(checkpoint_of(self.options.segmenter)) if self.options.segmenter else ""
        return hashlib.sha256(json.dumps([model, *known]).encode()).hexdigest()[:16]

    def read(self, job: FieldJob) -> Seen:
        """A micrograph with its particles and spectra. Raises InputError if any of it cannot be used."""
        return self._sample(job) if job.position is not None else self._picture(job)

    def _picture(self, job: FieldJob) -> Seen:
        micrograph = read_micrograph(job.path, self.options.pixel_size_um, self.options.accept_scale_bar)
        image, rows = micrograph.specimen, micrograph.specimen_rows
        warnings = [] if image.min() < image.max() else ["every pixel has the same grey level"]
        objects = self._objects(job, micrograph)
        spectra = None
        if len(objects):
            spectra = spectra_from_files(self.entries.get(job.name, ()), objects, rows.start, self.axis)
            if (path := self._spectrum_image(job)) is not None:
                spectra = spectra_from_image(path, objects, image.shape, self.axis)
        else:
            warnings.append("no particles found")
        frame = Frame(rows.start, micrograph.pixel_size_um)
        return Seen(image, objects, spectra, frame, micrograph.scale.note, tuple(warnings))

    def _objects(self, job: FieldJob, micrograph: Micrograph) -> Objects:
        if self.segmenter is not None:
            return by_model(self.segmenter, micrograph)
        if (path := self._map(job)) is not None:
            return by_map(path, micrograph, instances=self.options.instances is not None)
        if self.options.threshold is not None:
            return by_threshold(micrograph.specimen, self.options.threshold)
        return whole_picture(micrograph.specimen)

    def _sample(self, job: FieldJob) -> Seen:
        assert job.position is not None
        with SampleFile(job.path) as file:
            image, instances = file.image(job.position), file.instance(job.position)
            pixel_size_um = float(file.pixel_size_um[job.position])
            objects = of_instances(instances)
            spectra = _stored_spectra(file, job.position, objects, self.axis)
            maps = stored_maps(file, job.position)
        warnings = () if len(objects) else ("no particles found",)
        return Seen(image, objects, spectra, Frame(0, pixel_size_um), "from the recipe", warnings, maps)

    def _map(self, job: FieldJob) -> Path | None:
        given = self.options.instances or self.options.labels
        return None if given is None or job.position is not None else map_of(given, job.path.stem)

    def _spectrum_image(self, job: FieldJob) -> Path | None:
        given = self.options.spectrum_images
        return None if given is None or job.position is not None else spectrum_image_of(given, job.path.stem)


def classify_fields(
    jobs: Sequence[FieldJob], classifier: Names, reader: FieldReader, out: Path, identity: str,
    explain: Explain | None = None, told: Callable[[FieldOutcome], None] = lambda outcome: None,
) -> tuple[FieldOutcome, ...]:  # fmt: skip
    """Classify the particles of micrographs and write a record of each into `out`, in the order of `jobs`.

    A micrograph whose record in `out` is of the same content, classifier (`identity`) and options is not classified
    again. One that cannot be used is an outcome too.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected a folder for the results")
    beside = next(
        (job.path for job in jobs if job.position is None and job.path.parent.resolve() == out.resolve()), None
    )
    if beside is not None:
        raise InputError(f"{out}: holds {beside.name}, which results of that name would replace; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for job in jobs:
        outcome = _outcome(job, classifier, reader, out, identity, explain)
        told(outcome)
        outcomes.append(outcome)
    return tuple(outcomes)


def _outcome(
    job: FieldJob, classifier: Names, reader: FieldReader, out: Path, identity: str, explain: Explain | None
) -> FieldOutcome:
    try:
        sha256 = file_identity(job.path) + ("" if job.position is None else f":{job.position}")
        settings = _settings(reader, job, identity)
        known = _known(out / f"{job.name}{SUFFIX}", job, sha256, settings)
        if known is not None:
            return FieldOutcome(job, known, was_there=True)
        record, seen = _classified(job, classifier, reader, sha256, settings)
        write_pictures(out, record, seen.image, seen.objects.numbers, classifier.classes)
        spectra = None if seen.spectra is None else class_spectra(record, seen.spectra, classifier.classes)
        write_xrays(out / f"{job.name}{XRAYS}", spectra, seen.maps)
        if explain is not None:
            record = explain(record, seen, out)
        write_particles(out, record)
        return FieldOutcome(job, record)
    except InputError as error:
        return _failed(job, str(error).removeprefix(f"{job.path}: "))
    except MemoryError:
        return _failed(job, "does not fit into memory")
    except Exception as error:  # one bad image must not end the work on the others
        log.exception("%s", job.path)
        return _failed(job, f"unexpected {type(error).__name__}: {error}")


def _failed(job: FieldJob, reason: str) -> FieldOutcome:
    return FieldOutcome(job, Failure(source=str(job.path), reason=reason))


def _classified(
    job: FieldJob, classifier: Names, reader: FieldReader, sha256: str, settings: str
) -> tuple[ParticlesRecord, Seen]:
    seen = reader.read(job)
    particles = named_particles(seen.image, seen.objects, seen.spectra, classifier, seen.frame)
    pixel = seen.frame.pixel_size_um
    unnamed = sum(not p.name for p in particles)
    warnings = [*seen.warnings, *([] if pixel else ["no scale: lengths are in pixels"])]
    if unnamed:
        warnings.append(f"{unnamed} of {len(particles)} particles have nothing that the classifier reads: no name")
    return ParticlesRecord(
        name=job.name, source=str(job.path), sha256=sha256, sample=job.sample, width_px=seen.image.shape[1],
        height_px=seen.image.shape[0], unit="um" if pixel else "px", pixel_size_um=pixel, scale_note=seen.scale_note,
        separation=seen.objects.separation, warnings=tuple(warnings),
        problems=seen.spectra.problems if seen.spectra is not None else (), particles=particles, settings=settings,
    ), seen  # fmt: skip


def _settings(reader: FieldReader, job: FieldJob, identity: str) -> str:
    about = [identity, reader.options.model_dump(mode="json"), reader.digest(job), versions()["semforge"]]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _known(path: Path, job: FieldJob, sha256: str, settings: str) -> ParticlesRecord | None:
    if not path.exists():
        return None
    try:
        record = read_particles(path)
    except InputError:
        return None
    same = record.settings == settings and record.sha256 == sha256 and record.sample == job.sample
    files = [path.parent / p.decision.picture for p in record.particles if p.decision and p.decision.picture]
    if any(p.counts for p in record.particles):
        files.append(path.parent / f"{job.name}{XRAYS}")
    return record if same and all(f.exists() for f in (*files, *files_of(path.parent, job.name))) else None


def _stored_spectra(
    file: SampleFile, position: int, objects: Objects, want: EnergyAxis | None
) -> ParticleSpectra | None:
    """Spectra that a sample keeps: those of its particles, else sums over its spectrum image."""
    kept = [name for name in ("particle_spectra", "spectrum_image") if name in file.edx_names]
    if not kept or not len(objects):
        return None
    about = file.truth(position)["edx"]
    axis, beam = EnergyAxis(**about["axis"]), about.get("beam_kev")
    if kept[0] == "spectrum_image":
        image = SpectrumImage(file.edx(position, "spectrum_image")["spectrum_image"], axis, beam_kev=beam)
        return summed_spectra(image, objects, objects.numbers.shape, want, file.path)
    stored = file.edx(position, "particle_spectra", "particle_instance")
    row_of = {int(n): row for row, n in enumerate(stored["particle_instance"]) if n != NOBODY}
    counts, sources = np.zeros((len(objects), axis.channels)), [""] * len(objects)
    for k, number in enumerate(objects.names):
        if int(number) in row_of:
            counts[k], sources[k] = stored["particle_spectra"][row_of[int(number)]], "sample"
    if want is not None:
        counts, axis = on_axis(counts, axis, want, str(file.path), beam), want
    return ParticleSpectra(counts, axis, beam, None, tuple(sources))
