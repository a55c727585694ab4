"""A segmented image to numbers and files: label map, pictures, lines for Fiji, single objects, and its record."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sem_train.analysis.options import AnalysisOptions, sources_of
from sem_train.analysis.record import Distribution, ImageRecord, Legend, ProfileRecord, write_record
from sem_train.analysis.segmentation import Segmented
from sem_train.analysis.warnings import warnings_of
from sem_train.classes import ClassMap
from sem_train.colours import colour_of, is_tinted
from sem_train.fiji import write_rois
from sem_train.measure import FieldMeasurement, Section, measure_section, prepare
from sem_train.measure.layers.profile import Profile
from sem_train.measure.tables.objects import write_objects
from sem_train.measure.tables.rows import rows_of
from sem_train.measure.uncertainty import SegmentationError, uncertainties
from sem_train.micrographs import write_label_tiff
from sem_train.overlays import write_overlay
from semforge.files import whole_file

MOST_VALUES = 5000  # of a distribution in a record: a page's histogram needs no more


@dataclass(frozen=True)
class FieldSettings:
    """What all images of an analysis share."""

    out: Path
    classes: ClassMap
    options: AnalysisOptions
    settings: str  # digest
    provenance: dict[str, str]
    segmentation: SegmentationError | None  # what this model gets wrong, where it is known


def files_of(out: Path, name: str) -> tuple[Path, ...]:
    """What is written of an image beside its record, which comes last."""
    return out / f"{name}_labels.tif", out / f"{name}.jpg", out / f"{name}_overlay.png", out / f"{name}_objects.csv"


def analyse_field(found: Segmented, about: FieldSettings) -> ImageRecord:
    """Measure a segmented image and write its files and its record. Raises InputError if it cannot be measured."""
    name, pixel_size_um, classes, options = found.job.name, found.pixel_size_um, about.classes, about.options
    section = prepare(found.labels, classes)
    field = measure_section(section, pixel_size_um, options.section_tilt_deg, options.roughness_cutoff)
    sources = sources_of(found.scale.source, options, about.segmentation)
    rows = rows_of(name, field, uncertainties(section, field, sources))
    label_map, picture, tinted, objects = files_of(about.out, name)
    write_label_tiff(label_map, found.labels, classes, pixel_size_um)
    _write_preview(picture, found.preview)
    write_overlay(tinted, found.preview, _shrunk(found.labels, found.preview.shape), classes)
    write_objects(objects, name, field)
    if options.lines and section.envelopes:
        write_rois(about.out / f"{name}_rois.zip", found.labels, section, options.lines)
    record = ImageRecord(
        name=name,
        source=str(found.job.path),
        sha256=found.sha256,
        specimen=found.job.specimen,
        width_px=found.labels.shape[1],
        height_px=found.labels.shape[0],
        unit=field.unit,
        pixel_size_um=pixel_size_um,
        scale_source=found.scale.source,
        scale_note=found.scale.note,
        databar_rows=found.databar_rows,
        instrument=found.instrument,
        warnings=warnings_of(found, field, rows, about.segmentation),
        classes=_legend(classes),
        rows=tuple(rows),
        profiles={layer: _profile(m.profile) for layer, m in field.layers.items() if m.profile is not None},
        distributions=_distributions(section, field),
        provenance=about.provenance,
        settings=about.settings,
    )
    write_record(about.out, record)
    return record


def _legend(classes: ClassMap) -> tuple[Legend, ...]:
    return tuple(
        Legend(
            id=i,
            name=c.name,
            role=c.role,
            host=c.host,
            colour=colour_of(c.name, classes) if is_tinted(c.role) else None,
        )
        for i, c in enumerate(classes.classes)
    )


def _profile(profile: Profile) -> ProfileRecord:
    number = lambda v: round(float(v), 4) if np.isfinite(v) else None
    point = lambda p: (round(float(p[0]), 2), round(float(p[1]), 2)) if np.isfinite(p).all() else None
    return ProfileRecord(
        along=tuple(round(float(v), 4) for v in profile.along),
        thickness=tuple(map(number, profile.thickness)),
        outer_xy=tuple(map(point, profile.outer_xy)),
        inner_xy=tuple(map(point, profile.inner_xy)),
    )


def _distributions(section: Section, field: FieldMeasurement) -> dict[str, Distribution]:
    found = {}
    for layer, measured in field.layers.items():
        if measured.profile is not None and measured.present:
            found[f"{layer} thickness"] = _distribution(f"{layer}, thickness", field.unit, measured.profile.thickness)
    for name, inclusion in field.inclusions.items():
        found[f"{name} ecd"] = _distribution(f"{name}, equivalent circle diameter", field.unit, inclusion.ecd)
    for name, particles in field.particles.items():
        found[f"{name} ecd"] = _distribution(f"{name}, equivalent circle diameter", field.unit, particles.ecd)
    return {key: d for key, d in found.items() if d.values}


def _distribution(title: str, unit: str, values: np.ndarray) -> Distribution:
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if len(finite) > MOST_VALUES:
        finite = np.quantile(finite, (np.arange(MOST_VALUES) + 0.5) / MOST_VALUES)
    return Distribution(title=title, unit=unit, values=tuple(round(float(v), 5) for v in finite))


def _shrunk(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Class ids of the nearest pixels, (h, w) as the preview is."""
    rows, columns = ((np.arange(n) + 0.5) * size / n for n, size in zip(shape, labels.shape, strict=True))
    return labels[rows.astype(int)[:, None], columns.astype(int)]


def _write_preview(path: Path, preview: np.ndarray) -> None:
    with whole_file(path) as temporary:
        Image.fromarray(preview).save(temporary, format="JPEG", quality=88)
