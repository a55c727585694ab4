"""What a folder of analysed images holds beside the files of each: tables, and all specimens together."""

from collections.abc import Sequence
from pathlib import Path

from sem_train.analysis.options import AnalysisOptions
from sem_train.analysis.record import Failure, FolderRecord, ImageRecord, write_record
from sem_train.analysis.runner import Outcome
from sem_train.analysis.specimens import combined
from sem_train.measure.tables.rows import write_table
from sem_train.measure.tables.wide import write_summary
from sem_train.measure.uncertainty import SegmentationError

QUANTITIES, SUMMARY, SPECIMENS = "quantities.csv", "summary.csv", "specimens.csv"


def write_folder(
    out: Path,
    outcomes: Sequence[Outcome],
    options: AnalysisOptions,
    segmentation: SegmentationError | None,
    command: str = "",
) -> FolderRecord:
    """Write the tables over all images and `analysis.json`; images that failed are named in the latter."""
    records = [o.result for o in outcomes if isinstance(o.result, ImageRecord)]
    failures = tuple(o.result for o in outcomes if isinstance(o.result, Failure))
    specimens = combined(records, options, segmentation)
    folder = FolderRecord(
        images=tuple(r.name for r in records),
        failures=failures,
        specimens=specimens,
        command=command,
        provenance=records[0].provenance if records else {},
    )
    rows = [row for record in records for row in record.rows]
    write_table(out / QUANTITIES, rows)
    write_summary(out / SUMMARY, rows)
    write_table(out / SPECIMENS, [row for specimen in specimens for row in specimen.rows])
    write_record(out, folder)
    return folder
