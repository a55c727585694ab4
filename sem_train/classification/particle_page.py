"""The page of classified particles, made of what is kept on disk alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sem_train.classification import shares as counting
from sem_train.classification.class_spectra import SUFFIX as XRAYS
from sem_train.classification.class_spectra import read_xrays, together
from sem_train.classification.particle_pictures import read_pictures
from sem_train.classification.particle_records import SUFFIX, ParticlesRecord, read_folder, read_particles
from sem_train.spectra.contents import UNNAMED, Card, Share, ShownElements, ShownPhases, ShownPicture, ShownTable, Value
from sem_train.spectra.page import write_page

MOST_ROWS = 200  # of a field's table; the CSV has them all
MOST_ELEMENTS = 4
MAPPED_FIELDS = 6  # micrographs whose element maps are shown: each has as many bytes as its picture
ABOUT = "Particles classified by picture and X-ray spectrum"
TITLES = {"number": "by number", "area": "by area", "volume": "by volume, estimated"}


def write_particle_page(path: Path, folder: Path) -> None:
    """Write the page of a folder that `sem-train classify predict` wrote. Raises InputError if it is none."""
    batch = read_folder(folder)
    records = [read_particles(folder / f"{name}{SUFFIX}") for name in batch.images]
    xrays = [read_xrays(folder / f"{name}{XRAYS}") for name in batch.images]
    spectra = together([one for one, _ in xrays if one is not None])
    mapped = [k for k, (_, maps) in enumerate(xrays) if maps is not None]
    maps = {k: xrays[k][1] for k in mapped[:MAPPED_FIELDS]}
    cards = [_card(record, folder, batch.classes, maps.get(k)) for k, record in enumerate(records)]
    samples = list(dict.fromkeys(share.sample for share in batch.shares))
    count = sum(len(record.particles) for record in records)
    named = sum(bool(p.name) for record in records for p in record.particles)
    rejected = sum(p.rejected for record in records for p in record.particles)
    keys = [(f"{count:,}".replace(",", " "), "particles"), (str(len(records)), "micrographs"),
            (str(len(samples)), "samples"), (f"{100 * named / count:.0f} %" if count else "–", "have a name"),
            (f"{100 * rejected / named:.1f} %" if named else "–", "are like nothing trained on")]  # fmt: skip
    warnings = [*(f"{f.source}: {f.reason}" for f in batch.failures), *batch.warnings,
                *(p for r in records for p in r.problems)]  # fmt: skip
    only = [s for s in batch.shares if s.by == "number"] if len(samples) == 1 else []
    write_page(
        path, samples[0] if len(samples) == 1 else f"{len(samples)} samples",
        cards, about=ABOUT, keys=keys, warnings=warnings,
        shares=[Share(s.name, s.share, s.low_95, s.high_95, s.count) for s in only],
        spectra=() if spectra is None else spectra.shown(batch.classes),
        tables=[_share_table(batch.shares, by) for by in TITLES if any(s.by == by for s in batch.shares)],
        provenance=batch.provenance, command=batch.command,
    )  # fmt: skip


def _share_table(shares: Sequence[counting.Share], by: str) -> ShownTable:
    rows = [s for s in shares if s.by == by]
    corrected = any(s.corrected is not None for s in rows)
    headings = ("sample", "class", "particles", "share, %", "from, %", "to, %",
                *(("corrected, %", "corrected from, %", "corrected to, %") if corrected else ()))  # fmt: skip
    methods = dict.fromkeys(s.method for s in rows)
    note = "; ".join(methods) + ". 95 % intervals."
    if corrected:
        note += " Corrected: the shares that most likely gave those seen, by how often the classifier confuses classes."
    if by == "volume":
        note += " Volumes are those of ellipsoids and round fibres; flat particles are thinner."
    beside = lambda s: (s.corrected, s.corrected_low_95, s.corrected_high_95) if corrected else ()
    cells = [(s.sample, s.name, s.count, *map(_percent, (s.share, s.low_95, s.high_95, *beside(s)))) for s in rows]
    return ShownTable(f"Class shares {TITLES[by]}", headings, tuple(cells), note)


def _card(record: ParticlesRecord, folder: Path, classes: Sequence[str], maps: ShownElements | None) -> Card:
    facts = [f"{record.width_px} × {record.height_px} pixels", f"{len(record.particles)} particles", record.separation]
    if record.pixel_size_um:
        facts.insert(1, f"{record.pixel_size_um:.4g} µm a pixel")
    explained = [p for p in record.particles if p.decision is not None and p.decision.picture]
    opened = lambda file: np.asarray(Image.open(folder / file).convert("RGB"))
    pictures = tuple(
        ShownPicture(f"particle {p.number}: {p.name}", opened(p.decision.picture), _why(p.decision.lines, p.confidence))
        for p in explained if p.decision is not None
    )  # fmt: skip
    shown = _phases(record, folder, classes) if record.particles else None
    return Card(record.name, tuple(filter(None, facts)), (*record.warnings, *record.problems), phases=shown,
                elements=maps, pictures=pictures,
                tables=(_particle_table(record),) if record.particles else ())  # fmt: skip


def _why(lines: Sequence[tuple[str, float]], confidence: float | None) -> str:
    sure = f"probability {confidence:.2f}" if confidence is not None else ""
    by = ", ".join(f"{name} {share:.0%}" for name, share in lines)
    return "; ".join(filter(None, (sure, f"lines that spoke for it: {by}" if by else "")))


def _phases(record: ParticlesRecord, folder: Path, classes: Sequence[str]) -> ShownPhases:
    grey, position, names = read_pictures(folder, record.name, classes)
    pixel = None if record.pixel_size_um is None else record.pixel_size_um * record.width_px / position.shape[1]
    there = position != UNNAMED
    counts = np.bincount(position[there], minlength=len(names))
    area = tuple(Share(name, float(c / max(counts.sum(), 1))) for name, c in zip(names, counts, strict=True) if c)
    note = "Shares of the area of all particles in this picture."
    return ShownPhases(position, names, grey, pixel, shares=area, what="class", note=note)


def _particle_table(record: ParticlesRecord) -> ShownTable:
    unit = "µm" if record.unit == "um" else "px"
    headings = ("particle", "x, px", "y, px", f"diameter, {unit}", "aspect", "circularity", "class", "probability",
                "second", "probability of it", "rejected", "counts", "intensity shares", "named by")  # fmt: skip
    rows: list[tuple[Value, ...]] = []
    for p in record.particles[:MOST_ROWS]:
        elements = ", ".join(f"{e.element} {e.share:.0%}" for e in p.elements[:MOST_ELEMENTS] if e.share > 0)
        rows.append((
            p.number, round(p.x_px), round(p.y_px), _rounded(p.sizes.get("ecd")),
            _rounded(p.sizes.get("aspect_feret_min_over_max")), _rounded(p.sizes.get("circularity_iso_9276_6")),
            p.name or None, p.confidence and round(p.confidence, 3), p.second or None,
            p.second_confidence and round(p.second_confidence, 3), "yes" if p.rejected else None,
            None if p.counts is None else round(p.counts), elements or None, p.decided_by or p.note or None,
        ))  # fmt: skip
    more = len(record.particles) - MOST_ROWS
    note = "Intensity shares are net counts of lines, not concentrations."
    note += f" {more} more are in particles.csv." if more > 0 else ""
    return ShownTable("Particles", headings, tuple(rows), note)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)
