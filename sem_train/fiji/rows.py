"""Thickness by lines as rows of the table of measurements."""

from collections.abc import Iterator

from rich.text import Text

from sem_train.fiji.corrected import MOVED_PX, Corrected, LineCorrection
from sem_train.fiji.lines import LineStatistics, MeasuringLine, line_statistics
from sem_train.measure.tables.rows import Row

METHOD = "evenly spaced lines, zero where the layer is missing"
TOLERANCE = f"moved: an end by more than {MOVED_PX:g} px"


def laid_rows(
    image: str, lines: dict[str, tuple[MeasuringLine, ...]], pixel: float, unit: str
) -> list[Row]:  # fmt: skip
    """What the lines of each layer give as they were laid; `pixel` is the edge of a pixel in the unit."""
    rows = []
    for layer, of_layer in lines.items():
        statistics = line_statistics((line.length_px for line in of_layer), pixel)
        rows += _statistics(image, layer, "lines", statistics, unit)
    return rows


def corrected_rows(image: str, corrected: Corrected, unit: str) -> list[Row]:
    """Automatic and corrected lines of each layer, and how many were left, moved, added and deleted."""
    rows = []
    for layer, correction in corrected.lines.items():
        rows += _statistics(image, layer, "lines", correction.automatic, unit)
        rows += _statistics(image, layer, "corrected_lines", correction.corrected, unit)
        for what in ("unchanged", "moved", "added", "deleted"):
            number = getattr(correction, what)
            rows.append(Row(image, "layer", layer, "", f"lines_{what}", number, "", TOLERANCE, method=METHOD))
    return rows


def correction_lines(image: str, corrected: Corrected, unit: str) -> Iterator[Text]:
    """One line of text a layer: both thicknesses and what was changed."""
    shown = {"um": "µm"}.get(unit, unit)
    for layer, c in corrected.lines.items():
        if c.automatic.n or c.corrected.n:
            yield Text(
                f"{image}, {layer}: {_shown(c.automatic)} by lines, {_shown(c.corrected)} {shown} corrected; "
                f"{_changes(c)} ({TOLERANCE})"
            )


def _statistics(image: str, layer: str, which: str, statistics: LineStatistics, unit: str) -> list[Row]:
    return [
        Row(image, "layer", layer, "", f"thickness_by_{which}_mean", statistics.mean, unit, "", method=METHOD),
        Row(image, "layer", layer, "", f"thickness_by_{which}_sd", statistics.sd, unit, "", method=METHOD),
        Row(image, "layer", layer, "", f"thickness_by_{which}_n", statistics.n, "", "", method=METHOD),
    ]


def _shown(statistics: LineStatistics) -> str:
    if statistics.mean is None:
        return "–"
    sd = "" if statistics.sd is None else f" ± {statistics.sd:.2f}"
    return f"{statistics.mean:.2f}{sd} (n {statistics.n})"


def _changes(c: LineCorrection) -> str:
    return f"{c.unchanged} unchanged, {c.moved} moved, {c.added} added, {c.deleted} deleted"
