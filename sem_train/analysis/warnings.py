"""What a reader of a result must be told before the numbers."""

from collections.abc import Sequence

from sem_train.analysis.segmentation import Segmented
from sem_train.measure import FieldMeasurement
from sem_train.measure.tables.rows import Row
from sem_train.measure.uncertainty import SLOW, SegmentationError


def warnings_of(
    found: Segmented, field: FieldMeasurement, rows: Sequence[Row], segmentation: SegmentationError | None
) -> tuple[str, ...]:
    """In order of weight: no scale, nothing found, layers that are not what their number says, what is not known."""
    said = []
    if found.scale.source == "none":
        said.append(f"No scale: lengths are in pixels. {found.scale.note}".rstrip())
    elif found.scale.source == "scale_bar":
        said.append(f"The scale was read off the scale bar. {found.scale.note}".rstrip())
    if found.every > 1:
        said.append(
            f"Very large: of its label map every {found.every}. row and column was measured; "
            "pixels are those of that map."
        )
    if field.layers and not any(layer.present for layer in field.layers.values()):
        said.append("No layer was found.")
    for name, layer in field.layers.items():
        if layer.note and not _only_absent(layer.note):
            said.append(f"{name}: {layer.note}.")
        if layer.present and any(r.name == name and r.note and SLOW in r.note for r in rows):
            said.append(
                f"{name}: the thickness varies so slowly along the field that one field says little of the specimen; "
                "take more fields, or a lower magnification."
            )
    if segmentation is None:
        said.append(
            "The segmentation error of the model is not known and not in the uncertainties: "
            "'sem-train evaluate RUN --data DATA --calibrate' finds it out."
        )
    return tuple(said)


def _only_absent(note: str) -> bool:
    """Whether a layer is simply missing, which tables say."""
    return note in ("absent", "not in the map")
