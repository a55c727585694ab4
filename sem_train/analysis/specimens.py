"""The fields of each specimen in one result."""

from collections.abc import Sequence

from sem_train.analysis.options import AnalysisOptions, sources_of
from sem_train.analysis.record import ImageRecord, SpecimenRecord
from sem_train.measure.uncertainty import FieldRows, SegmentationError, combine_fields, specimen_rows
from semforge.errors import InputError


def combined(
    records: Sequence[ImageRecord], options: AnalysisOptions, segmentation: SegmentationError | None
) -> tuple[SpecimenRecord, ...]:
    """One result a specimen, in the order in which specimens first appear."""
    names = dict.fromkeys(record.specimen for record in records)
    return tuple(_specimen(n, [r for r in records if r.specimen == n], options, segmentation) for n in names)


def _specimen(
    name: str, records: Sequence[ImageRecord], options: AnalysisOptions, segmentation: SegmentationError | None
) -> SpecimenRecord:
    images = tuple(record.name for record in records)
    fields = [FieldRows(record.name, record.rows, record.pixel_size_um) for record in records]
    scales = {record.scale_source for record in records}
    worst = max((sources_of(scale, options, segmentation) for scale in scales), key=lambda s: s.calibration_percent)
    try:
        rows = specimen_rows(name, combine_fields(name, fields, worst))
    except InputError as error:
        return SpecimenRecord(name=name, images=images, rows=(), warnings=(f"fields not combined: {error}",))
    warnings = ("one field: how fields of this specimen differ is not known",) if len(records) == 1 else ()
    return SpecimenRecord(name=name, images=images, rows=tuple(rows), warnings=warnings)
