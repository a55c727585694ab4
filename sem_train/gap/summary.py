"""The gap between two sets on the terminal, and as a sheet of the crops that give it away."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sem_train.gap.classifier import Estimate
from sem_train.gap.comparison import Gap, Telling
from sem_train.gap.crops import Crops
from sem_train.gap.statistics import PATTERNS
from semforge.errors import InputError
from semforge.files import whole_file
from semforge.tables import plain_table

TELLING = 3  # statistics named in the sentence
EXPLAINED = 4  # statistics of each family listed by --explain
SIGNIFICANT = 0.1  # Kolmogorov-Smirnov distance above the real set's own that is worth a name
SHEET_ROWS, SHEET_COLUMNS = 2, 4  # crops in each quarter of the sheet


def summary(gap: Gap, explain: bool = False) -> Group:
    """The three figures beside those between real halves, and what tells the sets apart."""
    tables = (_figures(gap), _alone(gap), _telling(gap)) if explain else (_figures(gap),)
    return Group(*tables, Text(sentence(gap)))


def sentence(gap: Gap) -> str:
    """What tells the sets apart most, in words."""
    found = [t for t in gap.telling if t.excess > SIGNIFICANT]
    named = [t for t in found if t.family != PATTERNS] or found  # a recipe has no setting for patterns of neighbours
    if gap.figures.accuracy.low <= 0.5 or not named:
        return "The classifier does not tell these sets apart."
    return f"Told apart most by: {'; '.join(map(_phrase, _spread_over_families(named)[:TELLING]))}."


def refuse_bad_sheet(path: Path) -> None:
    """Raise InputError, before any work is done, if no sheet can be written to `path`."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: cannot write this kind of picture, expected .png")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a picture to write")


def write_sheet(path: Path, gap: Gap) -> None:
    """Real crops on the left, synthetic ones on the right, as a PNG; never two crops of one image in a quarter.

    Above, those that the classifier is most sure of, rightly: what gives them away. Below, those it takes for
    the other set most firmly. Crops are shown pixel by pixel, with the grey levels they have.
    """
    real, synthetic = gap.crops
    quarters = [
        ("real, surely told", real, np.argsort(gap.logits[0])),
        ("synthetic, surely told", synthetic, np.argsort(-gap.logits[1])),
        ("real, most like synthetic", real, np.argsort(-gap.logits[0])),
        ("synthetic, most like real", synthetic, np.argsort(gap.logits[1])),
    ]
    side = max(1.0, gap.settings.crop_px / 100)  # inches, 100 pixels each
    figure = Figure(figsize=(2 * SHEET_COLUMNS * side, 2 * (SHEET_ROWS * side + 0.3)), dpi=150, layout="constrained")
    parts = np.asarray(figure.subfigures(2, 2)).ravel()
    for part, (title, crops, order) in zip(parts, quarters, strict=True):
        part.suptitle(title, fontsize=9)
        axes = part.subplots(SHEET_ROWS, SHEET_COLUMNS).ravel()
        for axis in axes:
            axis.set_axis_off()
        for axis, position in zip(axes, _one_an_image(crops, order), strict=False):
            axis.imshow(crops.grey[position], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    with whole_file(path) as temporary:
        figure.savefig(temporary)


def _one_an_image(crops: Crops, order: np.ndarray) -> list[int]:
    _, first = np.unique(crops.image[order], return_index=True)
    return [int(order[i]) for i in np.sort(first)]


def _figures(gap: Gap) -> Table:
    table = plain_table(f"{gap.synthetic.name} against {gap.real.name}", "", "synthetic, real", "two halves of real")
    rows = (
        ("grey levels (of 255)", "grey_raw", 1),
        ("grey levels, normalised", "grey_normalised", 1),
        ("power spectra, dB", "spectrum_db", 2),
        ("told apart, accuracy", "accuracy", 3),
    )
    for title, name, digits in rows:
        own = _ranged(getattr(gap.halves, name), digits) if gap.halves else "–"
        table.add_row(title, _ranged(getattr(gap.figures, name), digits), own)
    counts = [f"{s.images} images of {s.specimens} specimens, {s.crops} crops" for s in (gap.real, gap.synthetic)]
    table.caption = (
        f"real: {counts[0]}; synthetic: {counts[1]}, of {gap.settings.crop_px} px. Grey levels: "
        "Wasserstein distance, as they are and with each image stretched between its percentiles; spectra: rms "
        "difference; accuracy: on crops of held-out specimens, 0.5 is perfect, in brackets 95 % over specimens. "
        "Halves: mean, lowest and highest of ten random splits by specimen"
    )
    return table


def _ranged(e: Estimate, digits: int) -> str:
    if e.low == e.high == e.value:
        return f"{e.value:.{digits}f}"
    return f"{e.value:.{digits}f} ({e.low:.{digits}f} to {e.high:.{digits}f})"


def _alone(gap: Gap) -> Table:
    table = plain_table("Told apart by one kind of statistic alone", "", "held-out accuracy")
    for family, accuracy in sorted(gap.alone.items(), key=lambda item: -item[1]):
        table.add_row(family, f"{accuracy:.3f}")
    return table


def _telling(gap: Gap) -> Table:
    table = plain_table("Most telling statistics", "", "real", "synthetic", "apart", "halves")
    for t in explained(gap.telling):
        own = "–" if t.halves is None else f"{t.halves:.2f}"
        table.add_row(t.name, _spread(t.real), _spread(t.synthetic), f"{t.distance:.2f}", own)
    table.caption = (
        "medians (quartiles) over crops; apart: Kolmogorov-Smirnov distance, 0 the same distribution, 1 no overlap; "
        "halves: that between halves of the real set; logarithms to base 2"
    )
    return table


def explained(telling: Sequence[Telling]) -> list[Telling]:
    """The most telling statistics, `EXPLAINED` of a family: those of a family say much the same."""
    count: Counter[str] = Counter()
    shown = []
    for t in telling:
        count[t.family] += 1
        if count[t.family] <= EXPLAINED and t.excess > SIGNIFICANT:
            shown.append(t)
    return shown


def _spread(quartiles: tuple[float, float, float]) -> str:
    low, middle, high = quartiles
    return f"{middle:.2g} ({low:.2g}…{high:.2g})" if abs(middle) < 10 else f"{middle:.0f} ({low:.0f}…{high:.0f})"


def _spread_over_families(telling: list[Telling]) -> list[Telling]:
    """The most telling statistic of each family, most telling first."""
    best: dict[str, Telling] = {}
    for t in telling:
        best.setdefault(t.family, t)
    return list(best.values())


def _phrase(t: Telling) -> str:
    return f"{t.name} (real {t.real[1]:.3g}, synthetic {t.synthetic[1]:.3g})"
