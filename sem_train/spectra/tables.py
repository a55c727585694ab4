"""What is evaluated and mapped, as tables."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sem_train.spectra.contents import Share, ShownTable
from sem_train.spectra.evaluation import Row
from sem_train.spectra.mapping import PhaseMap
from sem_train.spectra.named import UNCLASSIFIED
from sem_train.spectra.points import NamedSpectrum
from semforge.files import write_text

COLUMNS = (
    "data", "method", "counts", "binning", "spectra", "accuracy", "mean_recall", "top3", "accuracy_of_named",
    "unclassified", "boundary", "interior", "share_error", "refused_strangers", "seconds", "spectra_per_second",
)  # fmt: skip
RESAMPLES, BLOCKS_ALONG = 500, 8  # an image is drawn again in so many blocks along each side


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Scores as CSV, a line a method and condition."""
    _write(path, COLUMNS, [_values(row) for row in rows])


def write_recall(path: Path, rows: Sequence[Row], classes: Sequence[str]) -> None:
    """Recall of each class as CSV, a line a method and condition."""
    head = ("data", "method", "counts", "binning", *classes)
    _write(path, head, [(r.data, r.method, _short(r.counts), r.binning, *map(_short, r.scores.recall)) for r in rows])


def write_confusion(path: Path, rows: Sequence[Row], classes: Sequence[str]) -> None:
    """Confusion as CSV: a line a true class, method and condition; columns are what it was called."""
    head = ("data", "method", "counts", "binning", "true", *classes, "unclassified")
    lines = [
        (row.data, row.method, _short(row.counts), row.binning, name, *row.scores.confusion[k])
        for row in rows
        for k, name in enumerate(classes)
    ]
    _write(path, head, lines)


def write_points(path: Path, named: Sequence[NamedSpectrum]) -> None:
    """Names of point spectra as CSV."""
    head = ("file", "name", "first", "probability", "second", "probability_2", "third", "probability_3", "distance",
            "counts", "decided_by", "why_unclassified", "note")  # fmt: skip
    lines = []
    for one in named:
        best = [part for name, p in (*one.best, ("", ""), ("", ""), ("", ""))[:3] for part in (name, _short(p))]
        lines_for = "; ".join(d.describe() for d in one.deciders if d.weight > 0)
        about = (_short(one.distance), f"{one.counts:.0f}", lines_for, one.why, one.note or "")
        lines.append((one.path.name, one.name or "", *best, *about))
    _write(path, head, lines)


def write_shares(path: Path, shares: Sequence[Share]) -> None:
    """Shares of phases as CSV."""
    head = ("phase", "share", "low_95", "high_95", "pixels")
    _write(path, head, [(s.name, _short(s.share), _short(s.low_95), _short(s.high_95), s.count) for s in shares])


def scores_table(title: str, rows: Sequence[Row], note: str = "") -> ShownTable:
    """For a page."""
    head = ("data", "method", "counts a pixel", "binning", "accuracy", "mean recall", "boundary", "interior",
            "share error", "unclassified", "spectra a second")  # fmt: skip
    cells = tuple(
        (r.data, r.method, round(r.counts), r.binning, _rounded(r.scores.accuracy), _rounded(r.scores.mean_recall),
         _rounded(r.scores.boundary), _rounded(r.scores.interior), _rounded(r.scores.share_error),
         _rounded(r.scores.unclassified), round(r.speed) if np.isfinite(r.speed) else None)
        for r in rows
    )  # fmt: skip
    return ShownTable(title, head, cells, note)


def shares_of_map(found: PhaseMap, seed: int = 0) -> list[Share]:
    """Share of each class in the mapped area, by soft shares where the method unmixes, else by names.

    Squares without a name count as unclassified. Intervals of 95 % are of blocks of the image drawn again, so they
    hold what differs from place to place in this image, not what a classifier confuses.
    """
    named = found.labels != UNCLASSIFIED
    parts = found.scores if found.unmixed else np.eye(len(found.classes), dtype=np.float32)[found.labels.clip(0)]
    parts = np.concatenate([parts * named[..., None], ~named[..., None]], axis=-1)
    height, width = found.labels.shape
    rows, columns = (np.linspace(0, n, min(n, BLOCKS_ALONG) + 1).astype(int)[:-1] for n in (height, width))
    sums = np.add.reduceat(np.add.reduceat(parts.astype(np.float64), rows, 0), columns, 1).reshape(-1, parts.shape[-1])
    pixels = sums.sum(-1)
    share = sums.sum(0) / pixels.sum()
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    drawn = sums[picks].sum(1) / pixels[picks].sum(1)[:, None]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    some = len(sums) > 3
    counts = [int((found.labels == k).sum()) for k in (*range(len(found.classes)), UNCLASSIFIED)]
    names = (*found.classes, "unclassified")
    return [
        Share(name, float(share[k]), float(low[k]) if some else None, float(high[k]) if some else None, counts[k])
        for k, name in enumerate(names)
    ]


def _values(row: Row) -> tuple[object, ...]:
    s = row.scores
    numbers = (s.accuracy, s.mean_recall, row.top3, s.accuracy_of_named, s.unclassified, s.boundary, s.interior,
               s.share_error, s.refused, row.seconds, row.speed)  # fmt: skip
    return (row.data, row.method, _short(row.counts), row.binning, s.spectra, *map(_short, numbers))


def _short(value: object) -> str:
    if value is None or value == "" or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return ""
    return f"{value:.6g}"


def _rounded(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _write(path: Path, head: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    write_text(path, text.getvalue())
