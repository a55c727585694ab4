"""`sem-train map predict`: spectrum images to maps of phases, point spectra to names."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from sem_train.classes import ClassMap, LabelClass
from sem_train.micrographs.label_tiff import write_label_tiff
from sem_train.micrographs.pixels import read_pixels
from sem_train.provenance import commit, machine
from sem_train.spectra.contents import NOT_NAMED, Card, ShownPhases, ShownSpectrum, ShownTable
from sem_train.spectra.evaluation import Bench
from sem_train.spectra.figures import as_png, phase_map_figure
from sem_train.spectra.map_contents import PhaseSpectra, element_maps
from sem_train.spectra.mapping import PhaseMap, map_image
from sem_train.spectra.model import SpectralModel, load_model
from sem_train.spectra.named import UNCLASSIFIED
from sem_train.spectra.page import write_page
from sem_train.spectra.points import NamedSpectrum, name_files
from sem_train.spectra.references import SUFFIXES, TEXT
from sem_train.spectra.scenes import SpectralImage, open_image
from sem_train.spectra.tables import shares_of_map, write_points, write_shares
from semforge.errors import InputError, SemforgeError, naming, refuse_bad
from semforge.files import whole_file
from semforge.spectra import read_spectrum

PAGE, TABLE = "map.html", "names.csv"
PAGE_NAME = 285  # tag of TIFF
BIG_TIFF = 2**31  # bytes, from which a TIFF needs wider addresses


def is_point(path: Path) -> bool:
    """Whether a file holds a single spectrum, as far as that can be said without reading the counts."""
    path = Path(path)
    if path.suffix.lower() in (*SUFFIXES, TEXT) and path.suffix.lower() != ".hspy":
        return True
    if path.suffix.lower() != ".hspy":
        return False
    try:
        read_spectrum(path)
    except InputError:
        return False
    return True


def predict_points(
    run: Path, files: Sequence[Path], out: Path | None = None, only: Sequence[str] = ()
) -> Iterator[str]:
    """Name point spectra; a line or two each, and with `out` a table and a page.

    A file that cannot be read, or rebinned to the run's axis, costs itself alone: the others are named, then
    `SomeFailed` is raised. Raises InputError if there is no other, or the run cannot be read.
    """
    model = load_model(run).only(only)
    named: list[NamedSpectrum] = []
    problems: list[str] = []
    for path in files:
        try:
            named += name_files(model, [path])
        except InputError as error:
            problems.append(str(error))
            continue
        yield from _said(named[-1])
    _refuse_if_all(problems, len(files), "spectra")
    if out is not None:
        write_points(out / TABLE, named)
        cards = [Card(one.path.name, facts=_facts(one), spectra=(_shown(model, one),), tables=(_table(one),))
                 for one in named]  # fmt: skip
        _page(out / PAGE, model, cards, run, problems)
        yield f"→ {out / TABLE}, {out / PAGE}"
    _say_failed(problems, len(files), "spectra")


def predict_images(
    run: Path, files: Sequence[Path], out: Path, method: str = "network", binning: int = 1, sample: int = 0,
    micrograph: Path | None = None, only: Sequence[str] = (), told: Callable[[float], None] | None = None,
    pixel_shares: bool = True,
) -> Iterator[str]:  # fmt: skip
    """Map spectrum images into `out`: labels, confidence, shares and a picture each, and one page.

    With `pixel_shares` also the shares of each pixel, where the method unmixes.

    An image that cannot be read, or rebinned to the run's axis, costs itself alone, as in `predict_points`. Raises
    InputError if there is no other, if the run cannot be read, if there is one micrograph for several images, or if
    two of these are called alike.
    """
    stems = [Path(path).stem for path in files]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise InputError(f"two images are named {twice!r}, so one map would replace the other; map them one by one")
    if micrograph is not None and len(files) > 1:
        raise InputError(f"{micrograph}: is of one field, expected one spectrum image with it, found {len(files)}")
    model = load_model(run).only(only)
    namer = Bench(model, [method]).methods[0]
    under = read_pixels(micrograph)[0] if micrograph else None
    cards: list[Card] = []
    problems: list[str] = []
    for path in files:
        try:
            with naming(path):
                image = open_image(path, sample)
                spectra = PhaseSpectra(model.classes, image.axis)
                found = map_image(namer, model.classes, image, model.axis, binning,
                                  told=told or (lambda share: None), seen=spectra.add)  # fmt: skip
                elements = element_maps(image, spectra.elements(image.beam_kev))
        except InputError as error:
            problems.append(str(error))
            continue
        shares = shares_of_map(found)
        shown = ShownPhases(
            found.in_pixels(found.labels), model.classes, under, image.pixel_size_um,
            found.in_pixels(found.confidence) if found.unmixed else None,
            (*shares[:-1], replace(shares[-1], name=NOT_NAMED)),
        )  # fmt: skip
        written = write_map(out, path.stem, found, image, shown)
        write_shares(out / f"{path.stem}_shares.csv", shares)
        if found.unmixed and pixel_shares:
            write_pixel_shares(out / f"{path.stem}_shares.tif", found)
        facts = [f"{image.shape[1]} × {image.shape[0]} pixels", image.axis.describe(),
                 f"{found.counts.mean() / binning**2:.0f} counts a pixel"]  # fmt: skip
        note = model.beam_note(image.beam_kev)
        cards.append(Card(path.name, tuple(facts), (note,) if note else (), phases=shown, elements=elements,
                          spectra=spectra.shown(image.beam_kev, binning)))  # fmt: skip
        unnamed = float((found.labels == UNCLASSIFIED).mean())
        yield f"{path} → {written}"
        largest = sorted(shares[:-1], key=lambda s: -s.share)[:4]
        yield "  " + ", ".join(f"{s.name} {s.share:.1%}" for s in largest) + f"; unclassified {unnamed:.1%}"
        if note:
            yield f"  {note}"
    _refuse_if_all(problems, len(files), "spectrum images")
    _page(out / PAGE, model, cards, run, problems)
    yield f"→ {out / PAGE}"
    _say_failed(problems, len(files), "spectrum images")


class SomeFailed(SemforgeError):
    """Some of the files could not be used, the others were. Commands exit 1."""


def _refuse_if_all(problems: Sequence[str], total: int, what: str) -> None:
    if len(problems) == total:
        refuse_bad(problems, total, what)


def _say_failed(problems: Sequence[str], total: int, what: str) -> None:
    try:
        refuse_bad(problems, total, what)
    except InputError as error:
        raise SomeFailed(str(error)) from error


def write_map(out: Path, stem: str, found: PhaseMap, image: SpectralImage, shown: ShownPhases) -> Path:
    """Label map (0 unclassified, then the classes), confidence and picture of a map; gives the label map's path."""
    labels = out / f"{stem}_labels.tif"
    write_label_tiff(labels, found.in_pixels(found.labels + 1).astype(np.uint8), class_map(found.classes),
                     image.pixel_size_um)  # fmt: skip
    with whole_file(out / f"{stem}_confidence.tif") as temporary:
        tifffile.imwrite(temporary, found.in_pixels(found.confidence).astype(np.float32))
    with whole_file(out / f"{stem}_phases.png") as temporary:
        temporary.write_bytes(as_png(phase_map_figure(shown)))
    return labels


