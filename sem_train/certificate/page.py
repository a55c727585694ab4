"""From a folder of analysed micrographs to the page."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from sem_train.analysis.record import ImageRecord
from sem_train.certificate.cards import histograms_of, make_card
from sem_train.certificate.numbers import shown, unit_text
from sem_train.certificate.pictures import FEW_PICTURES, budget
from sem_train.certificate.reading import Analysed, read_analysed
from sem_train.certificate.specimens import Specimen, columns_of, image_rows, specimen_rows, specimens_of
from sem_train.certificate.warnings import Warning, collected, failures, of_image
from semforge import __version__
from semforge.files import write_text
from semforge.pages import page_environment


def write_certificate(path: Path, folder: Path, title: str = "", specimens: Sequence[str] = ()) -> int:
    """Write the page of an analysed folder, whole or not at all; returns the number of images on it.

    Raises InputError as `read_analysed`.
    """
    analysed = read_analysed(folder, specimens)
    write_text(path, render(analysed, title))
    return len(analysed.images)


def render(analysed: Analysed, title: str = "") -> str:
    """The page as text."""
    images = analysed.images
    limit = budget(len(images))
    everywhere = set.intersection(*({*of_image(image)} for image in images)) if len(images) > 1 else set()
    cards = [make_card(analysed.folder, image, f"image-{i + 1}", limit, everywhere) for i, image in enumerate(images)]
    specimens = specimens_of(analysed.record, cards)
    batch = len(specimens) > 1
    shared = _shared_provenance(analysed)
    environment = page_environment("sem_train")
    environment.filters |= {"unit": unit_text, "shown": shown, "compact": _compact}
    failed = failures(analysed.record, analysed.missing)
    return environment.get_template("certificate.html.j2").render(
        title=title or _title(analysed, specimens),
        today=date.today().isoformat(),
        summary=_summary(images, specimens, failed),
        failed=failed,
        warnings=collected(images, analysed.record),
        batch=batch,
        many=len(images) > FEW_PICTURES,
        specimens=specimens,
        columns=columns_of(specimens, cards),
        specimen_rows=specimen_rows(specimens, cards) if batch else [],
        image_rows=image_rows(cards) if len(images) > 1 else [],
        cards=cards,
        pooled=histograms_of(images) if not batch and len(images) > 1 else [],
        provenance=shared,
        own_provenance=_own_provenance(images, shared),
        command=analysed.record.command,
        version=__version__,
    )


def _title(analysed: Analysed, specimens: Sequence[Specimen]) -> str:
    if len(specimens) == 1:
        return f"Specimen {specimens[0].name}"
    return f"{len(specimens)} specimens" if specimens else analysed.folder.resolve().name


def _summary(images: Sequence[ImageRecord], specimens: Sequence[Specimen], failed: Sequence[Warning]) -> str:
    said = [f"{len(images)} micrograph{'' if len(images) == 1 else 's'}"]
    if len(specimens) > 1:
        said.append(f"{len(specimens)} specimens")
    if failed:
        said.append(f"{len(failed)} not analysed")
    return " · ".join(said)


def _shared_provenance(analysed: Analysed) -> dict[str, str]:
    """What is the same for all images, and what the folder says of itself."""
    images = analysed.images
    same = {
        key: value
        for key, value in (images[0].provenance if images else {}).items()
        if all(image.provenance.get(key) == value for image in images)
    }
    return {**analysed.record.provenance, **same}


def _own_provenance(images: Sequence[ImageRecord], shared: dict[str, str]) -> dict[str, dict[str, str]]:
    """By image, what differs from the others."""
    found = {}
    for image in images:
        own = {"file": image.source, "SHA-256": image.sha256}
        if image.scale_note:
            own["scale"] = image.scale_note
        own |= {f"instrument: {key}": value for key, value in image.instrument.items()}
        own |= {key: value for key, value in image.provenance.items() if shared.get(key) != value}
        found[image.name] = own
    return found


def _compact(value: object) -> str:
    """JSON without spaces, for attributes."""
    return json.dumps(value, separators=(",", ":"))