def write_pixel_shares(path: Path, found: PhaseMap) -> None:
    """Share of each class in the counts of each pixel: a page (H, W) uint8 a class, 255 for all, named by the class.

    Pixels without a name have none.
    """
    named = found.labels != UNCLASSIFIED
    large = found.scores.shape[-1] * found.shape[0] * found.shape[1] > BIG_TIFF
    with whole_file(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=large) as file:
        for k, name in enumerate(found.classes):
            page = np.rint(255 * found.scores[..., k] * named).astype(np.uint8)
            said = name.encode()
            file.write(found.in_pixels(page), photometric="minisblack", compression="zlib", metadata=None,
                       description=said, extratags=[(PAGE_NAME, "s", 0, said, True)])  # fmt: skip


def class_map(classes: Sequence[str]) -> ClassMap:
    """Of label maps: 0 is what has no name."""
    first = LabelClass(name="unclassified", role="outside")
    return ClassMap(classes=(first, *(LabelClass(name=name, role="particle") for name in classes)))


def _said(one: NamedSpectrum) -> Iterator[str]:
    best = ", ".join(f"{name} {p:.2f}" for name, p in one.best)
    if one.name is None:
        yield f"{one.path}: unclassified, {one.why}" + (f" (nearest: {best})" if best else "")
    else:
        lines = ", ".join(d.describe() for d in one.deciders if d.weight > 0)
        yield f"{one.path}: {one.name} ({best}); distance {one.distance:.2f}; by {lines}"
    if one.note:
        yield f"  {one.note}"


def _facts(one: NamedSpectrum) -> tuple[str, ...]:
    beam = (f"{one.spectrum.beam_kev:g} kV",) if one.spectrum.beam_kev else ()
    return (*beam, one.spectrum.axis.describe(), f"{one.counts:.0f} counts")


def _shown(model: SpectralModel, one: NamedSpectrum) -> ShownSpectrum:
    elements = tuple(dict.fromkeys(d.line.split()[0] for d in one.deciders if not d.line.endswith("keV")))
    note = f"named {one.name}, probability {one.best[0][1]:.2f}" if one.name else f"unclassified: {one.why}"
    return ShownSpectrum(
        one.path.name, one.spectrum.counts, one.spectrum.axis, one.spectrum.beam_kev,
        tuple(dict.fromkeys((*one.spectrum.elements, *elements))), note,
        deciding=tuple((d.low_kev, d.high_kev, d.weight) for d in one.deciders),
    )  # fmt: skip


def _table(one: NamedSpectrum) -> ShownTable:
    rows = tuple((name, round(p, 4)) for name, p in one.best)
    return ShownTable(
        "Likeliest classes", ("class", "probability"), rows, f"Distance {one.distance:.2f}; above 1: like none."
    )


def _page(path: Path, model: SpectralModel, cards: Sequence[Card], run: Path, problems: Sequence[str]) -> None:
    note = model.score_note
    write_page(
        path, f"Phases by {model.config.name}", cards, warnings=[*problems, *([note] if note else [])],
        provenance={"run": str(run), "commit": commit() or "unknown", "machine": machine()},
        command=f"sem-train map predict {run}",
    )  # fmt: skip
